package processing

import (
	"errors"
	"fmt"
	"io"
	"os"
)

var (
	errTooBig = errors.New("original is larger than what is copied")
	// errDisk says that this machine has no place for a copy. That is not the picture's
	// fault, unless it is so large that it never has.
	errDisk = errors.New("no copy can be made on this machine's disk")
	// errBroken says that the bucket gave some of an original. It may have gone away just
	// then, or have no more of it that can be read.
	errBroken = errors.New("original cannot be read to its end")
)

// local gives an original as a file of this machine: the spool's own, or a copy
// that has no name and is gone when it is closed.
func (w *Worker) local(body io.Reader, size int64) (*os.File, error) {
	if f, ok := body.(*os.File); ok {
		return f, nil
	}
	if size > w.opt.MaxCopy {
		return nil, errTooBig
	}
	f, err := w.temp()
	if err != nil {
		return nil, err
	}
	if err := copyTo(f, body, size); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// temp makes a file that has no name.
func (w *Worker) temp() (*os.File, error) {
	f, err := os.CreateTemp(w.opt.TempDir, "shoebox-original-*")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDisk, err)
	}
	os.Remove(f.Name())
	return f, nil
}

// copyTo copies size bytes of an original. If they do not come, it is errBroken; if they
// cannot be written, errDisk.
func copyTo(file io.Writer, body io.Reader, size int64) error {
	from := &reading{r: body}
	n, err := io.Copy(file, io.LimitReader(from, size))
	switch {
	case from.err != nil:
		return fmt.Errorf("copy original: %w: %w", errBroken, from.err)
	case err != nil:
		return fmt.Errorf("%w: %w", errDisk, err)
	case n < size:
		return fmt.Errorf("copy original: %w: it ends at byte %d of %d", errBroken, n, size)
	}
	return nil
}

// reading keeps the error that its reads ended with, if they did.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
