package account

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Keys are the master keys: 32 bytes each, numbered from 1. The highest is the
// current one; older ones only open what they sealed. Nothing is sealed or
// hashed with a master key itself but with keys derived from it (HKDF-SHA256,
// RFC 5869), one a purpose. Keys are safe for concurrent use.
//
// Master keys are never in the bucket. Who loses them keeps all photographs and
// users, but has to mint app passwords anew.
type Keys struct {
	set atomic.Pointer[keySet] // replaced whole by Rotate
}

type keySet struct {
	current uint32
	of      map[uint32]*derived
}

type derived struct {
	seal   cipher.AEAD
	pepper []byte
	check  string
	master []byte
}

// KeySize is the length of a master key in bytes.
const KeySize = 32

// ErrSealed says that sealed data can not be opened: it was changed, it belongs
// elsewhere, or it was sealed under a master key that is not here.
var ErrSealed = errors.New("sealed data cannot be opened with the master key at hand")

// NewKeys makes Keys of master keys by number.
func NewKeys(master map[uint32][]byte) (*Keys, error) {
	k := &keySet{of: make(map[uint32]*derived)}
	for n, key := range master {
		if len(key) != KeySize {
			return nil, fmt.Errorf("master key %d has %d bytes, not %d", n, len(key), KeySize)
		}
		if n == 0 {
			return nil, errors.New("master keys are numbered from 1")
		}
		block, err := aes.NewCipher(derive(key, "seal"))
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		k.of[n] = &derived{
			seal: aead, pepper: derive(key, "pepper"), master: bytes.Clone(key),
			check: strconv.FormatUint(uint64(n), 10) + ":" + hex.EncodeToString(derive(key, "check")[:16]),
		}
		k.current = max(k.current, n)
	}
	if k.current == 0 {
		return nil, errors.New("there is no master key")
	}
	keys := new(Keys)
	keys.set.Store(k)
	return keys, nil
}

// GenerateKeys makes one new master key. It is for tests and trials: nothing
// keeps it.
func GenerateKeys() *Keys {
	var b [KeySize]byte
	rand.Read(b[:])
	k, err := NewKeys(map[uint32][]byte{1: b[:]})
	if err != nil {
		panic("account: internal error: " + err.Error())
	}
	return k
}

func derive(key []byte, purpose string) []byte {
	d, err := hkdf.Key(sha256.New, key, nil, "shoebox v1 "+purpose, 32)
	if err != nil {
		panic("account: internal error: " + err.Error()) // only for absurd lengths
	}
	return d
}

// Current is the number of the key that seals.
func (k *Keys) Current() uint32 { return k.set.Load().current }

// Check is a value that tells the current master key from others and tells
// nothing else about it. It is kept in the bucket's format.json, so that a start
// with another key is noticed.
func (k *Keys) Check() string { set := k.set.Load(); return set.of[set.current].check }

// Matches says whether check was made by one of these keys.
func (k *Keys) Matches(check string) bool {
	for _, d := range k.set.Load().of {
		if d.check == check {
			return true
		}
	}
	return false
}

// Derive is a key of 32 bytes for another purpose, of the current master key.
func (k *Keys) Derive(purpose string) []byte {
	set := k.set.Load()
	return derive(set.of[set.current].master, "other "+purpose)
}

func (k *Keys) pepper(version uint32) []byte {
	set := k.set.Load()
	if d := set.of[version]; d != nil {
		return d.pepper
	}
	return set.of[set.current].pepper // which refuses
}

// Sealed data:
//
//	offset  size  what
//	0       1     1: version of this form
//	1       4     number of the master key, big-endian
//	5       12    nonce, random
//	17      n     AES-256-GCM of the plaintext
//	17+n    16    its tag, over bytes 0–4 and the associated data too
const (
	sealVersion = 1
	sealHeader  = 5
	sealNonce   = 12
)

// Seal encrypts and authenticates plaintext. Only Open with the same aad, which
// says what it is and whose, gets it back.
func (k *Keys) Seal(aad, plaintext []byte) []byte {
	out := make([]byte, sealHeader+sealNonce, sealHeader+sealNonce+len(plaintext)+16)
	out[0] = sealVersion
	set := k.set.Load()
	binary.BigEndian.PutUint32(out[1:], set.current)
	rand.Read(out[sealHeader:])
	return set.of[set.current].seal.Seal(out, out[sealHeader:], plaintext, associated(out, aad))
}

