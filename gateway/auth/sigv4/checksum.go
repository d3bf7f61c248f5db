package sigv4

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

// An Algorithm is one of the checksums that S3 verifies, by its name in
// x-amz-checksum-algorithm.
type Algorithm string

const (
	CRC32     Algorithm = "CRC32"
	CRC32C    Algorithm = "CRC32C"
	CRC64NVME Algorithm = "CRC64NVME"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
)

// Algorithms are all that are known.
var Algorithms = []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256}

// ParseAlgorithm takes the name in any case; it is false if there is no such.
func ParseAlgorithm(s string) (Algorithm, bool) {
	a := Algorithm(strings.ToUpper(s))
	return a, a.New() != nil
}

// Header is the name of the header or trailer with the base64 of the checksum.
func (a Algorithm) Header() string {
	return "x-amz-checksum-" + strings.ToLower(string(a))
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5) // reflected polynomial of NVM Express
)

// New returns a hash of the algorithm, or nil if it is not known.
func (a Algorithm) New() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli)
	case CRC64NVME:
		return crc64.New(nvme)
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	}
	return nil
}

// valid reports whether s is the base64 of a sum of this algorithm.
func (a Algorithm) valid(s string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == a.New().Size()
}

// A promise is the checksum that the request says its body has: its value is
// in the headers, or follows in the trailer. The zero value promises nothing.
type promise struct {
	algorithm Algorithm
	value     string // base64; "" until the trailer was read
	trailer   string // name of the trailer, "" if none is announced
}

// parsePromise reads x-amz-checksum-*, x-amz-trailer and the two headers that
// name the algorithm, which must agree.
func parsePromise(h http.Header, mode Mode) (promise, error) {
	var p promise
	for name, values := range h {
		name = strings.ToLower(name)
		algorithm, ok := strings.CutPrefix(name, "x-amz-checksum-")
		if !ok || algorithm == "algorithm" || algorithm == "mode" || algorithm == "type" {
			continue
		}
		a, ok := ParseAlgorithm(algorithm)
		switch {
		case !ok:
			return p, refuse("InvalidRequest", "The checksum algorithm is not known: use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.")
		case p.algorithm != "" || len(values) != 1:
			return p, refuse("InvalidRequest", "Only one x-amz-checksum- header is allowed.")
		case !a.valid(values[0]):
			return p, refuse("InvalidRequest", "The value of "+a.Header()+" is not valid.")
		}
		p.algorithm, p.value = a, values[0]
	}

	switch trailers := h.Values("X-Amz-Trailer"); {
	case len(trailers) == 0:
	case len(trailers) > 1 || !mode.trailer():
		return p, refuse("InvalidRequest", "The x-amz-trailer header is out of place.")
	default:
		name := strings.ToLower(strings.TrimSpace(trailers[0]))
		algorithm, ok := strings.CutPrefix(name, "x-amz-checksum-")
		a, known := ParseAlgorithm(algorithm)
		if !ok || !known {
			return p, refuse("InvalidRequest", "The x-amz-trailer header must name one x-amz-checksum- header.")
		}
		if p.algorithm != "" {
			return p, refuse("InvalidRequest", "Only one checksum is allowed, as a header or in the trailer.")
		}
		p.algorithm, p.trailer = a, name
	}

	for _, name := range []string{"X-Amz-Sdk-Checksum-Algorithm", "X-Amz-Checksum-Algorithm"} {
		v := h.Get(name)
		if v == "" {
			continue
		}
		a, ok := ParseAlgorithm(v)
		if !ok {
			return p, refuse("InvalidRequest", "The checksum algorithm is not known: use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.")
		}
		if p.algorithm != "" && a != p.algorithm {
			return p, refuse("InvalidRequest", "The checksum is not of the algorithm that "+name+" names.")
		}
	}
	return p, nil
}
