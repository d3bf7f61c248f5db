package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object/s3bucket"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// envPrefix begins the name of every environment variable that is a setting.
const envPrefix = "SHOEBOX_"

const defaultDataDir = "./shoebox-data"

// A config holds every setting. settingsOf defines them; what their values mean for
// each other is checked by check.
type config struct {
	configFile string
	dataDir    string

	listen, s3Listen string
	publicURL, s3URL string
	tlsCert, tlsKey  string
	trustedProxies   conf.List
	allowPlainHTTP   bool
	maxConns         int
	s3Origins        conf.List
	loginLinks       string // auto, on, off
	drain            time.Duration
	bucket           string
	bucketEndpoint   string
	bucketRegion     string
	bucketPathStyle  bool
	bucketSSE        string
	bucketKMSKey     string
	allowInsecure    bool
	masterKey        conf.Secret
	masterKeyFile    string
	masterKeyKMS     conf.List
	oidcIssuer       string
	oidcName         string
	oidcClientID     string
	oidcClientSecret conf.Secret
	oidcScopes       conf.List
	allowEmail       conf.List
	allowDomain      conf.List
	allowGroup       conf.List
	oidcGroupsClaim  string
	oidcNoOffline    bool
	oidcMore         conf.List
	oidcProof        time.Duration
	oidcGrace        time.Duration
	providers        []auth.OIDCConfig // all of them
	owner            string
	trashDays        int
	versionDays      int
	collectDays      int
	workers          int
	renderMemory     conf.Bytes
	renderTimeout    time.Duration
	spool            conf.Bytes
	maxUpload        conf.Bytes
	minFree          conf.Bytes
	snapshotEvery    int
	snapshotAge      time.Duration
	logLevel         slog.Level
	logFormat        string
	davTrace         string
	proxies          []netip.Prefix // parsed trustedProxies
	bucketName       string         // parsed bucket; "" is the directory
	bucketPrefix     string
	publicOrigin     *url.URL // parsed publicURL; nil if not set
}

// A group is some settings of one subject, in the order they are documented.
type group struct {
	title string
	text  string
	names []string
}

// settings is the whole configuration as one FlagSet, with its grouping.
type settings struct {
	*flag.FlagSet
	groups []group
}

// group documents together what define defines.
func (s *settings) group(title, text string, define func()) {
	s.groups = append(s.groups, group{title: title, text: text})
	define()
}

func (s *settings) note(name string) {
	g := &s.groups[len(s.groups)-1]
	g.names = append(g.names, name)
}

func (s *settings) str(p *string, name, value, usage string) {
	s.StringVar(p, name, value, usage)
	s.note(name)
}

func (s *settings) integer(p *int, name string, value int, usage string) {
	s.IntVar(p, name, value, usage)
	s.note(name)
}

func (s *settings) yes(p *bool, name, usage string) {
	s.BoolVar(p, name, false, usage)
	s.note(name)
}

func (s *settings) duration(p *time.Duration, name string, value time.Duration, usage string) {
	s.DurationVar(p, name, value, usage)
	s.note(name)
}

func (s *settings) value(v flag.Value, name, usage string) {
	s.Var(v, name, usage)
	s.note(name)
}

func (s *settings) secret(p *conf.Secret, name, usage string) {
	conf.SecretVar(s.FlagSet, p, name, usage)
	s.note(name)
	s.note(name + "-file")
}

