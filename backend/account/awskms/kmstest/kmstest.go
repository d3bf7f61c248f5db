// Package kmstest is a stand-in for AWS KMS in tests: it answers what package awskms
// asks, over HTTP, and knows who was asked what.
package kmstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Server is a KMS with symmetric keys. Its methods may be called at once from several
// goroutines.
type Server struct {
	URL string

	mu     sync.Mutex
	keys   map[string]cipher.AEAD // by ARN
	faults map[string]string      // by ARN: the exception that every call answers
	calls  []string
}

// Account and region of the keys.
const (
	Region = "eu-west-1"
	prefix = "arn:aws:kms:" + Region + ":111122223333:key/"
)

// New starts a KMS that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{keys: make(map[string]cipher.AEAD), faults: make(map[string]string)}
	h := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Env is the environment for a program that is to ask this KMS, as AWS's SDKs read it.
func (s *Server) Env() []string {
	return []string{"AWS_ENDPOINT_URL_KMS=" + s.URL, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true"}
}

// NewKey adds a key and is its ARN.
func (s *Server) NewKey(id string) (arn string) {
	var secret [32]byte
	rand.Read(secret[:])
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[prefix+id] = aead
	return prefix + id
}

// Fail has every call with a key answer an exception, such as DisabledException; "" ends
// that.
func (s *Server) Fail(arn, exception string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[arn] = exception
}

// Calls are the operations asked since the last call, in their order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.calls
	s.calls = nil
	return list
}

// A call is the body of any of the operations.
type call struct {
	KeyID             string `json:"KeyId"`
	KeySpec           string
	Plaintext         []byte
	CiphertextBlob    []byte
	EncryptionContext map[string]string
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	s.calls = append(s.calls, op)
	var in call
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil {
		refuse(w, "SerializationException")
		return
	}
	if s.faults[in.KeyID] != "" {
		refuse(w, s.faults[in.KeyID])
		return
	}
	if s.keys[in.KeyID] == nil {
		refuse(w, "NotFoundException")
		return
	}
	out := map[string]any{"KeyId": in.KeyID}
	switch op {
	case "GenerateDataKey":
		if in.KeySpec != "AES_256" {
			refuse(w, "ValidationException")
			return
		}
		key := make([]byte, 32)
		rand.Read(key)
		out["Plaintext"], out["CiphertextBlob"] = key, s.seal(in, key)
	case "Encrypt":
		out["CiphertextBlob"] = s.seal(in, in.Plaintext)
	case "Decrypt":
		arn, blob, ok := strings.Cut(string(in.CiphertextBlob), "\n")
		if !ok || len(blob) < 12 {
			refuse(w, "InvalidCiphertextException")
			return
		}
		if arn != in.KeyID {
			refuse(w, "IncorrectKeyException")
			return
		}
		plain, err := s.keys[arn].Open(nil, []byte(blob[:12]), []byte(blob[12:]), context(in))
		if err != nil {
			refuse(w, "InvalidCiphertextException")
			return
		}
		out["Plaintext"] = plain
	default:
		refuse(w, "UnknownOperationException")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(out)
}

// seal is a blob: the key's ARN, a line feed, nonce and ciphertext.
func (s *Server) seal(in call, plain []byte) []byte {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	return s.keys[in.KeyID].Seal(append([]byte(in.KeyID+"\n"), nonce...), nonce, plain, context(in))
}

// context is the encryption context, which a blob is good for only with.
func context(in call) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(in.EncryptionContext)) {
		b = fmt.Appendf(b, "%q=%q\n", name, in.EncryptionContext[name])
	}
	return b
}

func refuse(w http.ResponseWriter, exception string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"__type": exception, "message": "no"})
}
