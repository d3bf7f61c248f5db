package s3bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// Without a network: gofakes3, mended by fake where it is not like S3.
func TestBucketFake(t *testing.T) {
	objecttest.Bucket(t, func(t *testing.T) object.Bucket { return open(t, newFake(t).options()) },
		objecttest.Reopen(func(t *testing.T, b object.Bucket) object.Bucket { return open(t, b.(*Bucket).opt) }), keepsMeta)
}

// What fake can not mend without losing that an overwrite is atomic.
var keepsMeta = objecttest.Skip("an overwrite drops metadata", "gofakes3 merges the old metadata into the new")

// A prefix hides all that is outside of it.
func TestPrefix(t *testing.T) {
	f := newFake(t)
	opt := f.options()
	outside := open(t, opt)
	opt.Prefix = "/family/photos/"
	b := open(t, opt)
	for _, name := range []string{"a", "family/photo", "family/photos.x", "family/photos0", "family/photoz/y", "zz", "x/y"} {
		if _, err := outside.Put(t.Context(), name, nil, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a", "b/c", "x/y"}
	for _, name := range want {
		if err := create(t, b, name, name); err != nil {
			t.Fatal(err)
		}
		if info, err := b.Head(t.Context(), name); err != nil || info.Name != name || info.Size != int64(len(name)) {
			t.Errorf("Head(%q): %+v, %v", name, info, err)
		}
	}
	id, err := b.CreateMultipart(t.Context(), "m", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.PutPart(t.Context(), "m", id, 1, strings.NewReader("x"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := b.CompleteMultipart(t.Context(), "m", id, []object.Part{p}); err != nil || info.Name != "m" {
		t.Errorf("CompleteMultipart: %+v, %v", info, err)
	}
	if err := b.Delete(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	names := func(b *Bucket, prefix, after string) (all []string) {
		for info, err := range b.List(t.Context(), prefix, after) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, info.Name)
		}
		return all
	}
	if got := names(b, "", ""); !slices.Equal(got, want) {
		t.Errorf("List: %q, want %q", got, want)
	}
	if got := names(b, "", "b"); !slices.Equal(got, want[1:]) {
		t.Errorf("List after b: %q, want %q", got, want[1:])
	}
	if got := names(outside, "family/photos/", ""); len(got) != 3 || got[0] != "family/photos/a" {
		t.Errorf("from outside: %q", got)
	}
	long := strings.Repeat(strings.Repeat("n", 99)+"/", 10) + "x"
	if err := create(t, b, long+strings.Repeat("x", 1024-len(long)), ""); !errors.Is(err, object.ErrName) {
		t.Errorf("a name too long with its prefix: %v, want ErrName", err)
	}
}

// A server of another make, when it is installed: go install
// github.com/versity/versitygw/cmd/versitygw@v1.8.0
func TestBucketVersitygw(t *testing.T) {
	opt := versitygw(t)
	suite(t, opt, func(t *testing.T) string {
		name := "test-" + strings.ToLower(rand.Text()[:12])
		admin := client(mustConfig(t, opt), opt)
		if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
		return name
	}, versityGaps...)
	t.Run("safety", func(t *testing.T) {
		opt := opt
		opt.Bucket, opt.AllowInsecureBucket = "safe-test", false
		admin := client(mustConfig(t, opt), opt)
		if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &opt.Bucket}); err != nil {
			t.Fatal(err)
		}
		b := open(t, opt)
		if err := errors.Join(object.SelfTest(t.Context(), b, "v1/"), object.SelfTestRace(t.Context(), b, "v1/")); err != nil {
			t.Error(err)
		}
		opt.SSE = SSES3
		if _, err := Open(t.Context(), opt); err == nil {
			t.Log("it says that it encrypts by default")
		} else if !errors.Is(err, object.ErrUnfit) {
			t.Errorf("Open with SSE: %v, want ErrUnfit", err)
		}
		opt.SSE, opt.SecretKey = SSENone, "wrong"
		if _, err := Open(t.Context(), opt); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("Open with a wrong secret: %v, want ErrUnavailable", err)
		}
		opt = versionless(opt)
		if _, err := Open(t.Context(), opt); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("Open of no bucket: %v, want ErrUnavailable", err)
		}
	})
}

func versionless(opt Options) Options {
	opt.Bucket, opt.SecretKey = "no-such-bucket", versitySecret
	return opt
}

var versityGaps []objecttest.Option

// Amazon S3, when SHOEBOX_TEST_BUCKET names a bucket to which the environment
// has credentials. What the test writes is below a prefix of its own.
func TestBucketAWS(t *testing.T) {
	bucket := os.Getenv("SHOEBOX_TEST_BUCKET")
	if bucket == "" {
		t.Skip("SHOEBOX_TEST_BUCKET is not set")
	}
	opt := Options{Bucket: bucket, Region: os.Getenv("SHOEBOX_TEST_BUCKET_REGION"), Endpoint: os.Getenv("SHOEBOX_TEST_BUCKET_ENDPOINT")}
	root := "shoebox-test/" + rand.Text()
	n := 0
	objecttest.Bucket(t, func(t *testing.T) object.Bucket {
		n++
		opt := opt
		opt.Prefix = fmt.Sprintf("%s/%d", root, n)
		b := open(t, opt)
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			for info, err := range b.List(ctx, "", "") {
				if err != nil {
					t.Error(err)
					return
				}
				_ = b.Delete(ctx, info.Name)
			}
		})
		return b
	}, objecttest.Reopen(func(t *testing.T, b object.Bucket) object.Bucket { return open(t, b.(*Bucket).opt) }),
		objecttest.Skip("names that are odd but valid", "one is as long as S3 allows without a prefix"))
}

// suite runs the contract against a server, with a new bucket for each case.
func suite(t *testing.T, opt Options, create func(*testing.T) string, more ...objecttest.Option) {
	objecttest.Bucket(t, func(t *testing.T) object.Bucket {
		opt := opt
		opt.Bucket = create(t)
		return open(t, opt)
	}, append(more, objecttest.Reopen(func(t *testing.T, b object.Bucket) object.Bucket { return open(t, b.(*Bucket).opt) }))...)
}

const versitySecret = "test-secret-key"

// versitygw starts the server on a free port and stops it at the test's end.
func versitygw(t *testing.T) Options {
	t.Helper()
	bin := os.Getenv("SHOEBOX_TEST_VERSITYGW")
	if bin == "" {
		var err error
		if bin, err = exec.LookPath("versitygw"); err != nil {
			t.Skip("versitygw is not installed, and SHOEBOX_TEST_VERSITYGW does not name it")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	var out bytes.Buffer
	cmd := exec.Command(bin, "--port", addr, "posix", t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=test-key", "ROOT_SECRET_KEY="+versitySecret)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
	tick, late := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			t.Fatalf("versitygw ended:\n%s", out.String())
		case <-late:
			t.Fatal("versitygw does not listen")
		case <-tick.C:
			if c, err := net.Dial("tcp", addr); err == nil {
				_ = c.Close()
				return Options{
					Bucket: "none-yet", Endpoint: "http://" + addr, PathStyle: true, SSE: SSENone, AllowInsecureBucket: true,
					AccessKey: "test-key", SecretKey: versitySecret,
				}
			}
		}
	}
}

func mustConfig(t *testing.T, opt Options) aws.Config {
	t.Helper()
	if err := opt.complete(); err != nil {
		t.Fatal(err)
	}
	cfg, err := opt.config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
