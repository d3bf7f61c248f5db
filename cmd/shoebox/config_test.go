package main

import (
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object/s3bucket"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

// parse reads settings as the program does.
func parse(t *testing.T, args ...string) (*config, error) {
	t.Helper()
	cfg := new(config)
	if _, err := conf.Parse(settingsOf(cfg).FlagSet, nil, conf.Source{Args: args, Prefix: envPrefix}); err != nil {
		t.Fatal(err)
	}
	return cfg, cfg.check()
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		args  string
		fault string // "" means none
	}{
		{"", ""},
		{"-listen 127.1.2.3:80 -s3-listen [::1]:81", ""},
		{"-listen localhost:80", ""},
		{"-listen 8080", "is not an address"},
		{"-listen 192.0.2.1:80", "open to other machines"},
		{"-s3-listen :9000", "open to other machines"},
		{"-listen :80 -allow-plain-http", ""},
		{"-listen :80 -trusted-proxies 10.0.0.0/8,::1", ""},
		{"-listen :443 -s3-listen= -tls-cert c -tls-key k", ""},
		{"-trusted-proxies everybody", "is not a network"},
		{"-public-url photos.example.org", "is not a URL"},
		{"-public-url https://example.org/photos", "must end after the host"},
		{"-bucket photos", "is not of the form s3://"},
		{"-bucket s3:///x", "is not of the form s3://"},
		{"-bucket s3://photos/a/b/ -bucket-kms-key k", ""},
		{"-bucket s3://photos -bucket-sse s3 -bucket-kms-key k", "but bucket-sse is s3"},
		{"-bucket-kms-key k", "but bucket is not"},
		{"-login-links off", "nobody could sign in"},
		{"-oidc-client-id x", "need oidc-issuer"},
		{"-oidc-issuer https://id.example.org -oidc-client-id x -public-url https://p.example.org -allow-group family -login-links off", ""},
		{"-s3-origins editor.example.org", "s3-origins"},
		{"-public-url https://p.example.org -s3-listen= -s3-url https://S3.p.example.org", ""},
		{"-public-url https://p.example.org -s3-listen= -s3-url https://P.example.org:8443", "must have another"},
		{"-public-url https://p.example.org -s3-listen= -s3-url https://example.org", "must have another"}, // s3://p
		{"-public-url https://p.example.org -s3-url https://example.org", ""},
		{"-s3-origins *", ""},
		{"-render-timeout 10ms", "less than 1s"},
	} {
		_, err := parse(t, strings.Fields(test.args)...)
		switch {
		case test.fault == "" && err != nil:
			t.Errorf("%s: %v", test.args, err)
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
			t.Errorf("%s: got %v, want …%s…", test.args, err, test.fault)
		}
	}
}

func TestDerivedSettings(t *testing.T) {
	for _, test := range []struct {
		args, web, s3, s3Host, sse string
	}{
		{"", "http://127.0.0.1:8080", "http://127.0.0.1:9000", "", s3bucket.SSES3},
		{"-listen :443 -s3-listen :9000 -tls-cert c -tls-key k", "https://localhost:443", "https://localhost:9000", "", s3bucket.SSES3},
		{"-public-url https://p.example.org/ -s3-listen= -bucket s3://b -bucket-kms-key k", "https://p.example.org", "", "", s3bucket.SSEKMS},
		{"-s3-listen= -s3-url https://S3.example.org -bucket s3://b -bucket-sse none", "http://127.0.0.1:8080", "https://S3.example.org", "s3.example.org", s3bucket.SSENone},
		{"-s3-url https://s3.example.org", "http://127.0.0.1:8080", "https://s3.example.org", "", s3bucket.SSES3},
	} {
		c, err := parse(t, strings.Fields(test.args)...)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if c.webURL() != test.web || c.s3Endpoint() != test.s3 || c.s3Host() != test.s3Host || c.sse() != test.sse {
			t.Errorf("%s: got %s, %q, %q, %s", test.args, c.webURL(), c.s3Endpoint(), c.s3Host(), c.sse())
		}
	}
}
