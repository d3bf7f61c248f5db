package s3api_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// An upload is a multipart upload that a test drives.
type upload struct {
	*world
	id, key *string
}

func (w *world) upload(key string, edit ...func(*s3.CreateMultipartUploadInput)) *upload {
	w.t.Helper()
	in := &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: &key}
	for _, e := range edit {
		e(in)
	}
	out, err := w.s3.CreateMultipartUpload(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return &upload{world: w, id: out.UploadId, key: &key}
}

func (u *upload) part(n int32, data []byte, alg types.ChecksumAlgorithm) *s3.UploadPartOutput {
	u.t.Helper()
	out, err := u.s3.UploadPart(u.t.Context(), &s3.UploadPartInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, PartNumber: &n, Body: bytes.NewReader(data), ChecksumAlgorithm: alg})
	if err != nil {
		u.t.Fatalf("part %d: %v", n, err)
	}
	return out
}

func (u *upload) complete(parts ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, string) {
	out, err := u.s3.CompleteMultipartUpload(u.t.Context(), &s3.CompleteMultipartUploadInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	return out, code(err)
}

func named(n int32, etag *string) types.CompletedPart {
	return types.CompletedPart{PartNumber: &n, ETag: etag}
}

func TestMultipart(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		one, two := random(5<<20), []byte("the end")
		u := w.upload("dir/video.bin", func(in *s3.CreateMultipartUploadInput) {
			in.Metadata = map[string]string{"mtime": "1000000000", "a": "b"}
			in.ContentType = aws.String("video/x")
		})
		p2 := u.part(2, two, "") // out of order
		u.part(1, []byte("first try"), "")
		p1 := u.part(1, one, "")
		want(t, "ETag", *p1.ETag, `"`+md5Hex(one)+`"`)
		want(t, "keys", w.list(), "[]")

		list, err := w.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String("photos"), Prefix: aws.String("dir/")})
		if err != nil || len(list.Uploads) != 1 || *list.Uploads[0].UploadId != *u.id || *list.Uploads[0].Key != "dir/video.bin" {
			t.Errorf("got uploads %+v, %v", list, err)
		}
		parts, err := w.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, MaxParts: aws.Int32(1)})
		if err != nil || len(parts.Parts) != 1 || *parts.Parts[0].Size != 5<<20 || !*parts.IsTruncated || *parts.NextPartNumberMarker != "1" {
			t.Errorf("got parts %+v, %v", parts, err)
		}
		parts, err = w.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, PartNumberMarker: aws.String("1")})
		if err != nil || len(parts.Parts) != 1 || *parts.Parts[0].ETag != *p2.ETag || *parts.IsTruncated {
			t.Errorf("got parts %+v, %v", parts, err)
		}

		_, c := u.complete()
		want(t, "no parts", c, "400 MalformedXML")
		_, c = u.complete(named(2, p2.ETag), named(1, p1.ETag))
		want(t, "out of order", c, "400 InvalidPartOrder")
		_, c = u.complete(named(1, p2.ETag))
		want(t, "other ETag", c, "400 InvalidPart")
		_, c = u.complete(named(3, p2.ETag))
		want(t, "no such part", c, "400 InvalidPart")
		out, c := u.complete(named(1, p1.ETag), named(2, p2.ETag))
		want(t, "complete", c, "")
		m1, m2 := md5.Sum(one), md5.Sum(two)
		both := md5.Sum(append(m1[:], m2[:]...))
		etag := `"` + hex.EncodeToString(both[:]) + `-2"`
		want(t, "ETag", *out.ETag, etag)
		want(t, "content", w.get("dir/video.bin") == string(one)+string(two), true)
		again, c := u.complete(named(1, p1.ETag), named(2, p2.ETag))
		want(t, "complete again", c, "")
		want(t, "ETag", *again.ETag, etag)
		head, err := w.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: u.key})
		if err != nil || *head.ETag != etag || *head.ContentType != "video/x" || head.Metadata["a"] != "b" || head.LastModified.Unix() != 1000000000 {
			t.Errorf("got head %+v, %v", head, err)
		}
		listing, err := w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
		if err != nil || len(listing.Contents) != 1 || *listing.Contents[0].ETag != etag {
			t.Errorf("got listing %+v, %v", listing, err)
		}
	})
}

