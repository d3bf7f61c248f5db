package main

import (
	"context"
	"flag"
	"io"
	"os"
)

func settingsCommand() *command {
	var format, out string
	return &command{
		name: "settings", short: "print every setting, as a file to start from or as a table",
		long: `
Prints all settings with their defaults and what they mean. The file form is a
configuration in which every line is commented out:

    shoebox settings > shoebox.conf
    shoebox serve -config shoebox.conf`,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&format, "format", "file", "`form`: file or markdown")
			f.StringVar(&out, "o", "", "`file` to write to instead of standard output")
		},
		run: func(_ context.Context, in *invocation) error {
			write := settingsOf(new(config)).writeExample
			switch format {
			case "markdown":
				write = settingsOf(new(config)).writeMarkdown
			case "file":
			default:
				return usageError("-format: %q is none of file, markdown", format)
			}
			if out == "" {
				return write(in.stdout)
			}
			return writeFile(out, write)
		},
	}
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
