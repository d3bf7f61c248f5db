package main

import (
	"bufio"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	davMemory = flag.Int("dav.memory", 24, "MiB in each of the 16 uploads of the test of WebDAV's memory; 1024 shows that it does not grow")
	davSlow   = flag.Int("dav.slow", 1000, "slow connections of the test of what they take; 5000 is what is promised")
)

// A resident tells what a process takes of memory.
type resident struct {
	t   *testing.T
	dir string // its own in /proc
}

func newResident(t *testing.T, srv *server) resident {
	t.Helper()
	r := resident{t, filepath.Join("/proc", strconv.Itoa(srv.cmd.Process.Pid))}
	if _, err := os.Stat(r.dir); err != nil {
		t.Skip("there is no /proc")
	}
	return r
}

// bytes are those of a field of its status: VmRSS is what is resident now, VmHWM what was at
// most since reset.
func (r resident) bytes(field string) int64 {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "status"))
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+field+":")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		r.t.Fatal(err)
	}
	return kib << 10
}

// reset begins anew to watch for the peak.
func (r resident) reset() {
	if err := os.WriteFile(filepath.Join(r.dir, "clear_refs"), []byte("5"), 0); err != nil {
		r.t.Skip("the peak can not be reset:", err)
	}
}

// TestDAVMemory measures what the built program takes, resident and at most, while 16 large
// files are put by WebDAV at once: 512 MiB are allowed. Half of them are sent in HTTP chunks.
//
//	go test ./cmd/shoebox -run DAVMemory -v -timeout 30m -dav.memory 1024
func TestDAVMemory(t *testing.T) {
	srv := serveIn(t, filepath.Join(t.TempDir(), "data"))
	memory := newResident(t, srv)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)
	size := int64(*davMemory) << 20
	idle := memory.bytes("VmRSS")
	memory.reset()
	began := time.Now()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			r, err := http.NewRequest("PUT", fmt.Sprintf("%s/dav/photos/film-%d.mov", srv.web, i), io.NewSectionReader(pattern{}, int64(i), size))
			if err != nil {
				t.Error(err)
				return
			}
			if r.ContentLength = size; i%2 == 1 {
				r.ContentLength = -1
			}
			r.SetBasicAuth(c.login, c.secret)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != http.StatusCreated {
				t.Errorf("PUT: got status %d", res.StatusCode)
			}
		})
	}
	all.Wait()
	peak := memory.bytes("VmHWM")
	t.Logf("16 PUTs of %d MiB at once in %v: %d MiB at most, %d MiB idle before", *davMemory, time.Since(began).Round(time.Millisecond), peak>>20, idle>>20)
	if peak > 512<<20 {
		t.Errorf("they take %d MiB, want at most 512", peak>>20)
	}
}

// TestSlowConnections opens connections that send nothing, or half a header, or the beginning
// of a body, and measures what the built program takes for them, and how it answers another
// client meanwhile. That they are closed in time is shown by gateway's TestSlowClients.
//
//	go test ./cmd/shoebox -run SlowConnections -v -dav.slow 5000
func TestSlowConnections(t *testing.T) {
	srv := serveIn(t, filepath.Join(t.TempDir(), "data"))
	memory := newResident(t, srv)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)
	at, err := url.Parse(srv.web)
	if err != nil {
		t.Fatal(err)
	}
	login := "Host: photos\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte(c.login+":"+c.secret)) + "\r\n"
	// p99 of 200 listings.
	p99 := func() time.Duration {
		var took []time.Duration
		for range 200 {
			began := time.Now()
			c.dav("PROPFIND", "photos/", nil, http.StatusMultiStatus)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	before := p99()
	idle := memory.bytes("VmRSS")
	for i := range *davSlow {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Skipf("connection %d: %v: raise the limit of open files", i, err)
		}
		defer conn.Close()
		text := ""
		switch i % 3 {
		case 1:
			text = "PROPFIND /dav/photos/ HTTP/1.1\r\n" + login + "X-Slo"
		case 2:
			text = fmt.Sprintf("PUT /dav/photos/slow-%d.jpg HTTP/1.1\r\n%sContent-Length: 6000000\r\nExpect: 100-continue\r\n\r\n", i, login)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 { // it is read from the body
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
				t.Fatalf("PUT: got %q, %v", line, err)
			}
			io.WriteString(conn, "x")
		}
	}
	among := p99()
	each := (memory.bytes("VmRSS") - idle) / int64(*davSlow)
	t.Logf("%d slow connections: %d KiB each; p99 of a listing %v, without them %v", *davSlow, each>>10, among, before)
	if each > 128<<10 {
		t.Errorf("a slow connection takes %d KiB", each>>10)
	}
	if among > 5*time.Second {
		t.Errorf("among them a listing takes %v", among)
	}
}
