package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

// The documents say what the program does: go generate ./... brings them up to date.
func TestDocumentsAreCurrent(t *testing.T) {
	set := settingsOf(new(config))
	for name, write := range map[string]func(io.Writer) error{
		"../../deploy/config.md":    set.writeMarkdown,
		"../../deploy/example.conf": set.writeExample,
	} {
		var want bytes.Buffer
		if err := write(&want); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is out of date: go generate ./cmd/shoebox", name)
		}
	}
}

// The example is a configuration: with every line uncommented that has a value, it is accepted.
func TestExampleIsAccepted(t *testing.T) {
	var example bytes.Buffer
	if err := settingsOf(new(config)).writeExample(&example); err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^#([a-z0-9-]+ = .*\S)$`).ReplaceAllString(example.String(), "$1")
	text = regexp.MustCompile(`(?m)^workers = .*$`).ReplaceAllString(text, "workers = 2")
	cfg := new(config)
	_, err := conf.Parse(settingsOf(cfg).FlagSet, nil, conf.Source{
		Env: []string{"SHOEBOX_CONFIG=example"}, Prefix: envPrefix,
		ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "\n"); n < 100 {
		t.Errorf("the example has %d lines only", n)
	}
}

// Every setting is documented in one group, says what it is, and has a name that the
// environment can have.
func TestSettings(t *testing.T) {
	set := settingsOf(new(config))
	seen := map[string]int{}
	for _, g := range set.groups {
		for _, name := range g.names {
			seen[name]++
			f := set.Lookup(name)
			if f == nil {
				t.Fatalf("group %q names %s, which does not exist", g.title, name)
			}
			if _, usage, _ := describe(f); len(usage) < 10 {
				t.Errorf("%s is not described", name)
			}
			if !regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`).MatchString(name) {
				t.Errorf("%s is no name for a setting", name)
			}
		}
	}
	n := 0
	set.VisitAll(func(*flag.Flag) { n++ })
	if n != len(seen) {
		t.Errorf("%d settings, %d of them in groups", n, len(seen))
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s is in %d groups", name, times)
		}
	}
}

type compose struct {
	Services map[string]struct {
		Image       string
		Build       *struct{ Context, Dockerfile string }
		Command     []string
		Environment map[string]string
		Ports       []string
		Volumes     []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Configs     []struct{ Source, Target string }
	}
	Configs map[string]struct{ Content string }
	Volumes map[string]any
}

// docker-compose.yml is what an engine would accept, as far as that can be seen without
// one: names lead somewhere, images have tags, and Shoebox accepts its settings.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for name, s := range c.Services {
		if s.Build == nil && !regexp.MustCompile(`^[a-z0-9./-]+:[A-Za-z0-9._-]+$`).MatchString(s.Image) {
			t.Errorf("%s: image %q has no tag", name, s.Image)
		}
		if s.Build != nil {
			if _, err := os.Stat("../../" + s.Build.Dockerfile); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for d, on := range s.DependsOn {
			if _, ok := c.Services[d]; !ok || on.Condition == "" {
				t.Errorf("%s depends on %s, which does not exist", name, d)
			}
		}
		for _, v := range s.Volumes {
			if v, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(v, ".") && !strings.HasPrefix(v, "/") {
				if _, ok := c.Volumes[v]; !ok {
					t.Errorf("%s: there is no volume %s", name, v)
				}
			}
		}
		for _, f := range s.Configs {
			if c.Configs[f.Source].Content == "" {
				t.Errorf("%s: there is no config %s", name, f.Source)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines, with the passwords of this file", name, p)
			}
		}
	}

	shoebox := c.Services["shoebox"]
	env := dockerfileEnv(t)
	for k, v := range shoebox.Environment {
		env = append(env, k+"="+v)
	}
	cfg := new(config)
	if _, err := conf.Parse(settingsOf(cfg).FlagSet, nil, conf.Source{Env: env, Prefix: envPrefix}); err != nil {
		t.Fatal(err)
	}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}

	// What two services must agree on.
	store := c.Services["store"].Environment
	if store["ROOT_ACCESS_KEY"] != shoebox.Environment["AWS_ACCESS_KEY_ID"] || store["ROOT_SECRET_KEY"] != shoebox.Environment["AWS_SECRET_ACCESS_KEY"] {
		t.Error("Shoebox has not the store's key")
	}
	var dex struct {
		Issuer        string
		StaticClients []struct {
			ID, Secret   string
			RedirectURIs []string `yaml:"redirectURIs"`
		} `yaml:"staticClients"`
		StaticPasswords []struct{ Email string } `yaml:"staticPasswords"`
	}
	if err := yaml.Unmarshal([]byte(c.Configs["dex"].Content), &dex); err != nil {
		t.Fatal(err)
	}
	if len(dex.StaticClients) != 1 || len(dex.StaticPasswords) != 1 {
		t.Fatalf("got %+v", dex)
	}
	client := dex.StaticClients[0]
	if dex.Issuer != cfg.oidcIssuer || client.ID != cfg.oidcClientID || client.Secret != cfg.oidcClientSecret.Reveal() ||
		client.RedirectURIs[0] != cfg.webURL()+"/login/oidc/callback" || dex.StaticPasswords[0].Email != cfg.allowEmail[0] {
		t.Error("Shoebox and the provider do not agree")
	}
}

// dockerfileEnv are the settings that the image brings.
func dockerfileEnv(t *testing.T) (env []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(SHOEBOX_\w+)=(\S+)`).FindAllStringSubmatch(string(text), -1) {
		env = append(env, m[1]+"="+m[2])
	}
	if len(env) < 3 {
		t.Fatalf("the Dockerfile sets only %v", env)
	}
	return env
}
