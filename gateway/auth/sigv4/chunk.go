package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"
	"strings"
)

const (
	maxChunkLine = 256     // bytes of a chunk's header line
	maxTrailer   = 4 << 10 // bytes of all trailers
	minChunk     = 8 << 10 // bytes of every chunk but the last

	// chunkBuffer is what a body in chunks is read through, in bytes. What comes after the
	// first of it goes straight to whoever reads; it must hold all trailers.
	chunkBuffer = 8 << 10

	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// A hexSum is 32 bytes in hexadecimal.
type hexSum [64]byte

// A chunkReader takes apart the aws-chunked framing:
//
//	HEXSIZE[;chunk-signature=HEX]\r\n DATA \r\n … 0[;chunk-signature=HEX]\r\n
//	[NAME:VALUE\r\n … [x-amz-trailer-signature:HEX\r\n]] \r\n
//
// A chunk of any size needs no buffer: its data is hashed as it goes by and its
// signature is compared where the chunk ends, before the next one begins.
// (Amazon S3 API Reference, "Signature Calculations for the Authorization
// Header: Transferring Payload in Multiple Chunks".)
type chunkReader struct {
	v       *Verified
	src     *bufio.Reader
	left    int64 // decoded bytes still to come
	promise *promise

	// In the signed modes. They are kept from chunk to chunk, for there are many.
	sum       hash.Hash // SHA-256 of the chunk
	mac       hash.Hash // HMAC with the signing key
	toSign    []byte    // what a signature is of; its beginning stays
	fixed     int       // how much of toSign that is
	previous  hexSum    // signature before this one
	signature hexSum    // of the chunk

	chunk int64 // bytes of the chunk still to come
	open  bool  // within a chunk, or before the line end that closes it
	last  bool  // the chunk was small: only the closing one may follow
}

func newChunkReader(v *Verified, body io.Reader, size int64, p *promise) *chunkReader {
	c := &chunkReader{v: v, src: bufio.NewReaderSize(body, chunkBuffer), left: size, promise: p}
	if v.Mode.signed() {
		c.sum, c.mac = sha256.New(), hmac.New(sha256.New, v.key)
		c.toSign = append(c.toSign, "AWS4-HMAC-SHA256-PAYLOAD\n"+v.timestamp+"\n"+v.scope+"\n"...)
		c.fixed = len(c.toSign)
		copy(c.previous[:], v.seed)
	}
	return c
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for c.chunk == 0 {
		if c.open {
			if err := c.end(); err != nil {
				return 0, err
			}
		}
		n, err := c.begin()
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, refuse("IncompleteBody", "The body has fewer bytes than x-amz-decoded-content-length says.")
		}
	}
	if int64(len(p)) > c.chunk {
		p = p[:c.chunk]
	}
	n, err := c.src.Read(p)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	c.chunk -= int64(n)
	c.left -= int64(n)
	return n, err
}

// begin reads the header of the next chunk and returns its size.
func (c *chunkReader) begin() (int64, error) {
	line, err := c.line(maxChunkLine)
	if err != nil {
		return 0, err
	}
	size, extension, extended := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(size), 16, 63)
	if err != nil || len(size) > 16 {
		return 0, refuse("InvalidRequest", "A chunk has no valid size.")
	}
	if c.sum != nil {
		signature, ok := bytes.CutPrefix(extension, []byte("chunk-signature="))
		if !ok || len(signature) != len(c.signature) || !lowerHex(string(signature)) {
			return 0, refuse("SignatureDoesNotMatch", "A chunk is not signed.")
		}
		copy(c.signature[:], signature)
		c.sum.Reset()
	} else if extended {
		return 0, refuse("InvalidRequest", "A chunk of an unsigned body has an extension.")
	}
	switch {
	case int64(n) > c.left:
		return 0, refuse("InvalidRequest", "The body has more bytes than x-amz-decoded-content-length says.")
	case n > 0 && c.last:
		return 0, refuse("InvalidChunkSizeError", "Only the last chunk may have fewer than 8192 bytes.")
	}
	c.last = n < minChunk
	c.chunk, c.open = int64(n), n > 0
	return c.chunk, nil
}

