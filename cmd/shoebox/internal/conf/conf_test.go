package conf_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

type settings struct {
	file, region string
	workers      int
	insecure     bool
	key          conf.Secret
	max          conf.Bytes
	domains      conf.List
}

func (s *settings) flags() *flag.FlagSet {
	f := flag.NewFlagSet("test", flag.ContinueOnError)
	f.StringVar(&s.file, "config", "", "")
	f.StringVar(&s.region, "bucket-region", "default", "")
	f.IntVar(&s.workers, "workers", 2, "")
	f.BoolVar(&s.insecure, "insecure", false, "")
	conf.SecretVar(f, &s.key, "master-key", "")
	f.Var(&s.max, "max-upload", "")
	f.Var(&s.domains, "allow-domain", "")
	return f
}

func parse(t *testing.T, args, env []string, files map[string]string) (settings, []string, error) {
	t.Helper()
	var s settings
	own := flag.NewFlagSet("own", flag.ContinueOnError)
	own.String("label", "", "")
	rest, err := conf.Parse(s.flags(), own, conf.Source{Args: args, Env: env, Prefix: "APP_",
		ReadFile: func(name string) ([]byte, error) {
			if data, ok := files[name]; ok {
				return []byte(data), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}})
	return s, rest, err
}

func TestStrongestFirst(t *testing.T) {
	file := map[string]string{"c": "# comment\n\nbucket-region = from-file\nworkers=7\r\nmax-upload = \"2 GiB\"\n"}
	tests := []struct {
		name      string
		args, env []string
		region    string
		workers   int
	}{
		{"nothing", nil, nil, "default", 2},
		{"file", []string{"-config", "c"}, nil, "from-file", 7},
		{"file named by environment", nil, []string{"APP_CONFIG=c"}, "from-file", 7},
		{"environment over file", []string{"-config=c"}, []string{"APP_BUCKET_REGION=from-env"}, "from-env", 7},
		{"flag over both", []string{"-config=c", "--bucket-region", "from-flag"}, []string{"APP_BUCKET_REGION=from-env"}, "from-flag", 7},
		{"last flag counts", []string{"-workers", "3", "-workers=4"}, nil, "default", 4},
		{"other programs' variables", nil, []string{"APPLE=1", "PATH=/bin", "APP_TEST_BUCKET=x"}, "default", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, _, err := parse(t, test.args, test.env, file)
			if err != nil {
				t.Fatal(err)
			}
			if s.region != test.region || s.workers != test.workers {
				t.Errorf("got %s and %d, want %s and %d", s.region, s.workers, test.region, test.workers)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	s, rest, err := parse(t, []string{"ana", "-insecure", "bob", "-label", "iPhone", "-", "--", "-workers"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ana", "bob", "-", "-workers"}; !slices.Equal(rest, want) || !s.insecure {
		t.Errorf("got %q (insecure %v), want %q", rest, s.insecure, want)
	}
	if _, _, err := parse(t, []string{"-nope", "--help"}, nil, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: got %v", err)
	}
}

// All faults come at once, each saying where it is.
func TestFaults(t *testing.T) {
	_, _, err := parse(t,
		[]string{"-bucket-regoin", "-workers=many", "-config", "c", "-label"},
		[]string{"APP_BUCKET=x", "APP_bucket_region=x", "APP_MAX_UPLOAD=lots", "APP_LABEL=x"},
		map[string]string{"c": "nonsense\nworkers 4\nmax = 2\nconfig = d\nallow-domain = a\nallow-domain = b\nmaster-key = hush"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"-bucket-regoin: there is no such flag (do you mean bucket-region?)",
		`-workers: "many" is not valid`,
		"-label: needs a value",
		"APP_BUCKET: there is no such setting",
		"APP_bucket_region: there is no such setting",
		`APP_MAX_UPLOAD: "lots" is not valid: a size is written as`,
		"APP_LABEL: there is no such setting",
		"c:1: is not of the form",
		"c:2: is not of the form",
		`c:3: there is no setting "max"`,
		`c:4: there is no setting "config"`,
		"c:6: allow-domain was set already, at c:5",
		"c:7: master-key is a secret",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults lack %q", want)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Error("a secret was printed")
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 13 {
		t.Errorf("%d faults, want 13:\n%v", n, err)
	}
}

func TestSecrets(t *testing.T) {
	const hush = "hush-hush"
	files := map[string]string{"k": hush + "\n", "empty": "\n"}
	tests := []struct {
		name      string
		args, env []string
		fault     string
	}{
		{"environment", nil, []string{"APP_MASTER_KEY=" + hush}, ""},
		{"file", []string{"-master-key-file=k"}, nil, ""},
		{"flag", []string{"-master-key", hush}, nil, "not taken from the command line"},
		{"flag with =", []string{"-master-key=" + hush}, nil, "not taken from the command line"},
		{"both", []string{"-master-key-file=k"}, []string{"APP_MASTER_KEY=" + hush}, "both set"},
		{"missing", []string{"-master-key-file=none"}, nil, "read master-key-file"},
		{"empty", []string{"-master-key-file=empty"}, nil, "is empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, rest, err := parse(t, test.args, test.env, files)
			if test.fault == "" {
				if err != nil || s.key.Reveal() != hush {
					t.Fatalf("got %q, %v", s.key.Reveal(), err)
				}
				text, _ := json.Marshal(s.key)
				shown := fmt.Sprintf("%v %s %#v %q %+v %s", s.key, s.key, s.key, s.key, struct{ K conf.Secret }{s.key}, text)
				shown += slog.AnyValue(s.key).Resolve().String()
				if strings.Contains(shown, hush) || !strings.Contains(shown, "redacted") {
					t.Errorf("shown as %s", shown)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Fatalf("got %v, want …%s…", err, test.fault)
			}
			if strings.Contains(err.Error()+fmt.Sprint(rest), hush) {
				t.Error("a secret was printed")
			}
		})
	}
}

func TestBytes(t *testing.T) {
	for in, want := range map[string]conf.Bytes{"0": 0, "17": 17, "1KiB": 1024, "2 MiB": 2 << 20, "50GB": 50e9, "3TiB": 3 << 40} {
		var b, again conf.Bytes
		if err := b.Set(in); err != nil || b != want {
			t.Errorf("%s: got %d, %v", in, b, err)
		}
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%s: %s reads as %d, %v", in, b, again, err)
		}
	}
	for _, in := range []string{"", "-1", "1.5GB", "GB", "9999999999TiB", "1 mile"} {
		var b conf.Bytes
		if err := b.Set(in); err == nil {
			t.Errorf("%q: got %d, want an error", in, b)
		}
	}
}
