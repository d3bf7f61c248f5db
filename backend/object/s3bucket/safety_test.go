package s3bucket

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

const (
	blockAll = `<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets>` +
		`<IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>`
	policyPublic = `<PolicyStatus><IsPublic>true</IsPublic></PolicyStatus>`
	aclOwner     = `<AccessControlPolicy><AccessControlList></AccessControlList></AccessControlPolicy>`
	aclPublic    = `<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">` +
		`<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>`
	encrypts = `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>` +
		`</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`
)

func TestCheckSafety(t *testing.T) {
	safe := map[string]string{
		"GET ?list-type":         "403 AccessDenied", // of a stranger
		"GET ?publicAccessBlock": "404 NoSuchPublicAccessBlockConfiguration",
		"GET ?policyStatus":      "404 NoSuchBucketPolicy",
		"GET ?acl":               aclOwner,
		"GET ?encryption":        encrypts,
	}
	for _, c := range []struct {
		name string
		sse  string
		with map[string]string
		want error
		say  string
	}{
		{"safe", SSES3, nil, nil, ""},
		{"everything blocked", SSES3, map[string]string{"GET ?publicAccessBlock": blockAll, "GET ?policyStatus": policyPublic, "GET ?acl": aclPublic}, nil, ""},
		{"strangers can list", SSES3, map[string]string{"GET ?list-type": "<ListBucketResult/>"}, object.ErrUnfit, "block all public access"},
		{"public by policy", SSES3, map[string]string{"GET ?policyStatus": policyPublic}, object.ErrUnfit, "policy"},
		{"public by grant", SSES3, map[string]string{"GET ?acl": aclPublic}, object.ErrUnfit, "READ"},
		{"not encrypted", SSES3, map[string]string{"GET ?encryption": "404 ServerSideEncryptionConfigurationNotFoundError"}, object.ErrUnfit, "none"},
		{"not encrypted, by choice", SSENone, map[string]string{"GET ?encryption": "404 ServerSideEncryptionConfigurationNotFoundError"}, nil, ""},
		{"a store that knows none of it", SSES3, map[string]string{
			"GET ?publicAccessBlock": "501 NotImplemented", "GET ?policyStatus": "405 MethodNotAllowed", "GET ?acl": "501 NotImplemented", "GET ?encryption": "400 InvalidArgument",
		}, nil, ""},
		{"credentials that may not ask", SSEKMS, map[string]string{
			"GET ?publicAccessBlock": "403 AccessDenied", "GET ?policyStatus": "403 AccessDenied", "GET ?acl": "403 AccessDenied", "GET ?encryption": "403 AccessDenied",
		}, nil, ""},
		{"the bucket is gone", SSES3, map[string]string{"GET ?acl": "404 NoSuchBucket"}, object.ErrUnavailable, "NoSuchBucket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
				k := kind(r)
				a, ok := c.with[k]
				if !ok {
					a, ok = safe[k]
				}
				if !ok || k == "GET ?list-type" && r.Header.Get("Authorization") != "" {
					return false
				}
				var status int
				var code string
				if n, _ := fmt.Sscanf(a, "%d %s", &status, &code); n == 2 {
					s3Error(w, status, code)
				} else {
					_, _ = io.WriteString(w, a)
				}
				return true
			})
			opt := f.options()
			opt.AllowInsecureBucket, opt.SSE = false, c.sse
			_, err := Open(t.Context(), opt)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("Open: %v, want %v", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.say) {
				t.Errorf("Open: %v, want it to say %q", err, c.say)
			}
		})
	}
}

// gofakes3 is as open as a bucket can be.
func TestPublicBucketIsRefused(t *testing.T) {
	opt := newFake(t).options()
	opt.AllowInsecureBucket = false
	if _, err := Open(t.Context(), opt); !errors.Is(err, object.ErrUnfit) {
		t.Errorf("Open: %v, want ErrUnfit", err)
	}
}

