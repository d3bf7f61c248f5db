package dav_test

import (
	"bufio"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
)

// The requests with which the bare package loses data, one by one. Each of these
// tests would fail on the package by itself: bare_test.go shows it.

// TestCutPut breaks uploads in the middle, over both protocols, with and without a
// length.
func TestCutPut(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("http2=%v,chunked=%v", http2, chunked), func(t *testing.T) {
				s := startShare(t, nil, http2)
				s.put("/dav/photos/old.jpg", "original")
				for _, name := range []string{"old.jpg", "new.jpg"} {
					s.cut("/dav/photos/"+name, chunked)
				}
				s.content("/dav/photos/old.jpg", "original")
				s.gone("/dav/photos/new.jpg")
			})
		}
	}
}

// TestShortPut ends a chunked upload well, but before what the client announced.
func TestShortPut(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.mov", "original")
	s.want(400, "PUT", "/dav/photos/a.mov", "tors", "Transfer-Encoding: chunked", "X-Expected-Entity-Length: 1000")
	s.want(400, "PUT", "/dav/photos/a.mov", "too much of it", "Transfer-Encoding: chunked", "X-Expected-Entity-Length: 3")
	s.content("/dav/photos/a.mov", "original")
	s.want(204, "PUT", "/dav/photos/a.mov", "whole", "Transfer-Encoding: chunked", "X-Expected-Entity-Length: 5")
	s.content("/dav/photos/a.mov", "whole")
}

// TestMoveOfNothing: a client that repeats a MOVE whose answer was lost must not
// lose the file that the first one moved.
func TestMoveOfNothing(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/upload.tmp", "A")
	s.want(201, "MOVE", "/dav/photos/upload.tmp", "", s.dest("/dav/photos/a.jpg"), "Overwrite: T")
	s.want(404, "MOVE", "/dav/photos/upload.tmp", "", s.dest("/dav/photos/a.jpg"), "Overwrite: T")
	s.want(404, "COPY", "/dav/photos/upload.tmp", "", s.dest("/dav/photos/a.jpg"))
	s.content("/dav/photos/a.jpg", "A")
}

func TestOverlap(t *testing.T) {
	s := newShare(t, nil)
	s.mkcol("/dav/photos/p")
	s.mkcol("/dav/photos/p/q")
	s.put("/dav/photos/p/q/f", "F")
	s.put("/dav/photos/g", "G")
	for _, c := range [][2]string{
		{"p/q", "p"},           // onto its parent
		{"p/q", "p/"},          //
		{"p", "p"},             // onto itself
		{"p", "p/"},            //
		{"p/", "p"},            //
		{"p", "p/q/r"},         // into itself
		{"p", "p/new"},         //
		{"g", "g"},             //
		{"g", "g/"},            //
		{"g", "%67"},           // spelled otherwise
		{"p/q/f", "p/q/f/"},    //
		{"p/q/f", "p"},         // a file onto the collection it is in
		{"", "p"}, {"p", ".."}, // refused for other reasons
	} {
		for _, method := range []string{"MOVE", "COPY"} {
			got := s.do(method, "/dav/photos/"+c[0], "", s.dest("/dav/photos/"+c[1]), "Overwrite: T")
			if got.StatusCode != 403 && !(c[1] == ".." && got.StatusCode == 400) {
				t.Errorf("%s %s onto %s: got status %d, want 403", method, c[0], c[1], got.StatusCode)
			}
		}
	}
	s.content("/dav/photos/p/q/f", "F")
	s.content("/dav/photos/g", "G")
	// With a lock's token too: there the package answers 204 and deletes.
	token := s.lock("/dav/photos/g")
	s.want(403, "MOVE", "/dav/photos/g", "", s.dest("/dav/photos/g/"), "Overwrite: T", "If: (<"+token+">)")
	s.content("/dav/photos/g", "G")
}

func TestContentRange(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "0123456789")
	s.want(400, "PUT", "/dav/photos/a.jpg", "AB", "Content-Range: bytes 0-1/10")
	s.want(400, "PUT", "/dav/photos/a.jpg", "AB", "Content-Range: ", "Content-Range: bytes 0-1/10")
	s.content("/dav/photos/a.jpg", "0123456789")
}

// TestEveryChecksum: one that is right does not hide another, whichever way they are sent.
func TestEveryChecksum(t *testing.T) {
	s := newShare(t, nil)
	const right, wrong = "content", "other"
	of := func(text string) (md5Hex, md5Base64, sha256Base64 string) {
		m, h := md5.Sum([]byte(text)), sha256.Sum256([]byte(text))
		return hex.EncodeToString(m[:]), base64.StdEncoding.EncodeToString(m[:]), base64.StdEncoding.EncodeToString(h[:])
	}
	rightHex, rightMD5, rightSHA := of(right)
	wrongHex, wrongMD5, wrongSHA := of(wrong)
	for _, headers := range [][]string{
		{"OC-Checksum: MD5:" + rightHex, "OC-Checksum: MD5:" + wrongHex},
		{"OC-Checksum: MD5:" + rightHex + " MD5:" + wrongHex},
		{"Content-MD5: " + rightMD5, "Content-MD5: " + wrongMD5},
		{"Digest: md5=" + rightMD5, "Digest: sha-256=" + wrongSHA},
		{"Digest: md5=" + rightMD5 + ", sha-256=" + wrongSHA},
		{"Content-Digest: sha-256=:" + rightSHA + ":", "Repr-Digest: sha-256=:" + wrongSHA + ":;a=1"},
	} {
		s.want(400, "PUT", "/dav/photos/a.jpg", right, headers...)
		s.gone("/dav/photos/a.jpg")
	}
	s.want(201, "PUT", "/dav/photos/a.jpg", right, "OC-Checksum: MD5:"+rightHex, "Content-MD5: "+rightMD5,
		"Digest: md5="+rightMD5, "Digest: sha-256="+rightSHA, "Repr-Digest: unknown=:AA==:, sha-256=:"+rightSHA+":;a=1")
}

// TestDeleteAfterFailedPut: rclone deletes the target after a failed upload, even if
// that was to replace an old file. It can be had back.
func TestDeleteAfterFailedPut(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "original")
	s.want(400, "PUT", "/dav/photos/a.jpg", "damaged", "OC-Checksum: SHA1:"+strings.Repeat("0", 40))
	s.want(204, "DELETE", "/dav/photos/a.jpg", "")
	s.gone("/dav/photos/a.jpg")
	trash, err := s.lib.Trash(t.Context(), "", 10)
	if err != nil || len(trash) != 1 {
		t.Fatalf("trash: got %d entries, %v, want 1", len(trash), err)
	}
	if _, err := s.lib.Restore(t.Context(), trash[0].Entry.Ino); err != nil {
		t.Fatal(err)
	}
	s.content("/dav/photos/a.jpg", "original")
}

// TestEarlyAnswer: what is refused is refused before the body is asked for.
func TestEarlyAnswer(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "original")
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "PUT /dav/photos/a.jpg HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\nIf-None-Match: *\r\n\r\n")
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, " 412 ") {
		t.Errorf("got %q, %v, want 412 at once", line, err)
	}
}
