package account

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecoveryCode(t *testing.T) {
	dir := t.TempDir()
	keys, _, err := LoadKeys(filepath.Join(dir, "old"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Rotate(filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	secret := keys.Seal([]byte("x"), []byte("a secret"))
	code, sealed, err := keys.Backup()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(keys.text()) {
		_, key, _ := strings.Cut(line, ":")
		if bytes.Contains(sealed, []byte(key)) {
			t.Error("a key can be read")
		}
	}
	other, _, err := keys.Backup()
	if err != nil || other == code {
		t.Fatalf("the next code: %v", err)
	}
	path := filepath.Join(dir, "new")
	for _, wrong := range []Secret{"", "x", other, code[1:], code + "A", "0000-0000-0000-0000-0000-0000-0000-0000"} {
		if err := RestoreKeyFile(path, wrong, sealed); !errors.Is(err, ErrRecoveryCode) {
			t.Errorf("a wrong code: %v", err)
		}
	}
	if err := RestoreKeyFile(path, code, sealed[:len(sealed)-1]); !errors.Is(err, ErrRecoveryCode) {
		t.Errorf("cut: %v", err)
	}
	// As somebody types it from paper.
	typed := " " + strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(string(code), "-", " "), "O", "0")) + "\n"
	if err := RestoreKeyFile(path, Secret(typed), sealed); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", st, err)
	}
	restored, created, err := LoadKeys(path, "")
	if err != nil || created || restored.Current() != 2 {
		t.Fatal(created, err)
	}
	if plain, err := restored.Open([]byte("x"), secret); err != nil || string(plain) != "a secret" {
		t.Errorf("got %q, %v", plain, err)
	}
	if err := RestoreKeyFile(path, code, sealed); err == nil {
		t.Error("a key file was replaced")
	}
}
