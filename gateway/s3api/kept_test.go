package s3api_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// The checksum of an upload is kept with the object: told by HEAD and GET, by the answer to
// a completion that is repeated, and by the object's attributes; not by a copy of a range.
func TestUploadChecksumIsKept(t *testing.T) {
	w := newWorld(t, config{})
	one, two := random(5<<20), []byte("the end")
	for _, tt := range []struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
	}{
		{"CRC32", "COMPOSITE"}, {"CRC32", "FULL_OBJECT"}, {"CRC32C", "FULL_OBJECT"}, {"CRC64NVME", "FULL_OBJECT"}, {"SHA1", "COMPOSITE"}, {"SHA256", "COMPOSITE"},
	} {
		what := fmt.Sprintf("%s %s", tt.algorithm, tt.kind)
		u := w.upload(what, func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm, in.ChecksumType = tt.algorithm, tt.kind })
		p1, p2 := u.part(1, one, tt.algorithm), u.part(2, two, tt.algorithm)
		out, c := u.complete(named(1, p1.ETag), named(2, p2.ETag))
		want(t, what, c, "")
		sums := func(crc32, crc32c, crc64, sha1, sha256 *string, kind types.ChecksumType) string {
			return fmt.Sprint(aws.ToString(crc32), aws.ToString(crc32c), aws.ToString(crc64), aws.ToString(sha1), aws.ToString(sha256), " ", kind)
		}
		told := sums(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256, out.ChecksumType)
		if out.ChecksumType != tt.kind || len(told) < 10 {
			t.Errorf("%s: completed with %s", what, told)
		}
		again, c := u.complete(named(1, p1.ETag), named(2, p2.ETag))
		want(t, what+" again", c, "")
		want(t, what+" again", sums(again.ChecksumCRC32, again.ChecksumCRC32C, again.ChecksumCRC64NVME, again.ChecksumSHA1, again.ChecksumSHA256, again.ChecksumType), told)
		head, err := w.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: u.key, ChecksumMode: "ENABLED"})
		if err != nil {
			t.Fatal(err)
		}
		want(t, what+" of HEAD", sums(head.ChecksumCRC32, head.ChecksumCRC32C, head.ChecksumCRC64NVME, head.ChecksumSHA1, head.ChecksumSHA256, head.ChecksumType), told)
		want(t, what+" content", w.get(what) == string(one)+string(two), true) // the SDK compares as well
		a, err := w.s3.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: aws.String("photos"), Key: u.key, ObjectAttributes: []types.ObjectAttributes{"Checksum", "ObjectParts"}})
		if err != nil {
			t.Fatal(err)
		}
		want(t, what+" attributes", sums(a.Checksum.ChecksumCRC32, a.Checksum.ChecksumCRC32C, a.Checksum.ChecksumCRC64NVME, a.Checksum.ChecksumSHA1, a.Checksum.ChecksumSHA256, a.Checksum.ChecksumType), told)
		want(t, what+" parts", fmt.Sprint(*a.ObjectParts.TotalPartsCount, *a.ObjectParts.Parts[0].Size, *a.ObjectParts.Parts[1].Size), "2 5242880 7")
		ofParts := func() string {
			t.Helper()
			var all []string
			for i, part := range a.ObjectParts.Parts {
				listed := sums(part.ChecksumCRC32, part.ChecksumCRC32C, part.ChecksumCRC64NVME, part.ChecksumSHA1, part.ChecksumSHA256, "")
				got, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: u.key, PartNumber: aws.Int32(int32(i + 1)), ChecksumMode: "ENABLED"})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(got.Body) // the SDK compares
				if err != nil || len(body) != int(*part.Size) {
					t.Errorf("%s part %d: %d bytes, %v", what, i+1, len(body), err)
				}
				want(t, what+" told with a part", sums(got.ChecksumCRC32, got.ChecksumCRC32C, got.ChecksumCRC64NVME, got.ChecksumSHA1, got.ChecksumSHA256, ""), listed)
				all = append(all, strings.TrimSpace(listed))
			}
			return strings.Join(all, " ")
		}
		sent := func(p *s3.UploadPartOutput) string {
			return strings.TrimSpace(sums(p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumCRC64NVME, p.ChecksumSHA1, p.ChecksumSHA256, ""))
		}
		want(t, what+" of the parts", ofParts(), sent(p1)+" "+sent(p2))
	}
}

