package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the build of a release: -ldflags "-X main.version=v1.2.3".
var version = ""

// buildVersion says which build this is: a release, or the commit it was made from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	v, dirty := "devel", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			v = "devel-" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if v == "devel" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return v + dirty
}

func versionCommand() *command {
	return &command{
		name: "version", short: "print the version",
		long: "Prints one line: the version, the Go release it was built with, and the platform.",
		run: func(_ context.Context, in *invocation) error {
			_, err := fmt.Fprintf(in.stdout, "shoebox %s (%s, %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