// settingsOf defines the settings, which fill c.
func settingsOf(c *config) *settings {
	s := &settings{FlagSet: flag.NewFlagSet("shoebox", flag.ContinueOnError)}
	s.group("Files", "", func() {
		s.str(&c.configFile, conf.FileSetting, "", "`file` with settings, one a line: name = value")
		s.str(&c.dataDir, "data-dir", defaultDataDir, "`directory` for the index, the keys and, if there is no bucket elsewhere, the photographs; made if missing, for the owner only")
	})
	s.group("Where it listens", "Beyond this machine it speaks HTTPS only: give it a certificate, or put a proxy that has one in front.", func() {
		s.str(&c.listen, "listen", "127.0.0.1:8080", "`address` of the page and WebDAV")
		s.str(&c.s3Listen, "s3-listen", "127.0.0.1:9000", "`address` of S3; empty turns it off, or puts it on the web listener if s3-url has a host name of its own")
		s.str(&c.publicURL, "public-url", "", "`URL` under which users reach the page, as https://photos.example.org; empty means by the address listened on")
		s.str(&c.s3URL, "s3-url", "", "`URL` under which users reach S3, as https://s3.photos.example.org")
		s.value(&c.s3Origins, "s3-origins", "`origins`, as https://editor.example.org, whose scripts may use S3 from a browser (CORS)")
		s.str(&c.tlsCert, "tls-cert", "", "`file` with the TLS certificate and its chain, PEM; read again when it changes")
		s.str(&c.tlsKey, "tls-key", "", "`file` with the TLS key, PEM")
		s.value(&c.trustedProxies, "trusted-proxies", "`networks`, as 10.0.0.0/8,::1, whose X-Forwarded-For and X-Forwarded-Proto are believed")
		s.yes(&c.allowPlainHTTP, "allow-plain-http", "listen beyond this machine without TLS and without a trusted proxy: passwords then travel in the clear")
		s.integer(&c.maxConns, "max-conns", 16384, "most connections a listener serves at once")
		s.duration(&c.drain, "drain", 10*time.Second, "how long requests under way may go on when it is told to stop")
	})
	s.group("The bucket", "Where the photographs are. Without a bucket they are in the directory bucket/ of data-dir. Credentials come from where the AWS tools find them: environment, profile, instance role.", func() {
		s.str(&c.bucket, "bucket", "", "`s3://name/prefix`, or empty for a directory")
		s.str(&c.bucketEndpoint, "bucket-endpoint", "", "`URL` of an S3 store that is not Amazon's")
		s.str(&c.bucketRegion, "bucket-region", "", "`region` of the bucket; empty means what the AWS tools are set to")
		s.yes(&c.bucketPathStyle, "bucket-path-style", "put the bucket's name into the path instead of the host name; most stores other than Amazon's want it")
		s.str(&c.bucketSSE, "bucket-sse", "auto", "`encryption` asked of the store: s3 (its own keys), kms, none, or auto, which is kms if bucket-kms-key is set, else s3")
		s.str(&c.bucketKMSKey, "bucket-kms-key", "", "`ARN` of the KMS key")
		s.yes(&c.allowInsecure, "allow-insecure-bucket", "use a bucket although it is public or not encrypted")
	})
	s.group("Keys", "The master key seals what the bucket must not show: the S3 secrets of app passwords. It is made at the first start. Keep a copy apart from the bucket.", func() {
		s.value(&c.masterKey, "master-key", "`key`, 32 bytes in base64")
		s.str(&c.masterKeyFile, "master-key-file", "", "`file` that holds the key, readable by its owner only; empty means master.key in data-dir. It is made if there is none")
		s.value(&c.masterKeyKMS, "master-key-kms", "`keys` of AWS KMS, by ARN or as alias/name, in place of a file: the master key is kept wrapped with the first, in the bucket and in data-dir, and unwrapped at each start; the others only unwrap, until rotate-master-key was called")
	})
	s.group("Who may sign in", "With an identity provider (OpenID Connect) nobody may sign in until a rule allows it, one of allow-email, allow-domain, allow-group, or the owner has invited them on the page. Without one, people sign in by links that the operator makes: shoebox login-link.", func() {
		c.defineProvider(s)
		s.value(&c.oidcMore, "oidc-more", "`files` with these settings, oidc-… and allow-…, for further providers, one each; the redirect URL of google.conf is public-url + /login/oidc/google/callback")
		s.duration(&c.oidcProof, "oidc-proof", 24*time.Hour, "how `often` the provider is asked whether an account still stands; if not, its app passwords stop")
		s.duration(&c.oidcGrace, "oidc-grace", 30*24*time.Hour, "`time` after which app passwords stop if the provider could not be asked; 0 means never")
		s.str(&c.owner, "owner", "owner", "login `name` of the owner, who is made at the first start")
		s.str(&c.loginLinks, "login-links", "auto", "whether links sign people in: auto (only without a provider), on or off")
	})
	s.group("Keeping", "What is not kept any longer stays in the bucket for collect-days more, so that an earlier state of the log finds it.", func() {
		s.integer(&c.trashDays, "trash-days", 30, "`days` that what was deleted stays in the trash")
		s.integer(&c.versionDays, "version-days", 30, "`days` that what was overwritten is kept")
		s.integer(&c.collectDays, "collect-days", 35, "`days` that an original which nothing refers to any more stays in the bucket")
		c.maxUpload = 50 << 30
		s.value(&c.maxUpload, "max-upload", "largest original, as a `size`")
		c.minFree = 1 << 30
		s.value(&c.minFree, "min-free", "free `space` below which uploads are refused, on the disk under data-dir")
		s.integer(&c.snapshotEvery, "snapshot-every", 5000, "`operations` after which a library's index is written to the bucket whole")
		s.duration(&c.snapshotAge, "snapshot-age", 24*time.Hour, "`time` after which that is done though there were fewer")
	})
	s.group("Pictures", "", func() {
		s.integer(&c.workers, "workers", max(1, min(4, runtime.NumCPU()-1)), "`images` that are made smaller at once; 0 makes none")
		c.renderMemory = 3 << 29
		s.value(&c.renderMemory, "render-memory", "most `memory` that one of them may take")
		s.duration(&c.renderTimeout, "render-timeout", time.Minute, "most `time` that one of them may take")
		c.spool = 1 << 30
		s.value(&c.spool, "spool", "most `space` under data-dir for uploads that wait to be made smaller; 0 reads them back from the bucket")
	})
	s.group("Log", "", func() {
		s.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "least `level` that is logged: debug, info, warn or error")
		s.note("log-level")
		s.str(&c.logFormat, "log-format", "text", "`format`: text or json")
		s.str(&c.davTrace, "dav-trace", "", "`file`, or - for standard error, in which each WebDAV request is written down with headers and XML, without passwords, to report a client that fails; it holds names of files, and ends at 64 MiB")
	})
	return s
}