// Open is the reverse of Seal. Its error is ErrSealed.
func (k *Keys) Open(aad, sealed []byte) ([]byte, error) {
	if len(sealed) < sealHeader+sealNonce || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	d := k.set.Load().of[binary.BigEndian.Uint32(sealed[1:])]
	if d == nil {
		return nil, ErrSealed
	}
	nonce, text := sealed[sealHeader:sealHeader+sealNonce], sealed[sealHeader+sealNonce:]
	plain, err := d.seal.Open(nil, nonce, text, associated(sealed, aad))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func associated(sealed, aad []byte) []byte {
	return append(append(make([]byte, 0, sealHeader+len(aad)), sealed[:sealHeader]...), aad...)
}

const keyFileHead = `# The master key of this Shoebox. It opens the secrets of app passwords.
# Keep a copy of this file somewhere safe, and not in the bucket.
`

// LoadKeys reads the master keys. value, if not empty, is the keys themselves
// (from the environment); else they are in the file at path, which is made, with
// a new key and readable by nobody else, when there is none; created says so.
//
// A key is its number, a colon, and 32 bytes in base64, one a line (or, in
// value, one a comma); without a number it is number 1.
func LoadKeys(path, value string) (k *Keys, created bool, err error) {
	if value != "" {
		k, err = parseKeys(strings.ReplaceAll(value, ",", "\n"))
		if err != nil {
			return nil, false, fmt.Errorf("master key from the environment: %w", err)
		}
		return k, false, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if created, err = createKeyFile(path); err == nil {
			text, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the master key: %w", err)
	}
	if runtime.GOOS != "windows" {
		st, err := os.Stat(path)
		if err != nil {
			return nil, false, fmt.Errorf("read the master key: %w", err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			return nil, false, fmt.Errorf("the master key in %s can be read by other users of this machine: chmod 600 %[1]s", path)
		}
	}
	k, err = parseKeys(string(text))
	if err != nil {
		return nil, false, fmt.Errorf("master key in %s: %w", path, err)
	}
	return k, created, nil
}

// Rotate adds a new master key to the file at path, from which LoadKeys read these, and
// seals with it from now on. The old ones stay: they open what is not wrapped anew yet
// (Accounts.Rewrap). It must not be called at once from several goroutines.
func (k *Keys) Rotate(path string) (number uint32, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the master key: %w", err)
	}
	there, err := parseKeys(string(text))
	if err != nil {
		return 0, fmt.Errorf("master key in %s: %w", path, err)
	}
	if !there.Matches(k.Check()) {
		return 0, fmt.Errorf("the master key in %s is not the one in use", path)
	}
	var key [KeySize]byte
	rand.Read(key[:])
	number = there.Current() + 1
	line := strconv.FormatUint(uint64(number), 10) + ":" + base64.StdEncoding.EncodeToString(key[:]) + "\n"
	out := strings.TrimRight(string(text), "\n") + "\n" + line
	next, err := parseKeys(out)
	if err != nil {
		return 0, err
	}
	if err := replaceFile(path, []byte(out)); err != nil {
		return 0, fmt.Errorf("write the master key: %w", err)
	}
	k.set.Store(next.set.Load())
	return number, nil
}

// syncDir makes what was renamed durable, as far as the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// createKeyFile makes the file whole or not at all. Who comes second makes none.
func createKeyFile(path string) (created bool, err error) {
	var key [KeySize]byte
	rand.Read(key[:])
	return writeKeyFile(path, keyFileHead+"1:"+base64.StdEncoding.EncodeToString(key[:])+"\n")
}

func writeKeyFile(path, text string) (created bool, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".master-key-*") // its mode is 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	switch err := os.Link(f.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil: // a filesystem without hard links
		if err := os.Rename(f.Name(), path); err != nil {
			return false, err
		}
	}
	syncDir(filepath.Dir(path))
	return true, nil
}

func parseKeys(text string) (*Keys, error) {
	master := make(map[uint32][]byte)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		number, b64, numbered := strings.Cut(line, ":")
		if !numbered {
			number, b64 = "1", line
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, errors.New("a key begins with its number and a colon")
		}
		key, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			return nil, fmt.Errorf("key %d is not base64", n)
		}
		if master[uint32(n)] != nil {
			return nil, fmt.Errorf("there are two keys %d: only one of %v can be right", n, slices.Sorted(maps.Keys(master)))
		}
		master[uint32(n)] = key
	}
	return NewKeys(master)
}