// Each write asks for the encryption, and an answer that does not confirm it is
// an error.
func TestEncryption(t *testing.T) {
	for _, c := range []struct{ sse, kms, answers string }{
		{SSES3, "", SSES3}, {SSEKMS, "arn:aws:kms:eu-central-1:1:key/2", SSEKMS}, {SSEKMS, "", SSEKMS},
		{SSES3, "", ""}, {SSEKMS, "", SSES3},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			f := newFake(t)
			f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
				switch kind(r) {
				case "PUT", "POST ?uploads":
					h := r.Header
					if h.Get("x-amz-server-side-encryption") != c.sse || h.Get("x-amz-server-side-encryption-aws-kms-key-id") != c.kms {
						t.Errorf("%s asks for %q %q", kind(r), h.Get("x-amz-server-side-encryption"), h.Get("x-amz-server-side-encryption-aws-kms-key-id"))
					}
					if bk := h.Get("x-amz-server-side-encryption-bucket-key-enabled"); c.sse == SSEKMS != (bk == "true") {
						t.Errorf("bucket key: %q", bk)
					}
				case "PUT ?partNumber":
					if r.Header.Get("x-amz-server-side-encryption") != "" {
						t.Error("a part asks for encryption, which S3 refuses")
					}
				}
				if c.answers != "" {
					w.Header().Set("x-amz-server-side-encryption", c.answers)
				}
				return false
			})
			opt := f.options()
			opt.SSE, opt.KMSKeyID = c.sse, c.kms
			b := open(t, opt)
			for _, n := range []int{10, 9 << 20} {
				_, err := b.Put(t.Context(), "a", strings.NewReader(string(objecttest.Bytes(1, n))), -1, nil)
				if c.answers == c.sse && err != nil {
					t.Errorf("Put of %d bytes: %v", n, err)
				}
				if c.answers != c.sse && !errors.Is(err, object.ErrUnfit) {
					t.Errorf("Put of %d bytes: %v, want ErrUnfit", n, err)
				}
			}
			if _, err := b.CreateMultipart(t.Context(), "a", nil); c.answers != c.sse && !errors.Is(err, object.ErrUnfit) {
				t.Errorf("CreateMultipart: %v, want ErrUnfit", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		opt Options
		say string
	}{
		{Options{}, "no bucket"},
		{Options{Bucket: "b", Endpoint: "s3.example.net"}, "not a URL"},
		{Options{Bucket: "b", SSE: "AES128"}, "AES128"},
		{Options{Bucket: "b", KMSKeyID: "k"}, "KMS key needs"},
		{Options{Bucket: "b", PartSize: 1 << 20}, "part size"},
		{Options{Bucket: "b", MaxBuffers: -1}, "buffers"},
		{Options{Bucket: "b", AccessKey: "x"}, "go together"},
		{Options{Bucket: "b", Prefix: "a//b"}, "prefix"},
		{Options{Prefix: "..", SSE: "x"}, "no bucket"},
	} {
		if _, err := Open(t.Context(), c.opt); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%+v: %v, want it to say %q", c.opt, err, c.say)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	f := newFake(t)
	opt := f.options()
	opt.Bucket = "no-such-bucket"
	if _, err := Open(t.Context(), opt); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "create it") {
		t.Errorf("no bucket: %v", err)
	}
	opt = f.options()
	for status, say := range map[int]string{403: "credentials", 301: "another region"} {
		f.answerWith(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(status); return true })
		if _, err := Open(t.Context(), opt); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), say) {
			t.Errorf("%d: %v, want it to say %q", status, err, say)
		}
	}
}

// TestNoCredentials: the machine's metadata service has no role for us, which it says with 404.
// That is no word about the bucket, nor about an object.
func TestNoCredentials(t *testing.T) {
	metadata := httptest.NewServer(http.NotFoundHandler())
	defer metadata.Close()
	f := newFake(t)
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL, "AWS_EC2_METADATA_DISABLED": "false", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_WEB_IDENTITY_TOKEN_FILE": "",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "NO_PROXY": "127.0.0.1",
	} {
		t.Setenv(name, value)
	}
	opt := f.options()
	opt.AccessKey, opt.SecretKey = "", ""
	if _, err := Open(t.Context(), opt); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "no credentials were found") {
		t.Errorf("open: %v", err)
	}
	b := open(t, f.options())
	if _, err := b.Put(t.Context(), "v1/a", strings.NewReader("a"), 1, nil); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	b.s3 = s3.New(b.s3.Options(), func(o *s3.Options) { o.Credentials = cfg.Credentials })
	if _, err := b.Head(t.Context(), "v1/a"); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrNotExist) {
		t.Errorf("head of an object that is there: %v", err)
	}
}