// check reports, all together, values that can not be or do not go together, and
// parses those that have parts.
func (c *config) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	for name, addr := range map[string]string{"listen": c.listen, "s3-listen": c.s3Listen} {
		if addr == "" && name == "s3-listen" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			fault("%s: %q is not an address: it is written as 127.0.0.1:8080, or :8080 for all of this machine's", name, addr)
		}
	}
	for _, word := range c.trustedProxies {
		p, err := netip.ParsePrefix(word)
		if a, aerr := netip.ParseAddr(word); aerr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			fault("trusted-proxies: %q is not a network: it is written as 10.0.0.0/8 or 10.0.0.1", word)
			continue
		}
		c.proxies = append(c.proxies, p.Masked())
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		fault("tls-cert and tls-key go together: only one is set")
	}
	if len(faults) == 0 && !c.allowPlainHTTP && c.tlsCert == "" && len(c.proxies) == 0 {
		for _, addr := range []string{c.listen, c.s3Listen} {
			if addr != "" && !loopback(addr) {
				fault("%s is open to other machines, and without TLS passwords would travel in the clear: set tls-cert and tls-key, or trusted-proxies if a proxy in front speaks HTTPS, or allow-plain-http if you know that nobody listens", addr)
			}
		}
	}
	c.publicOrigin = checkURL(c.publicURL, "public-url", true, fault)
	checkURL(c.s3URL, "s3-url", true, fault)
	if page, s3 := c.publicOrigin, c.s3Host(); page != nil && s3 != "" && strings.HasSuffix("."+strings.ToLower(page.Hostname()), "."+s3) {
		fault("s3-url: without s3-listen the host %s and all names below it are S3's: public-url must have another, not %s", s3, page.Hostname())
	}
	for _, o := range c.s3Origins {
		if o != "*" {
			checkURL(o, "s3-origins", true, fault)
		}
	}
	checkURL(c.bucketEndpoint, "bucket-endpoint", false, fault)

	if c.bucket != "" {
		rest, ok := strings.CutPrefix(c.bucket, "s3://")
		c.bucketName, c.bucketPrefix, _ = strings.Cut(rest, "/")
		c.bucketPrefix = strings.Trim(c.bucketPrefix, "/")
		if !ok || c.bucketName == "" {
			fault("bucket: %q is not of the form s3://name/prefix", c.bucket)
		}
	} else {
		for name, set := range map[string]bool{"bucket-endpoint": c.bucketEndpoint != "", "bucket-region": c.bucketRegion != "", "bucket-kms-key": c.bucketKMSKey != ""} {
			if set {
				fault("%s is set, but bucket is not: the photographs would be kept in a directory", name)
			}
		}
	}
	oneOf := func(name, value string, words ...string) {
		for _, w := range words {
			if value == w {
				return
			}
		}
		fault("%s: %q is none of %s", name, value, strings.Join(words, ", "))
	}
	oneOf("bucket-sse", c.bucketSSE, "auto", "s3", "kms", "none")
	oneOf("log-format", c.logFormat, "text", "json")
	oneOf("login-links", c.loginLinks, "auto", "on", "off")
	if c.bucketKMSKey != "" && c.bucketSSE != "auto" && c.bucketSSE != "kms" {
		fault("bucket-kms-key is set, but bucket-sse is %s", c.bucketSSE)
	}

	if c.masterKey != "" && c.masterKeyFile != "" {
		fault("master-key and master-key-file are both set: keep one")
	}
	if c.masterKey != "" && len(c.masterKeyKMS) > 0 {
		fault("master-key and master-key-kms are both set: keep one")
	}
	c.checkProviders(fault)
	if c.oidcProof < time.Second || c.oidcGrace < 0 {
		fault("oidc-proof is at least 1s, and oidc-grace is not negative")
	}
	atLeast := func(name string, value, least int) {
		if value < least {
			fault("%s: %d is less than %d", name, value, least)
		}
	}
	atLeast("trash-days", c.trashDays, 1)
	atLeast("version-days", c.versionDays, 1)
	atLeast("collect-days", c.collectDays, 7)
	atLeast("workers", c.workers, 0)
	atLeast("max-conns", c.maxConns, 1)
	atLeast("snapshot-every", c.snapshotEvery, 1)
	if c.renderTimeout < time.Second {
		fault("render-timeout: %v is less than 1s", c.renderTimeout)
	}
	if c.drain < 0 {
		fault("drain: %v is negative", c.drain)
	}
	return errors.Join(faults...)
}

func checkURL(s, name string, bare bool, fault func(string, ...any)) *url.URL {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil:
		fault("%s: %q is not a URL that begins with https:// (or http://)", name, s)
		return nil
	case bare && (u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != ""):
		fault("%s: %q must end after the host: Shoebox has a host name to itself", name, s)
		return nil
	}
	return u
}

// loopback says whether only this machine can reach what listens on addr.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// sse is bucketSSE as the bucket's driver calls it.
func (c *config) sse() string {
	switch {
	case c.bucketSSE == "kms", c.bucketSSE == "auto" && c.bucketKMSKey != "":
		return s3bucket.SSEKMS
	case c.bucketSSE == "none":
		return s3bucket.SSENone
	}
	return s3bucket.SSES3
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// What lies in the data directory.
func (c *config) path(name string) string { return filepath.Join(c.dataDir, name) }

func (c *config) adminSocket() string { return c.path("admin.sock") }

// s3Host is the host name that makes a request on the web listener one for S3, and with it
// all names below: that of s3-url, if S3 has no listener of its own.
func (c *config) s3Host() string {
	u, err := url.Parse(c.s3URL)
	if err != nil || c.s3URL == "" || c.s3Listen != "" {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