// end reads the line end behind a chunk's data and compares its signature.
func (c *chunkReader) end() error {
	line, err := c.line(2)
	if err != nil {
		return err
	}
	if len(line) > 0 {
		return refuse("InvalidRequest", "A chunk does not end where its size says.")
	}
	c.open = false
	return c.compare()
}

// compare compares the chunk's signature with that of what came.
func (c *chunkReader) compare() error {
	if c.sum == nil {
		return nil
	}
	var sum hexSum
	c.toSign = append(c.toSign[:c.fixed], c.previous[:]...)
	c.toSign = append(c.toSign, "\n"+emptySHA256+"\n"...)
	c.toSign = append(c.toSign, sum.of(c.sum)...)
	c.mac.Reset()
	c.mac.Write(c.toSign)
	if !hmac.Equal(sum.of(c.mac), c.signature[:]) {
		return refuse("SignatureDoesNotMatch", "The signature of a chunk does not match.")
	}
	c.previous = c.signature
	return nil
}

// of is the sum of h, in s.
func (s *hexSum) of(h hash.Hash) []byte {
	var raw [32]byte
	hex.Encode(s[:], h.Sum(raw[:0]))
	return s[:]
}

// finish reads what follows the last byte of data: the closing chunk, the
// trailer and the end.
func (c *chunkReader) finish() error {
	if c.open {
		if err := c.end(); err != nil {
			return err
		}
	}
	if _, err := c.begin(); err != nil { // n > left is refused there
		return err
	}
	if err := c.compare(); err != nil {
		return err
	}
	return c.trailer()
}

// trailer reads lines to the end of the body. Blank ones are passed over, for
// clients differ in them: minio-go ends a trailer with "\n\r\n".
func (c *chunkReader) trailer() error {
	var canonical bytes.Buffer
	var signature string
	for budget := maxTrailer; ; {
		line, err := c.line(budget)
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil {
			return err
		}
		budget -= len(line) + 2
		if len(line) == 0 {
			continue
		}
		name, value, ok := strings.Cut(string(line), ":")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		switch {
		case !ok || signature != "":
			return refuse("MalformedTrailerError", "The trailer is malformed.")
		case name == "x-amz-trailer-signature" && c.v.Mode == ChunkedTrailer:
			signature = value
		case name != c.promise.trailer || name == "" || c.promise.value != "":
			return refuse("MalformedTrailerError", "The trailer has a name that x-amz-trailer does not announce.")
		case !c.promise.algorithm.valid(value):
			return refuse("MalformedTrailerError", "The value of "+name+" is not valid.")
		default:
			c.promise.value = value
			canonical.WriteString(name + ":" + value + "\n")
		}
	}
	if c.promise.trailer != "" && c.promise.value == "" {
		return refuse("MalformedTrailerError", "The trailer that x-amz-trailer announces is missing.")
	}
	if c.v.Mode != ChunkedTrailer {
		return nil
	}
	sum := hashHex(canonical.Bytes())
	toSign := "AWS4-HMAC-SHA256-TRAILER\n" + c.v.timestamp + "\n" + c.v.scope + "\n" + string(c.previous[:]) + "\n" + sum
	if !c.v.equal(toSign, signature) {
		return refuse("SignatureDoesNotMatch", "The signature of the trailer does not match.")
	}
	return nil
}

// line reads to the next line end, without it, and at most limit bytes with it. At the end
// of the body the error is io.EOF. What it returns is good until src is read again.
func (c *chunkReader) line(limit int) ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	switch {
	case len(line) > limit || err == bufio.ErrBufferFull:
		return nil, refuse("InvalidRequest", "A line of the chunked body is too long.")
	case err == io.EOF && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