func TestMultipartRefusals(t *testing.T) {
	w := newWorld(t, config{})
	ctx := t.Context()
	u := w.upload("a")
	small := u.part(1, []byte("x"), "")
	last := u.part(2, []byte("y"), "")
	_, c := u.complete(named(1, small.ETag), named(2, last.ETag))
	want(t, "too small", c, "400 EntityTooSmall")
	for name, tt := range map[string]struct{ key, id, number string }{
		"other key":     {"b", *u.id, "1"},
		"no upload":     {"a", "none", "1"},
		"part 0":        {"a", *u.id, "0"},
		"part 10001":    {"a", *u.id, "10001"},
		"part -1":       {"a", *u.id, "-1"},
		"part in words": {"a", *u.id, "one"},
	} {
		resp, body := w.do("PUT", "/photos/"+tt.key+"?partNumber="+tt.number+"&uploadId="+tt.id, "x")
		if resp.StatusCode != 404 && resp.StatusCode != 400 {
			t.Errorf("%s: got %s %s", name, resp.Status, body)
		}
	}
	lost := *u
	lost.key = aws.String("b")
	_, c = lost.complete(named(2, last.ETag))
	want(t, "complete to another key", c, "404 NoSuchUpload")
	want(t, "keys", w.list(), "[]")
	other := w.client("SBOTHER", secretKey)
	_, err := other.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id})
	want(t, "another's upload", code(err), "404 NoSuchUpload")
	_, err = other.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id})
	want(t, "another's upload", code(err), "404 NoSuchUpload")

	resp, body := w.do("PUT", "/photos/a?partNumber=1&uploadId="+*u.id, "z", "Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA==")
	want(t, "wrong MD5", refusal(resp, body), "400 BadDigest")
	resp, body = w.do("PUT", "/photos/a?partNumber=1&uploadId="+*u.id, "z", "X-Amz-Content-Sha256", hexSHA256("y"))
	want(t, "wrong hash", refusal(resp, body), "400 XAmzContentSHA256Mismatch")
	parts, err := w.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id})
	if err != nil || *parts.Parts[0].ETag != *small.ETag {
		t.Errorf("a part that failed has replaced the one before: %+v, %v", parts, err)
	}

	_, err = w.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id})
	want(t, "abort", code(err), "")
	_, err = w.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id})
	want(t, "parts after abort", code(err), "404 NoSuchUpload")
	_, c = u.complete(named(1, small.ETag))
	want(t, "complete after abort", c, "404 NoSuchUpload")
	_, err = w.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("none"), Key: aws.String("a")})
	want(t, "no bucket", code(err), "404 NoSuchBucket")
	want(t, "keys", w.list(), "[]")

	u = w.upload("one")
	p := u.part(1, []byte("x"), "")
	if _, c := u.complete(named(1, p.ETag)); c != "" {
		t.Error(c)
	}
	u.key = aws.String("b")
	_, c = u.complete(named(1, p.ETag))
	want(t, "complete again, to another key", c, "404 NoSuchUpload")
	if _, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: aws.String("one")}); err != nil {
		t.Error(err)
	}

	// An object of no bytes, by an empty part.
	u = w.upload("zero")
	p = u.part(1, nil, "")
	_, c = u.complete(named(1, p.ETag))
	want(t, "an empty part", c, "")
	want(t, "content", w.get("zero"), "")

	w.put("there", "x")
	u = w.upload("there")
	p = u.part(1, []byte("y"), "")
	_, err = w.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{named(1, p.ETag)}}})
	want(t, "complete over what is there", code(err), "412 PreconditionFailed")
	want(t, "content", w.get("there"), "x")
}

// An upload with as many parts as there can be is listed in pages, and completed, or refused,
// in one request: here for parts that are too small, which is said of the first.
func TestTenThousandParts(t *testing.T) {
	w := newWorld(t, config{})
	u := w.upload("many", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = "CRC32" })
	sum := map[string]string{"CRC32": "jNwWgw=="}
	for n := range 10_000 {
		if _, err := w.lib.PutPart(t.Context(), *u.id, n+1, strings.NewReader("x"), 1, nil, func() map[string]string { return sum }); err != nil {
			t.Fatal(err)
		}
	}
	var all []types.CompletedPart
	pages := 0
	for p := s3.NewListPartsPaginator(w.s3, &s3.ListPartsInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id}); p.HasMorePages(); pages++ {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range page.Parts {
			all = append(all, types.CompletedPart{PartNumber: part.PartNumber, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32})
		}
	}
	want(t, "pages, parts", fmt.Sprint(pages, len(all), *all[9999].PartNumber), "10 10000 10000")
	_, c := u.complete(all...)
	want(t, "complete", c, "400 EntityTooSmall")
	all[5000].ChecksumCRC32 = aws.String("AAAAAA==")
	_, c = u.complete(all...)
	want(t, "another checksum", c, "400 InvalidPart")
	_, c = u.complete(append(all, named(10_001, all[0].ETag))...)
	want(t, "one more", c, "400 MalformedXML")
	_, c = u.complete(all[9999])
	want(t, "the last alone", c, "")
	want(t, "content", w.get("many"), "x")
}

