package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/account/awskms"
	"github.com/shoebox-photos/shoebox/backend/account/awskms/kmstest"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// setenv points the SDK at a stand-in.
func setenv(t *testing.T, s *kmstest.Server) {
	t.Helper()
	for _, kv := range append(s.Env(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_REGION=", "AWS_PROFILE=") {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
}

func newWrapper(t *testing.T, keys ...string) *awskms.Wrapper {
	t.Helper()
	w, err := awskms.New(t.Context(), awskms.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWrapper(t *testing.T) {
	s := kmstest.New(t)
	setenv(t, s)
	one, two := s.NewKey("one"), s.NewKey("two")
	testWrapper(t, one, two)
	if got, want := s.Calls(), []string{"GenerateDataKey", "Decrypt", "Decrypt", "Encrypt", "Decrypt", "Decrypt", "Decrypt", "Decrypt"}; !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}

// TestMoto is the same at moto's server, if SHOEBOX_TEST_KMS is its address.
func TestMoto(t *testing.T) {
	endpoint := os.Getenv("SHOEBOX_TEST_KMS")
	if endpoint == "" {
		t.Skip("SHOEBOX_TEST_KMS names no KMS")
	}
	t.Setenv("AWS_ENDPOINT_URL_KMS", endpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(kmstest.Region))
	if err != nil {
		t.Fatal(err)
	}
	var arns []string
	for range 2 {
		out, err := kms.NewFromConfig(cfg).CreateKey(t.Context(), &kms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		arns = append(arns, aws.ToString(out.KeyMetadata.Arn))
	}
	testWrapper(t, arns[0], arns[1])
}

func testWrapper(t *testing.T, one, two string) {
	ctx := t.Context()
	w := newWrapper(t, one)
	key, wrapped, err := w.Generate(ctx, 1)
	if err != nil || len(key) != account.KeySize || bytes.Contains(wrapped, key) {
		t.Fatalf("made %d bytes, wrapped in %d: %v", len(key), len(wrapped), err)
	}
	if got, err := w.Unwrap(ctx, 1, wrapped); err != nil || !bytes.Equal(got, key) {
		t.Errorf("unwrapped: %v", err)
	}
	if _, err := w.Unwrap(ctx, 2, wrapped); err == nil || !strings.Contains(err.Error(), "was changed, or is another Shoebox's") {
		t.Errorf("under another number: %v", err)
	}
	again, err := w.Wrap(ctx, 3, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.Unwrap(ctx, 3, again); err != nil || !bytes.Equal(got, key) {
		t.Errorf("wrapped by hand: %v", err)
	}
	if _, err := newWrapper(t, two).Unwrap(ctx, 1, wrapped); err == nil {
		t.Error("another key unwraps it")
	}
	if got, err := newWrapper(t, two, one).Unwrap(ctx, 1, wrapped); err != nil || !bytes.Equal(got, key) {
		t.Errorf("with the second key: %v", err)
	}
}

func TestFaultsSayWhatToDo(t *testing.T) {
	s := kmstest.New(t)
	setenv(t, s)
	arn := s.NewKey("one")
	w := newWrapper(t, arn)
	if _, wrapped, err := w.Generate(t.Context(), 1); err != nil {
		t.Fatal(err)
	} else if _, err := newWrapper(t, s.NewKey("two")).Unwrap(t.Context(), 1, wrapped); err == nil || !strings.Contains(err.Error(), "another KMS key: name that one, too") {
		t.Errorf("with another key: %v", err)
	}
	for exception, want := range map[string]string{
		"DisabledException":        "enable it",
		"KMSInvalidStateException": "enable it",
		"NotFoundException":        "no such KMS key",
		"AccessDeniedException":    "must be allowed kms:GenerateDataKey",
		"InvalidKeyUsageException": "symmetric",
		"ValidationException":      "refused kms:GenerateDataKey",
	} {
		s.Fail(arn, exception)
		if _, _, err := w.Generate(t.Context(), 1); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), arn) {
			t.Errorf("%s: %v, want …%s…", exception, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	setenv(t, kmstest.New(t))
	for _, keys := range [][]string{
		nil, {"alias/without-a-region"}, {"arn:aws:s3:::bucket"},
		{"arn:aws:kms:eu-west-1:1:key/a", "arn:aws:kms:us-east-1:1:key/b"},
	} {
		if _, err := awskms.New(t.Context(), awskms.Options{Keys: keys}); err == nil {
			t.Errorf("%q was taken", keys)
		}
	}
	if _, err := awskms.New(t.Context(), awskms.Options{Keys: []string{"alias/shoebox"}, Region: "eu-west-1"}); err != nil {
		t.Error(err)
	}
}

// TestStore: keys that KMS wraps, from the first start to another KMS key.
func TestStore(t *testing.T) {
	s := kmstest.New(t)
	setenv(t, s)
	ctx := t.Context()
	one, two := s.NewKey("one"), s.NewKey("two")
	b := membucket.New()
	at := func(bucket object.Bucket, dir string, keys ...string) *account.WrappedStore {
		return &account.WrappedStore{Wrapper: newWrapper(t, keys...), Bucket: bucket, Path: filepath.Join(dir, "master-key.kms")}
	}
	here, there := t.TempDir(), t.TempDir()
	if _, err := at(b, here, one).Load(ctx); !errors.Is(err, account.ErrNoKeys) {
		t.Fatalf("nothing there: %v", err)
	}
	keys, err := at(b, here, one).Create(ctx, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	sealed := keys.Seal([]byte("x"), []byte("canary-text"))
	opens := func(name string, s *account.WrappedStore) *account.Keys {
		t.Helper()
		k, err := s.Load(ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text, err := k.Open([]byte("x"), sealed); err != nil || string(text) != "canary-text" {
			t.Fatalf("%s: %q, %v", name, text, err)
		}
		return k
	}
	opens("again", at(b, here, one))
	opens("another machine, the same bucket", at(b, there, one))
	opens("another bucket, the same machine", at(membucket.New(), here, one))
	if k, err := at(b, t.TempDir(), one).Create(ctx, nil, false); err != nil || k.Check() != keys.Check() {
		t.Errorf("who comes second has other keys: %v", err)
	}
	info, err := os.Stat(filepath.Join(here, "master-key.kms"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}

	// Another master key, and another KMS key, in one.
	store := at(b, here, two, one)
	k := opens("with a second KMS key", store)
	if n, err := store.Rotate(ctx, k); err != nil || n != 2 || k.Current() != 2 {
		t.Fatalf("rotated to %d, %v", n, err)
	}
	k = opens("after it, without the first", at(b, here, two))
	if k.Current() != 2 {
		t.Errorf("key %d is in use", k.Current())
	}
	opens("and on the machine with the older file", at(b, there, two))

	// A file, wrapped.
	path := filepath.Join(t.TempDir(), "master.key")
	old, _, err := account.LoadKeys(path, "")
	if err != nil {
		t.Fatal(err)
	}
	fresh := membucket.New()
	if k, err = at(fresh, t.TempDir(), one).Create(ctx, old, false); err != nil || k.Check() != old.Check() {
		t.Fatalf("from a file: %v", err)
	}
	if k, err = at(fresh, t.TempDir(), one).Load(ctx); err != nil || k.Check() != old.Check() {
		t.Errorf("from a file, again: %v", err)
	}
	// Nothing of a key is in a bucket.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, b64, _ := strings.Cut(strings.TrimSpace(string(text[bytes.LastIndex(text, []byte("\n1:")):])), ":")
	for name, data := range dump(ctx, t, fresh) {
		if b64 == "" || strings.Contains(data, b64) {
			t.Errorf("%s has the key %q", name, b64)
		}
	}
}

// TestStoreDamaged: what can not be read is an error, and nothing is written over it.
func TestStoreDamaged(t *testing.T) {
	s := kmstest.New(t)
	setenv(t, s)
	arn := s.NewKey("one")
	for _, text := range []string{"", "{", `{"v":2,"keys":{"1":"AAAA"}}`, `{"v":1}`, `{"v":1,"keys":{"1":"AAAA"}}`} {
		b := membucket.New()
		store := &account.WrappedStore{Wrapper: newWrapper(t, arn), Bucket: b, Path: filepath.Join(t.TempDir(), "k")}
		if _, err := b.Put(t.Context(), account.WrappedName, strings.NewReader(text), int64(len(text)), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(t.Context()); err == nil || errors.Is(err, account.ErrNoKeys) {
			t.Errorf("%q: %v", text, err)
		}
		if got := dump(t.Context(), t, b); !maps.Equal(got, map[string]string{account.WrappedName: text}) {
			t.Errorf("the bucket has %q", got)
		}
	}
}

func dump(ctx context.Context, t *testing.T, b object.Bucket) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for o, err := range b.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Get(ctx, o.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		all[o.Name] = string(text)
	}
	return all
}
