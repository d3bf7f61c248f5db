// Package conf reads a program's settings from its flags, its environment and a
// file. One flag.FlagSet is the whole configuration: the flag -bucket-region, the
// variable SHOEBOX_BUCKET_REGION and the line
//
//	bucket-region = eu-west-1
//
// are one setting. A flag is stronger than the environment, the environment
// stronger than the file. A setting that does not exist is a fault, wherever it is
// named, and all faults are reported together.
package conf

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// FileSetting is the setting that names the file.
const FileSetting = "config"

// TestPrefix begins, after the program's own prefix, the variables that only the
// program's tests read; Parse passes over them.
const TestPrefix = "TEST_"

// A Source is where settings are read from.
type Source struct {
	Args   []string // without the program's and the command's name
	Env    []string // as os.Environ has it
	Prefix string   // of the variables, as "SHOEBOX_"
	// ReadFile reads the configuration file and those that hold secrets; nil means
	// os.ReadFile.
	ReadFile func(name string) ([]byte, error)
}

// Parse sets the flags of settings, and those of own, which belong to one command and are
// given on its command line only. own may be nil. It returns the arguments that are
// not flags; flags may stand before, between and after them, and "--" ends them.
//
// The error joins one error for each fault, or is flag.ErrHelp. No error shows the
// value of a Secret.
func Parse(settings, own *flag.FlagSet, src Source) (args []string, err error) {
	p := &parser{settings: settings, own: own, src: src, given: map[string]string{}}
	if p.src.ReadFile == nil {
		p.src.ReadFile = os.ReadFile
	}
	args, help := p.arguments()
	if help {
		return nil, flag.ErrHelp
	}
	p.environment()
	p.file()
	p.secrets()
	return args, errors.Join(p.faults...)
}

type parser struct {
	settings, own *flag.FlagSet
	src           Source
	given         map[string]string // setting → where it was given, as the user would say it
	faults        []error
}

func (p *parser) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

// set gives a setting its value unless a stronger source did so already. Each
// source is read whole before the next weaker one.
func (p *parser) set(f *flag.Flag, value, where, source string) {
	if earlier, ok := p.given[f.Name]; ok && !strings.HasPrefix(earlier, source) {
		return
	}
	p.given[f.Name] = source + where
	if err := f.Value.Set(value); err != nil {
		p.fault("%s: %q is not valid: %s", where, value, reason(err))
	}
}

// reason drops the words that package flag's values put before theirs.
func reason(err error) string {
	if err.Error() == "parse error" {
		return "it must be a number, a duration such as 90s or 15m, or true or false"
	}
	return err.Error()
}

func (p *parser) arguments() (rest []string, help bool) {
	for args := p.src.Args; len(args) > 0; {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(rest, args...), false
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if name == "help" || name == "h" {
			return nil, true
		}
		f := p.lookup(name)
		if f == nil {
			p.fault("-%s: there is no such flag%s", name, p.nearest(name))
			continue
		}
		if _, ok := f.Value.(*Secret); ok {
			if !hasValue && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				args = args[1:]
			}
			p.fault("-%s: a secret is not taken from the command line, where every process can read it: put it into a file and name that with -%s-file, or into %s",
				name, name, p.variable(name))
			continue
		}
		if !hasValue {
			if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
				value = "true"
			} else if len(args) > 0 {
				value, args = args[0], args[1:]
			} else {
				p.fault("-%s: needs a value", name)
				continue
			}
		}
		p.set(f, value, "-"+name, "flag ")
	}
	return rest, false
}

func (p *parser) lookup(name string) *flag.Flag {
	if p.own != nil {
		if f := p.own.Lookup(name); f != nil {
			return f
		}
	}
	return p.settings.Lookup(name)
}

func (p *parser) environment() {
	for _, kv := range p.src.Env {
		variable, value, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(variable, p.src.Prefix)
		if !ok || strings.HasPrefix(rest, TestPrefix) {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(rest), "_", "-")
		f := p.settings.Lookup(name)
		if f == nil || p.variable(name) != variable {
			p.fault("%s: there is no such setting%s", variable, p.nearest(name))
			continue
		}
		p.set(f, value, variable, "environment ")
	}
}

func (p *parser) variable(name string) string { return Variable(p.src.Prefix, name) }

// Variable is the environment variable of a setting.
func Variable(prefix, name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func (p *parser) file() {
	f := p.settings.Lookup(FileSetting)
	if f == nil || f.Value.String() == "" {
		return
	}
	path := f.Value.String()
	data, err := p.src.ReadFile(path)
	if err != nil {
		p.fault("read the configuration file: %w", err)
		return
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		where := fmt.Sprintf("%s:%d", path, i+1)
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
		f := p.settings.Lookup(name)
		switch {
		case !ok:
			p.fault("%s: is not of the form: setting = value", where)
		case f == nil || name == FileSetting:
			p.fault("%s: there is no setting %q%s", where, name, p.nearest(name))
		case isSecret(f):
			p.fault("%s: %s is a secret and does not belong here: put it into a file of its own and name that with %s-file", where, name, name)
		default:
			if earlier := p.given[name]; strings.HasPrefix(earlier, "file ") {
				p.fault("%s: %s was set already, at %s", where, name, strings.TrimPrefix(earlier, "file "))
				continue
			}
			p.set(f, value, where, "file ")
		}
	}
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func isSecret(f *flag.Flag) bool { _, ok := f.Value.(*Secret); return ok }

// secrets reads what the -file settings name.
func (p *parser) secrets() {
	p.settings.VisitAll(func(f *flag.Flag) {
		s, ok := f.Value.(*Secret)
		if !ok {
			return
		}
		file := p.settings.Lookup(f.Name + "-file")
		if file == nil || file.Value.String() == "" {
			return
		}
		if _, ok := file.Value.(*secretFile); !ok {
			return // the program reads it for itself
		}
		if *s != "" {
			p.fault("%s and %s-file are both set: keep one", f.Name, f.Name)
			return
		}
		data, err := p.src.ReadFile(file.Value.String())
		if err != nil {
			p.fault("read %s-file: %w", f.Name, err)
			return
		}
		*s = Secret(strings.TrimSpace(string(data)))
		if *s == "" {
			p.fault("%s-file: %s is empty", f.Name, file.Value.String())
		}
	})
}

// nearest suggests a setting that a mistyped name may have meant.
func (p *parser) nearest(name string) string {
	var names []string
	add := func(f *flag.Flag) { names = append(names, f.Name) }
	p.settings.VisitAll(add)
	if p.own != nil {
		p.own.VisitAll(add)
	}
	best := slices.MinFunc(append(names, ""), func(a, b string) int { return distance(name, a) - distance(name, b) })
	if best == "" || distance(name, best) > 1+len(name)/4 {
		return ""
	}
	return fmt.Sprintf(" (do you mean %s?)", best)
}

// distance is how many letters must be put in, left out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
