package s3api

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// checksums are the elements that a part, or a whole, has in XML.
type checksums struct {
	ChecksumCRC32     string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumSHA1      string `xml:",omitempty"`
	ChecksumSHA256    string `xml:",omitempty"`
}

// of is the element for an algorithm.
func (c *checksums) of(a sigv4.Algorithm) *string {
	switch a {
	case sigv4.CRC32:
		return &c.ChecksumCRC32
	case sigv4.CRC32C:
		return &c.ChecksumCRC32C
	case sigv4.CRC64NVME:
		return &c.ChecksumCRC64NVME
	case sigv4.SHA1:
		return &c.ChecksumSHA1
	default:
		return &c.ChecksumSHA256
	}
}

// checksumParts is where the checksums of an object's parts are kept beside that of the
// whole: the algorithm, a blank, and the base64 of one sum after the other. It is none of
// S3's headers and never goes out as one.
const checksumParts = "x-amz-checksum-parts"

// maxPartSums bounds, in bytes, what is kept of them: 384 SHA-256 or 3,072 CRC32. They lie in
// the entry's row, which every listing reads.
const maxPartSums = 12 << 10

// packSums is the value of checksumParts, "" if not all parts have a sum of the algorithm, or
// if they are too many.
func packSums(a sigv4.Algorithm, parts []backend.Part) string {
	var all []byte
	for _, p := range parts {
		raw, err := base64.StdEncoding.DecodeString(p.Sums[string(a)])
		if err != nil || len(raw) != a.New().Size() {
			return ""
		}
		all = append(all, raw...)
	}
	if len(all) == 0 || len(all) > maxPartSums {
		return ""
	}
	return string(a) + " " + base64.StdEncoding.EncodeToString(all)
}

// partSum is the checksum in base64 of part number of e, if it is kept.
func partSum(e *backend.Entry, number int) (a sigv4.Algorithm, sum string, ok bool) {
	name, packed, _ := strings.Cut(e.Header[checksumParts], " ")
	if a, ok = sigv4.ParseAlgorithm(name); !ok {
		return "", "", false
	}
	all, err := base64.StdEncoding.DecodeString(packed)
	size := a.New().Size()
	if err != nil || number < 1 || len(all) != size*e.PartCount() || number*size > len(all) {
		return "", "", false
	}
	return a, base64.StdEncoding.EncodeToString(all[(number-1)*size : number*size]), true
}

// wholeChecksum computes the checksum of the object to be from those of its parts,
// if they all have one, and compares it with what the client says it must be.
func (q *request) wholeChecksum(u *backend.Upload, parts []backend.Part, out *checksums) (kind string, err error) {
	kind = u.Header[checksumType]
	if v := strings.ToUpper(q.r.Header.Get(checksumType)); v != "" {
		if kind != "" && kind != v {
			return "", refuse("InvalidRequest", "The upload was created with another checksum type.")
		}
		kind = v
	}
	told := ""
	candidates := sigv4.Algorithms
	for _, a := range sigv4.Algorithms {
		if v := q.r.Header.Get(a.Header()); v != "" {
			if told != "" {
				return "", refuse("InvalidRequest", "Only one x-amz-checksum- header is allowed.")
			}
			told, candidates = v, []sigv4.Algorithm{a}
		}
	}
	for _, a := range candidates {
		full := kind == "FULL_OBJECT" || kind == "" && a == sigv4.CRC64NVME
		sum, ok := combineSums(a, parts, full)
		if !ok {
			continue
		}
		bare, _, _ := strings.Cut(sum, "-") // minio-go leaves the count out
		if told != "" && told != sum && told != bare {
			return "", refuse("BadDigest", "The object does not match its "+a.Header()+".")
		}
		*out.of(a) = sum
		if full {
			return "FULL_OBJECT", nil
		}
		return "COMPOSITE", nil
	}
	if told != "" {
		return "", refuse("InvalidRequest", "The checksum can not be checked: not all parts were sent with one of that algorithm.")
	}
	return "", nil
}

// combineSums is the checksum of the whole in base64: of the concatenated content,
// or, with "-N", of the concatenated checksums.
func combineSums(a sigv4.Algorithm, parts []backend.Part, full bool) (string, bool) {
	if len(parts) == 0 || full && !linear(a) {
		return "", false
	}
	h := a.New()
	var crc uint64
	for i, p := range parts {
		raw, err := base64.StdEncoding.DecodeString(p.Sums[string(a)])
		if err != nil || len(raw) != h.Size() {
			return "", false
		}
		h.Write(raw)
		if full {
			part := bigEndian(raw)
			if i == 0 {
				crc = part
			} else {
				crc = combineCRC(a, crc, part, p.Size)
			}
		}
	}
	if !full {
		return base64.StdEncoding.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), true
	}
	raw := make([]byte, h.Size())
	for i := len(raw) - 1; i >= 0; i-- {
		raw[i] = byte(crc)
		crc >>= 8
	}
	return base64.StdEncoding.EncodeToString(raw), true
}

func bigEndian(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}
