package main

import (
	"fmt"
	"io"
	"os"

	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// openTrace opens what dav-trace names; nil if that is nothing. A file is written to until
// the program ends.
func (c *config) openTrace(stderr io.Writer) (*dav.Trace, error) {
	switch c.davTrace {
	case "":
		return nil, nil
	case "-":
		return dav.NewTrace(stderr), nil
	}
	f, err := os.OpenFile(c.davTrace, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("dav-trace: %w", err)
	}
	return dav.NewTrace(f), nil
}