func TestPartCopy(t *testing.T) {
	w := newWorld(t, config{})
	data := random(6 << 20)
	etag := *w.put("from é", string(data)).ETag
	u := w.upload("to")
	part := func(n int32, edit func(*s3.UploadPartCopyInput)) (*s3.UploadPartCopyOutput, string) {
		in := &s3.UploadPartCopyInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, PartNumber: &n, CopySource: aws.String("photos/from%20%C3%A9"), CopySourceIfMatch: &etag}
		edit(in)
		out, err := w.s3.UploadPartCopy(t.Context(), in)
		return out, code(err)
	}
	p1, c := part(1, func(*s3.UploadPartCopyInput) {})
	want(t, "whole", c, "")
	p2, c := part(2, func(in *s3.UploadPartCopyInput) { in.CopySourceRange = aws.String("bytes=5-9") })
	want(t, "range", c, "")
	_, c = part(3, func(in *s3.UploadPartCopyInput) { in.CopySourceRange = aws.String("bytes=5-99999999") })
	want(t, "range beyond", c, "400 InvalidArgument")
	_, c = part(3, func(in *s3.UploadPartCopyInput) { in.CopySourceRange = aws.String("bytes=5-62914559") }) // begins as that of the rest
	want(t, "range beyond by one digit", c, "400 InvalidArgument")
	_, c = part(3, func(in *s3.UploadPartCopyInput) { in.CopySourceIfMatch = aws.String("x") })
	want(t, "condition", c, "412 PreconditionFailed")
	_, c = u.complete(named(1, p1.CopyPartResult.ETag), named(2, p2.CopyPartResult.ETag))
	want(t, "complete", c, "")
	want(t, "content", w.get("to") == string(data)+string(data[5:10]), true)
}

// The checksum of the whole, from those of its parts.
func TestMultipartChecksums(t *testing.T) {
	w := newWorld(t, config{})
	one, two := random(5<<20), []byte("the end")
	sum := func(a sigv4.Algorithm, data ...[]byte) string {
		h := a.New()
		for _, d := range data {
			h.Write(d)
		}
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	for _, tt := range []struct {
		alg  types.ChecksumAlgorithm
		kind types.ChecksumType
	}{
		{"CRC32", "COMPOSITE"}, {"CRC32", "FULL_OBJECT"}, {"CRC32C", "COMPOSITE"}, {"CRC32C", "FULL_OBJECT"},
		{"CRC64NVME", "FULL_OBJECT"}, {"SHA1", "COMPOSITE"}, {"SHA256", "COMPOSITE"},
	} {
		u := w.upload(string(tt.alg+"-")+string(tt.kind), func(in *s3.CreateMultipartUploadInput) {
			in.ChecksumAlgorithm, in.ChecksumType = tt.alg, tt.kind
		})
		p1, p2 := u.part(1, one, tt.alg), u.part(2, two, tt.alg)
		a := sigv4.Algorithm(tt.alg)
		full := sum(a, one, two)
		complete := func(told string) (*s3.CompleteMultipartUploadOutput, string) {
			in := &s3.CompleteMultipartUploadInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, ChecksumType: tt.kind,
				MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{
					{PartNumber: aws.Int32(1), ETag: p1.ETag, ChecksumCRC32: p1.ChecksumCRC32, ChecksumSHA256: p1.ChecksumSHA256}, named(2, p2.ETag)}}}
			if told != "" {
				switch tt.alg {
				case "CRC32":
					in.ChecksumCRC32 = &told
				case "CRC32C":
					in.ChecksumCRC32C = &told
				case "CRC64NVME":
					in.ChecksumCRC64NVME = &told
				}
			}
			out, err := w.s3.CompleteMultipartUpload(t.Context(), in)
			return out, code(err)
		}
		told := ""
		if tt.kind == "FULL_OBJECT" {
			_, c := complete(sum(a, one))
			want(t, fmt.Sprint(tt, " wrong"), c, "400 BadDigest")
			told = full
		}
		out, c := complete(told)
		want(t, fmt.Sprint(tt), c, "")
		if out == nil {
			continue
		}
		got := map[types.ChecksumAlgorithm]*string{"CRC32": out.ChecksumCRC32, "CRC32C": out.ChecksumCRC32C, "CRC64NVME": out.ChecksumCRC64NVME, "SHA1": out.ChecksumSHA1, "SHA256": out.ChecksumSHA256}[tt.alg]
		if tt.kind == "COMPOSITE" {
			h1, h2 := a.New(), a.New()
			h1.Write(one)
			h2.Write(two)
			full = sum(a, h1.Sum(nil), h2.Sum(nil)) + "-2"
		}
		want(t, fmt.Sprint(tt), aws.ToString(got)+" "+string(out.ChecksumType), full+" "+string(tt.kind))
	}
	_, err := w.s3.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: aws.String("a"), ChecksumAlgorithm: "SHA256", ChecksumType: "FULL_OBJECT"})
	want(t, "SHA256 of the whole", code(err), "400 InvalidRequest")
}

func TestAttributes(t *testing.T) {
	w := newWorld(t, config{})
	put := w.put("a", "hello")
	out, err := w.s3.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: aws.String("photos"), Key: aws.String("a"),
		ObjectAttributes: []types.ObjectAttributes{"ETag", "Checksum", "ObjectSize", "StorageClass", "ObjectParts"}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "attributes", fmt.Sprint(*out.ETag, *out.ObjectSize, out.StorageClass, *out.Checksum.ChecksumCRC32), fmt.Sprint(strings.Trim(*put.ETag, `"`), 5, "STANDARD", *put.ChecksumCRC32))
}
