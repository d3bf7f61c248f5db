package account

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func FuzzSeal(f *testing.F) {
	k, other := GenerateKeys(), GenerateKeys()
	f.Add([]byte("id"), []byte("secret"), 3)
	f.Add([]byte{}, []byte{}, 0)
	f.Fuzz(func(t *testing.T, aad, plain []byte, at int) {
		sealed := k.Seal(aad, plain)
		got, err := k.Open(aad, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("open gave %q, %v, want %q", got, err, plain)
		}
		if bytes.Equal(sealed, k.Seal(aad, plain)) {
			t.Fatal("sealing twice gave the same")
		}
		if _, err := other.Open(aad, sealed); !errors.Is(err, ErrSealed) {
			t.Fatalf("another key opened it: %v", err)
		}
		if _, err := k.Open(append(bytes.Clone(aad), 'x'), sealed); !errors.Is(err, ErrSealed) {
			t.Fatalf("other associated data opened it: %v", err)
		}
		at = (at%len(sealed) + len(sealed)) % len(sealed)
		sealed[at] ^= 1
		if _, err := k.Open(aad, sealed); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed, and it was opened: %v", at, err)
		}
		if _, err := k.Open(aad, sealed[:at]); !errors.Is(err, ErrSealed) {
			t.Fatalf("cut to %d, and it was opened: %v", at, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := GenerateKeys()
	f.Add(k.Seal(nil, []byte("x"))[:20])
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := k.Open([]byte("fuzz"), sealed); err == nil {
			t.Fatalf("opened %q", plain)
		}
	})
}

func TestKeyRotation(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, KeySize)
	old, err := NewKeys(map[uint32][]byte{1: one})
	if err != nil {
		t.Fatal(err)
	}
	both, err := NewKeys(map[uint32][]byte{1: one, 2: two})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open(nil, old.Seal(nil, []byte("x"))); err != nil || string(got) != "x" {
		t.Errorf("the old key's: %q, %v", got, err)
	}
	if _, err := old.Open(nil, both.Seal(nil, []byte("x"))); !errors.Is(err, ErrSealed) {
		t.Errorf("the new key's without the new key: %v", err)
	}
	if !both.Matches(old.Check()) || old.Matches(both.Check()) || old.Check() == both.Check() {
		t.Error("check values do not tell the keys apart")
	}
	if bytes.Equal(old.Derive("a"), old.Derive("b")) || bytes.Equal(old.Derive("a"), both.Derive("a")) {
		t.Error("derived keys are the same")
	}
}

func TestLoadKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	k, created, err := LoadKeys(path, "")
	if err != nil || !created {
		t.Fatalf("new file: %v, %v", created, err)
	}
	again, created, err := LoadKeys(path, "")
	if err != nil || created || again.Check() != k.Check() {
		t.Fatalf("same file again: %v, %v", created, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	env, created, err := LoadKeys(filepath.Join(t.TempDir(), "none"), lines[len(lines)-1])
	if err != nil || created || env.Check() != k.Check() {
		t.Errorf("same key from the environment: %v, %v", created, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", st.Mode())
	}
	os.Chmod(path, 0o640)
	if _, _, err := LoadKeys(path, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("file that others can read: %v", err)
	}
}

func TestLoadKeysBad(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, KeySize))
	for name, value := range map[string]string{
		"short":       base64.StdEncoding.EncodeToString(make([]byte, 16)),
		"not base64":  "1:?",
		"no number":   "x:" + key,
		"zero":        "0:" + key,
		"twice":       "1:" + key + ",1:" + key,
		"only a note": "# nothing",
	} {
		_, _, err := LoadKeys("", value)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error tells the key", name)
		}
	}
	if k, _, err := LoadKeys("", "3:"+key+", 7:"+key); err != nil || k.Current() != 7 {
		t.Errorf("two keys: %v", err)
	}
}
