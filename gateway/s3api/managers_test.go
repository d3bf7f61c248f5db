package s3api_test

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A writerAt is what a parallel download writes to.
type writerAt []byte

func (w writerAt) WriteAt(p []byte, off int64) (int, error) { return copy(w[off:], p), nil }

// TestTransferManager sends an object in parts and gets it back in parallel, by ranges and
// by parts, in every checksum of the SDK and in the payload modes it has: over HTTP the
// body is signed, or not; over HTTPS the checksum follows in a trailer, or nothing is.
func TestTransferManager(t *testing.T) {
	data := random(6 << 20)
	both(t, func(t *testing.T, w *world) {
		for _, unsigned := range []bool{false, true} {
			client := w.client("SBOWNER", secretKey, func(o *s3.Options) {
				if unsigned {
					o.APIOptions = append(o.APIOptions, awsv4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
				}
			})
			for _, a := range []tmtypes.ChecksumAlgorithm{"", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
				if a != "CRC32" && testing.Short() {
					continue
				}
				m := transfermanager.New(client, func(o *transfermanager.Options) {
					o.PartSizeBytes, o.MultipartUploadThreshold, o.ChecksumAlgorithm = 5<<20, 5<<20, a
					if a == "" {
						o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
					}
				})
				for _, size := range []int{0, 1, 5<<20 - 1, len(data)} {
					if size != len(data) && a != "CRC32" {
						continue // the ways of the SDK part at sizes, not at checksums
					}
					key := fmt.Sprintf("unsigned=%v/sum=%s/%d", unsigned, a, size)
					_, err := m.UploadObject(t.Context(), &transfermanager.UploadObjectInput{Bucket: aws.String("photos"), Key: &key, Body: bytes.NewReader(data[:size])})
					if err != nil {
						t.Errorf("upload %s: %v", key, err)
						continue
					}
					for _, kind := range []tmtypes.GetObjectType{tmtypes.GetObjectRanges, tmtypes.GetObjectParts} {
						got := make(writerAt, size)
						_, err := m.DownloadObject(t.Context(), &transfermanager.DownloadObjectInput{Bucket: aws.String("photos"), Key: &key, WriterAt: got, ChecksumMode: tmtypes.ChecksumModeEnabled},
							func(o *transfermanager.Options) { o.GetObjectType = kind })
						if err != nil || !bytes.Equal(got, data[:size]) {
							t.Errorf("download %s by %v: %v", key, kind, err)
						}
					}
				}
			}
		}
	})
}

// TestMinioManager is the same by minio-go, which over HTTP signs each chunk.
func TestMinioManager(t *testing.T) {
	data := random(6 << 20)
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, data, 0o600); err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, w *world) {
		u, err := url.Parse(w.srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		for _, trailing := range []bool{false, true} {
			c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4("SBOWNER", secretKey, ""), Secure: u.Scheme == "https",
				Transport: w.srv.Client().Transport, TrailingHeaders: trailing, Region: "auto"})
			if err != nil {
				t.Fatal(err)
			}
			for _, sum := range []minio.ChecksumType{minio.ChecksumNone, minio.ChecksumCRC32, minio.ChecksumCRC32C, minio.ChecksumFullObjectCRC32C, minio.ChecksumCRC64NVME, minio.ChecksumSHA1, minio.ChecksumSHA256} {
				if sum != minio.ChecksumNone && (!trailing || testing.Short()) {
					continue // it sends checksums in trailers only
				}
				opt := minio.PutObjectOptions{PartSize: 5 << 20, Checksum: sum, NumThreads: 3, SendContentMd5: sum == minio.ChecksumNone}
				key := fmt.Sprintf("trailing=%v/sum=%v", trailing, sum)
				info, err := c.FPutObject(t.Context(), "photos", key, from, opt)
				if err != nil {
					t.Errorf("put %s: %v", key, err)
					continue
				}
				if !strings.HasSuffix(info.ETag, "-2") {
					t.Errorf("put %s: ETag %s", key, info.ETag)
				}
				to := filepath.Join(dir, "to")
				os.Remove(to)
				if err := c.FGetObject(t.Context(), "photos", key, to, minio.GetObjectOptions{Checksum: true}); err != nil {
					t.Errorf("get %s: %v", key, err)
					continue
				}
				if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, data) {
					t.Errorf("get %s: %d bytes, %v", key, len(got), err)
				}
			}
			stream := minio.PutObjectOptions{PartSize: 5 << 20, ConcurrentStreamParts: true, NumThreads: 2}
			if _, err := c.PutObject(t.Context(), "photos", "stream", bytes.NewBuffer(bytes.Clone(data)), -1, stream); err != nil {
				t.Errorf("stream: %v", err)
			}
			_, err = c.ComposeObject(t.Context(), minio.CopyDestOptions{Bucket: "photos", Object: "composed"},
				minio.CopySrcOptions{Bucket: "photos", Object: "stream"}, minio.CopySrcOptions{Bucket: "photos", Object: "stream"})
			if err != nil {
				t.Errorf("compose: %v", err)
			}
			if got := w.get("composed"); got != string(data)+string(data) {
				t.Errorf("composed of %d bytes", len(got))
			}
		}
	})
}
