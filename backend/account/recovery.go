package account

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A recovery code is 160 random bits as 32 characters of base32, in groups of four: to be
// written on paper. With it the master keys can be kept in the bucket, sealed.

// ErrRecoveryCode says that what was typed is no recovery code, or another one.
var ErrRecoveryCode = errors.New("that is not the recovery code of these keys")

// Backup makes a recovery code, and seals the master keys with a key derived from it
// (HKDF-SHA256). Nobody who has only one of the two has the keys.
func (k *Keys) Backup() (code Secret, sealed []byte, err error) {
	var b [20]byte
	rand.Read(b[:])
	var groups []string
	for part := range slices.Chunk([]byte(base32.StdEncoding.EncodeToString(b[:])), 4) {
		groups = append(groups, string(part))
	}
	code = Secret(strings.Join(groups, "-"))
	with, err := recoveryKeys(code)
	if err != nil {
		return "", nil, err
	}
	return code, with.Seal(recoveryAAD, []byte(k.text())), nil
}

var recoveryAAD = []byte("master keys")

// RestoreKeyFile writes the master keys that Backup sealed to the file at path, readable
// by nobody else. A file that is there stays as it is, and is an error. Errors:
// ErrRecoveryCode.
func RestoreKeyFile(path string, code Secret, sealed []byte) error {
	with, err := recoveryKeys(code)
	if err != nil {
		return err
	}
	text, err := with.Open(recoveryAAD, sealed)
	if err != nil {
		return ErrRecoveryCode
	}
	if _, err := parseKeys(string(text)); err != nil {
		return fmt.Errorf("restore the master key: %w", err)
	}
	created, err := writeKeyFile(path, keyFileHead+string(text))
	if err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	if !created {
		return fmt.Errorf("there is a master key in %s already: move it away first", path)
	}
	return nil
}

// recoveryKeys are the keys that a code, as somebody types it, stands for.
func recoveryKeys(code Secret) (*Keys, error) {
	typed := strings.Map(func(r rune) rune {
		switch {
		case r == '0':
			return 'O'
		case r == '1':
			return 'I'
		case r == '-' || r == ' ' || r == '\t' || r == '\r' || r == '\n':
			return -1
		}
		return r
	}, strings.ToUpper(string(code)))
	b, err := base32.StdEncoding.DecodeString(typed)
	if err != nil || len(b) != 20 {
		return nil, fmt.Errorf("%w: it has 8 groups of 4 letters and digits", ErrRecoveryCode)
	}
	key, err := hkdf.Key(sha256.New, b, nil, "shoebox v1 recovery", KeySize)
	if err != nil {
		return nil, err
	}
	return NewKeys(map[uint32][]byte{1: key})
}

// text is the keys as LoadKeys reads them.
func (k *Keys) text() string {
	set := k.set.Load()
	var b strings.Builder
	for _, n := range slices.Sorted(maps.Keys(set.of)) {
		b.WriteString(strconv.FormatUint(uint64(n), 10) + ":" + base64.StdEncoding.EncodeToString(set.of[n].master) + "\n")
	}
	return b.String()
}
