package main

import (
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var s3Memory = flag.Int("s3.memory", 16, "MiB in each of the 16 uploads, and a fifth of the one PUT, of the test of S3's memory; 256 and 1024 show that it does not grow")

// pattern is bytes without end.
type pattern struct{}

func (pattern) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte((off + int64(i)) >> 4)
	}
	return len(p), nil
}

// TestS3Memory measures what the built program takes, resident and at most, for uploads by
// S3: 16 multipart uploads at once within 512 MiB, and one large PUT within 64 MiB more than
// it takes idle.
//
//	go test ./cmd/shoebox -run S3Memory -v -timeout 60m -s3.memory 1024
func TestS3Memory(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	srv := serveIn(t, data)
	memory := newResident(t, srv)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(srv.s3), UsePathStyle: true, Region: "auto",
		Credentials:                credentials.NewStaticCredentialsProvider(c.id, c.secret, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	}, func(o *s3.Options) { // hashing is the server's work here
		o.APIOptions = append(o.APIOptions, awsv4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	})
	size := int64(*s3Memory) << 20

	idle := memory.bytes("VmRSS")
	memory.reset()
	began := time.Now()
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("put"), Body: io.NewSectionReader(pattern{}, 0, 5*size), ContentLength: aws.Int64(5 * size)})
	if err != nil {
		t.Fatal(err)
	}
	peak := memory.bytes("VmHWM")
	t.Logf("a PUT of %d MiB in %v: %d MiB at most, %d MiB idle before", 5**s3Memory, time.Since(began).Round(time.Millisecond), peak>>20, idle>>20)
	if peak-idle > 64<<20 {
		t.Errorf("a PUT takes %d MiB more than idle", (peak-idle)>>20)
	}

	memory.reset()
	began = time.Now()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			key := aws.String(fmt.Sprintf("multipart/%d", i))
			u, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: key})
			if err != nil {
				t.Error(err)
				return
			}
			const part = 8 << 20
			var parts []types.CompletedPart
			for off := int64(0); off < size; off += part {
				n := aws.Int32(int32(len(parts) + 1))
				p, err := client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: u.Bucket, Key: key, UploadId: u.UploadId, PartNumber: n, Body: io.NewSectionReader(pattern{}, off, min(part, size-off))})
				if err != nil {
					t.Error(err)
					return
				}
				parts = append(parts, types.CompletedPart{PartNumber: n, ETag: p.ETag})
			}
			if i%4 == 3 {
				return // abandoned
			}
			_, err = client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: u.Bucket, Key: key, UploadId: u.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	peak = memory.bytes("VmHWM")
	t.Logf("16 uploads of %d MiB at once, 4 of them abandoned, in %v: %d MiB at most", *s3Memory, time.Since(began).Round(time.Millisecond), peak>>20)
	if peak > 512<<20 {
		t.Errorf("they take %d MiB", peak>>20)
	}
}
