package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/account/awskms/kmstest"
)

// TestKMS: the life of a Shoebox whose master key only KMS can unwrap.
func TestKMS(t *testing.T) {
	kms := kmstest.New(t)
	one, two := kms.NewKey("one"), kms.NewKey("two")
	extraEnv = append(kms.Env(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	t.Cleanup(func() { extraEnv = nil })
	data := filepath.Join(t.TempDir(), "data")
	// start is a server; its end is stop.
	start := func(keys string) *server {
		t.Helper()
		s, err := startServer(t.Context(), built(t), environ(), "", "-data-dir", data, "-master-key-kms", keys)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	fails := func(keys, want string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), built(t), "serve", "-listen", "127.0.0.1:0", "-s3-listen", "", "-data-dir", data, "-master-key-kms", keys)
		cmd.Env = environ()
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Fatalf("with %s: %v, %s", keys, err, out)
		}
	}
	var password string
	works := func(s *server) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "PROPFIND", s.web+"/dav/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Depth", "0")
		r.SetBasicAuth("owner", password)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != 207 {
			t.Fatalf("the phone: %s\n%s", res.Status, s.log)
		}
	}
	made := regexp.MustCompile(`password: (\S+)`)

	s := start(one)
	out := shoebox(t, "app-password", "create", "-label", "phone", "-data-dir", data, "-master-key-kms", one)
	password = made.FindStringSubmatch(out)[1]
	works(s)
	if strings.Contains(s.greeting, "master.key") {
		t.Errorf("the greeting speaks of a file:\n%s", s.greeting)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "master.key")); err == nil {
		t.Error("there is a master.key")
	}
	if calls := strings.Join(kms.Calls(), " "); calls != "GenerateDataKey" {
		t.Errorf("KMS was asked: %s", calls)
	}

	s = start(one)
	works(s)
	// To another KMS key: with both named, a new master key is made.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	fails(two, "another KMS key: name that one, too")
	both := two + "," + one
	s = start(both)
	if out := shoebox(t, "rotate-master-key", "-data-dir", data, "-master-key-kms", both); !strings.Contains(out, "master key in use: 2\nsealed anew: 1 app passwords") || strings.Contains(out, "Copy ") {
		t.Errorf("rotate-master-key: %s", out)
	}
	works(s)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	kms.Fail(one, "DisabledException")
	s = start(two)
	works(s)
	code := regexp.MustCompile(`recovery code: (\S+)`).FindStringSubmatch(shoebox(t, "recovery-code", "-data-dir", data, "-master-key-kms", two))[1]
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	// The KMS key is gone: the paper is not.
	kms.Fail(two, "KMSInvalidStateException")
	fails(two, "cancel its deletion")
	restore := exec.CommandContext(t.Context(), built(t), "recovery-code", "-restore", "-data-dir", data)
	restore.Env, restore.Stdin = environ(), strings.NewReader(code+"\n")
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v %s", err, out)
	}
	three := kms.NewKey("three")
	s = start(three)
	works(s)
	if !strings.Contains(s.log.String(), "wrapped with KMS now: remove the file") {
		t.Errorf("nobody is told to remove the file:\n%s", s.log)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(data, "master.key")); err != nil {
		t.Fatal(err)
	}
	s = start(three)
	works(s)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	// A bucket whose key KMS never saw, on a machine without it.
	for _, name := range []string{"master-key.kms", "bucket/objects/v1/master-keys.json"} {
		if err := os.Remove(filepath.Join(data, name)); err != nil {
			t.Fatal(err)
		}
	}
	fails(three, "so that KMS could wrap it")
}
