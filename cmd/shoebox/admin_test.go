package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A path that is too long for a socket's address is no obstacle, and the socket is closed to others.
func TestLongDataDir(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 12), "data")
	srv := serveIn(t, data)
	if got := shoebox(t, "health", "-data-dir", data); got != "ok\n" {
		t.Errorf("got %q", got)
	}
	st, err := os.Stat(filepath.Join(data, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v", st.Mode())
	}
	if err := srv.stop(); err != nil {
		t.Error(err)
	}
}

func TestAdminHandler(t *testing.T) {
	operations["test-fail"] = stream(func(*node, context.Context, none, io.Writer) error { return errors.New("it did not work") })
	operations["test-cut"] = stream(func(_ *node, _ context.Context, _ none, w io.Writer) error {
		io.WriteString(w, "half an ans")
		return errors.New("it broke off")
	})
	defer delete(operations, "test-fail")
	defer delete(operations, "test-cut")
	srv := httptest.NewServer(adminHandler(nil, slog.New(slog.DiscardHandler)))
	defer srv.Close()
	for _, test := range []struct {
		method, op, body string
		status           int
		want             string
	}{
		{"POST", "/test-fail", "{}", 422, "it did not work"},
		{"POST", "/test-fail", "nonsense", 422, "arguments"},
		{"POST", "/from-the-future", "{}", 404, "another version"},
		{"GET", "/test-fail", "", 404, ""},
	} {
		req, err := http.NewRequest(test.method, srv.URL+test.op, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != test.status || !strings.Contains(string(text), test.want) {
			t.Errorf("%s %s: got %s %s, %v", test.method, test.op, res.Status, text, err)
		}
	}
	// What breaks off must not look whole.
	res, err := http.Post(srv.URL+"/test-cut", "application/json", strings.NewReader("{}"))
	if err == nil {
		if text, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("got %q as if it were all", text)
		}
	}
}
