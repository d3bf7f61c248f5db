package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

//go:generate go run . settings -format markdown -o ../../deploy/config.md
//go:generate go run . settings -format file -o ../../deploy/example.conf

// The default of workers depends on the machine; the documents must not.
const workersDefault = "processors − 1, at least 1, at most 4"

// describe is a flag's value name, what it means, and its default as documents show them.
func describe(f *flag.Flag) (value, usage, def string) {
	value, usage = flag.UnquoteUsage(f)
	def = f.DefValue
	if f.Name == "workers" {
		def = workersDefault
	}
	if value == "value" { // what UnquoteUsage says of a type it does not know
		value = ""
	}
	return value, usage, def
}

// writeMarkdown prints every setting as a table.
func (s *settings) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Settings\n\n<!-- Made from the program by go generate; do not edit. -->\n\n" +
		"Every setting can be given as a flag, as an environment variable or as a line of a\nfile; a flag is stronger than the environment, " +
		"the environment stronger than the file:\n\n" +
		"    shoebox serve -bucket-region eu-west-1\n    SHOEBOX_BUCKET_REGION=eu-west-1 shoebox serve\n" +
		"    shoebox serve -config shoebox.conf      # with the line: bucket-region = eu-west-1\n\n" +
		"A setting that does not exist is an error. Secrets are taken from the environment or\nfrom a file of their own (`…-file`), never from a flag.\n")
	for _, g := range s.groups {
		fmt.Fprintf(&b, "\n## %s\n\n", g.title)
		if g.text != "" {
			fmt.Fprintf(&b, "%s\n\n", g.text)
		}
		b.WriteString("| setting | variable | default | what it is |\n| --- | --- | --- | --- |\n")
		for _, name := range g.names {
			f := s.Lookup(name)
			value, usage, def := describe(f)
			if value != "" {
				value = " *" + value + "*"
			}
			if def != "" {
				def = "`" + def + "`"
			}
			how := "`" + name + "`" + value
			if _, secret := f.Value.(*conf.Secret); secret {
				how += " (secret)"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", how, conf.Variable(envPrefix, name), def, usage)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeExample prints a configuration file in which every setting is commented out.
func (s *settings) writeExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Settings of Shoebox, with their defaults.\n# Made from the program by go generate.\n")
	for _, g := range s.groups {
		fmt.Fprintf(&b, "\n# ---- %s ----\n", g.title)
		if g.text != "" {
			b.WriteString(wrapText(g.text, "# ", 88))
		}
		for _, name := range g.names {
			f := s.Lookup(name)
			if _, secret := f.Value.(*conf.Secret); secret || name == conf.FileSetting {
				continue
			}
			_, usage, def := describe(f)
			b.WriteString("\n" + wrapText(usage, "# ", 88))
			fmt.Fprintf(&b, "#%s = %s\n", name, def)
		}
	}
	_, err := io.WriteString(w, strings.ReplaceAll(b.String(), " = \n", " =\n"))
	return err
}

// writeHelp prints the settings as part of a command's help.
func (s *settings) writeHelp(w io.Writer) {
	for _, g := range s.groups {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		for _, name := range g.names {
			writeFlag(w, s.Lookup(name))
		}
	}
}

func writeFlag(w io.Writer, f *flag.Flag) {
	value, usage, def := describe(f)
	name := "-" + f.Name
	if _, secret := f.Value.(*conf.Secret); secret {
		name, value = conf.Variable(envPrefix, f.Name), ""
	}
	if def != "" && def != "false" && def != "0" {
		usage += " (" + def + ")"
	}
	fmt.Fprintf(w, "  %s %s\n%s", name, value, wrapText(usage, "        ", 88))
}

// wrapText breaks text into lines of at most width bytes, each after indent.
func wrapText(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && len(line)+len(word) >= width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}
