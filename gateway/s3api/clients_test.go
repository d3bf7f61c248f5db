package s3api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// TestMinio is a second client of another make: over HTTP it signs each chunk, with
// trailers too.
func TestMinio(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		u, err := url.Parse(w.srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		for _, trailing := range []bool{false, true} {
			c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4("SBOWNER", secretKey, ""), Secure: u.Scheme == "https",
				Transport: w.srv.Client().Transport, TrailingHeaders: trailing})
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{0, 1, 65536, 300_000, 12 << 20} {
				key := fmt.Sprintf("minio %v/%d", trailing, size)
				data := random(size)
				info, err := c.PutObject(t.Context(), "photos", key, bytes.NewReader(data), int64(size), minio.PutObjectOptions{PartSize: 5 << 20, SendContentMd5: size == 300_000 && !trailing})
				if err != nil {
					t.Errorf("put %s: %v", key, err)
					continue
				}
				o, err := c.GetObject(t.Context(), "photos", key, minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(o)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("get %s: %d bytes, %v", key, len(got), err)
				}
				stat, err := c.StatObject(t.Context(), "photos", key, minio.StatObjectOptions{})
				if err != nil || stat.ETag != info.ETag || stat.Size != int64(size) {
					t.Errorf("stat %s: %+v, %v", key, stat, err)
				}
			}
			n := 0
			for o := range c.ListObjects(t.Context(), "photos", minio.ListObjectsOptions{Prefix: fmt.Sprintf("minio %v/", trailing), Recursive: true, MaxKeys: 2}) {
				if o.Err != nil {
					t.Error(o.Err)
				}
				n++
			}
			want(t, "listed", n, 5)
		}
	})
}

// TestChecksumAlgorithms sends every checksum the AWS SDK knows, in the place it
// chooses: headers over HTTP, trailers over HTTPS.
func TestChecksumAlgorithms(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, a := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
			data := random(100_000)
			in := &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String(string(a)), Body: bytes.NewReader(data), ChecksumAlgorithm: a}
			put, err := w.s3.PutObject(t.Context(), in)
			if err != nil {
				t.Errorf("%s: %v", a, err)
				continue
			}
			got, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: in.Key, ChecksumMode: "ENABLED"})
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(b, data) { // the SDK compares as well
				t.Errorf("%s: %d bytes, %v", a, len(b), err)
			}
			sums := func(crc32, crc32c, crc64, sha1, sha256 *string) string {
				return fmt.Sprint(aws.ToString(crc32), aws.ToString(crc32c), aws.ToString(crc64), aws.ToString(sha1), aws.ToString(sha256))
			}
			sent := sums(put.ChecksumCRC32, put.ChecksumCRC32C, put.ChecksumCRC64NVME, put.ChecksumSHA1, put.ChecksumSHA256)
			back := sums(got.ChecksumCRC32, got.ChecksumCRC32C, got.ChecksumCRC64NVME, got.ChecksumSHA1, got.ChecksumSHA256)
			if sent == "" || sent != back {
				t.Errorf("%s: sent %q, got %q", a, sent, back)
			}
			part, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: in.Key, ChecksumMode: "ENABLED", Range: aws.String("bytes=0-9")})
			if err != nil {
				t.Fatal(err)
			}
			part.Body.Close()
			if s := sums(part.ChecksumCRC32, part.ChecksumCRC32C, part.ChecksumCRC64NVME, part.ChecksumSHA1, part.ChecksumSHA256); s != "" {
				t.Errorf("%s: a range has the checksum %s of the whole", a, s)
			}
		}
	})
}