// A part that comes without the checksum that its upload was announced with, or by a copy,
// is given it, so that the whole has one.
func TestUploadChecksumIsComputed(t *testing.T) {
	w := newWorld(t, config{})
	one := random(5 << 20)
	w.put("source", string(one))
	plain := w.client("SBOWNER", secretKey, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
	var wholes []string
	for _, copied := range []bool{false, true} {
		u := w.upload(fmt.Sprint("copied=", copied), func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = "CRC32C" })
		var etag, sum *string
		if copied {
			out, err := w.s3.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, PartNumber: aws.Int32(1), CopySource: aws.String("photos/source")})
			if err != nil {
				t.Fatal(err)
			}
			etag, sum = out.CopyPartResult.ETag, out.CopyPartResult.ChecksumCRC32C
		} else {
			out, err := plain.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: aws.String("photos"), Key: u.key, UploadId: u.id, PartNumber: aws.Int32(1), Body: bytes.NewReader(one)})
			if err != nil {
				t.Fatal(err)
			}
			etag, sum = out.ETag, out.ChecksumCRC32C
		}
		h := sigv4.CRC32C.New()
		h.Write(one)
		want(t, fmt.Sprint("copied=", copied), aws.ToString(sum), base64.StdEncoding.EncodeToString(h.Sum(nil)))
		out, c := u.complete(named(1, etag))
		want(t, fmt.Sprint("copied=", copied), c, "")
		wholes = append(wholes, aws.ToString(out.ChecksumCRC32C))
	}
	if wholes[0] != wholes[1] || !strings.HasSuffix(wholes[0], "-1") {
		t.Errorf("checksums of the whole: %q", wholes)
	}
}

// What s3fs says of a folder is kept with it, and changed by a copy onto itself.
func TestFolderMetadata(t *testing.T) {
	w := newWorld(t, config{})
	w.put("dir/", "", func(in *s3.PutObjectInput) {
		in.ContentType = aws.String("application/x-directory")
		in.Metadata = map[string]string{"mode": "16877", "uid": "1000", "mtime": "1600000000"}
	})
	look := func(key string) string {
		t.Helper()
		resp, _ := w.do("HEAD", "/photos/"+key, "")
		h := resp.Header
		at, _ := http.ParseTime(h.Get("Last-Modified"))
		return fmt.Sprint(resp.StatusCode, h["X-Amz-Meta-Mode"], h["X-Amz-Meta-Uid"], h["X-Amz-Meta-Mtime"], at.Unix(), " ", h.Get("Content-Type"))
	}
	want(t, "made", look("dir/"), "200 [16877] [1000] [1600000000] 1600000000 application/x-directory")
	w.put("dir/a", "x")
	want(t, "with a member", look("dir/"), "200 [16877] [1000] [1600000000] 1600000000 application/x-directory")
	_, err := w.s3.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: aws.String("dir/"), CopySource: aws.String("photos/dir/"),
		MetadataDirective: "REPLACE", Metadata: map[string]string{"mode": "16832", "mtime": "1700000000"}})
	want(t, "chmod", code(err), "")
	want(t, "changed", look("dir/"), "200 [16832] [] [1700000000] 1700000000 application/x-directory")
	want(t, "its member", w.get("dir/a"), "x")
	_, err = w.s3.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: aws.String("copy/"), CopySource: aws.String("photos/dir/")})
	want(t, "copy", code(err), "")
	want(t, "copied", look("copy/"), "200 [16832] [] [1700000000] 1700000000 application/x-directory")
	want(t, "keys", w.list(), "[copy/ dir/a]")
}
