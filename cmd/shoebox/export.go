package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

func exportCommand() *command {
	var args exportArgs
	return &command{
		name: "export", args: "DIR", short: "copy all photographs, with their folders, into a directory",
		nargs: [2]int{1, 1},
		long: `
Copies everything out as plain files: DIR/LOGIN/LIBRARY/…, with names, folders and
times as they are in Shoebox. Every file is checked against its SHA-256. Called
again, it copies only what is new or has changed; it never deletes anything in DIR.

    shoebox export /mnt/backup
    shoebox export -principal ana /mnt/backup`,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&args.Principal, "principal", "", "`login` of whose photographs; empty means everybody's")
		},
		run: func(ctx context.Context, in *invocation) error {
			return operate(ctx, in, func(o *operator) error { return export(ctx, o, args, in.args[0]) })
		},
	}
}

type exportArgs struct {
	Principal string
	UID       string
	Ino       backend.Ino
}

// An exported is one line of export-list, and the first of export-read.
type exported struct {
	Login    string      `json:"login,omitempty"`
	UID      string      `json:"uid,omitempty"`
	Key      string      `json:"key,omitempty"`
	Ino      backend.Ino `json:"ino,omitempty"`
	Dir      bool        `json:"dir,omitempty"`
	Size     int64       `json:"size"`
	Modified time.Time   `json:"modified"`
	SHA256   string      `json:"sha256,omitempty"`
	End      bool        `json:"end,omitempty"` // the last line of a list: nothing is missing
}

// exportList lists every collection and file, each collection before its members.
func (n *node) exportList(ctx context.Context, args exportArgs, out io.Writer) error {
	users, err := n.accounts.Users(ctx)
	if err != nil {
		return err
	}
	if args.Principal != "" {
		u, err := n.person(ctx, args.Principal)
		if err != nil {
			return err
		}
		users = []*account.User{u}
	}
	enc := json.NewEncoder(out)
	for _, u := range users {
		l, err := n.backend.Library(ctx, u.UID, backend.Access{})
		if err != nil {
			return err
		}
		for dirs := []backend.Key{""}; len(dirs) > 0; {
			dir := dirs[len(dirs)-1]
			dirs = dirs[:len(dirs)-1]
			for e, err := range l.Members(ctx, dir) {
				if err != nil {
					return err
				}
				if backend.Junk(e.Name) {
					continue
				}
				if e.Dir {
					dirs = append(dirs, e.Key)
				}
				if err := enc.Encode(exported{u.Login, u.UID, string(e.Key), e.Ino, e.Dir, e.Size, e.Modified, e.SHA256, false}); err != nil {
					return err
				}
			}
		}
	}
	return enc.Encode(exported{End: true})
}

// exportRead sends one file: a line that describes it, then its content.
func (n *node) exportRead(ctx context.Context, args exportArgs, out io.Writer) error {
	l, err := n.backend.Library(ctx, args.UID, backend.Access{})
	if err != nil {
		return err
	}
	e, err := l.StatIno(ctx, args.Ino)
	if err != nil {
		return err
	}
	c, err := l.Open(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := json.NewEncoder(out).Encode(exported{Size: e.Size, Modified: e.Modified, SHA256: e.SHA256}); err != nil {
		return err
	}
	_, err = io.Copy(out, c)
	return err
}

// export copies what is listed into dir.
func export(ctx context.Context, o *operator, args exportArgs, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // no name in the list leads out of it
	if err != nil {
		return err
	}
	defer root.Close()
	list, err := o.open(ctx, "export-list", args)
	if err != nil {
		return err
	}
	defer list.Close()

	var copied, present int
	var bytes int64
	var faults []error
	// The list is read whole first: while it is open the server's reading waits for us.
	var files []exported
	dec := json.NewDecoder(bufio.NewReader(list))
	for {
		var e exported
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("the list of photographs broke off: %w", err)
		}
		if e.End {
			break
		}
		name := path.Join(e.Login, e.Key)
		if !e.Dir {
			files = append(files, e)
		} else if err := root.MkdirAll(name, 0o700); err != nil {
			faults = append(faults, err)
		}
	}
	first := make(map[string]string) // of several names that differ in case
	for _, e := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(e.Login, e.Key)
		if other, ok := first[strings.ToLower(name)]; !ok {
			first[strings.ToLower(name)] = name
		} else if sameFile(root, other, name) {
			faults = append(faults, fmt.Errorf("%s: the file system takes this name for %s, which is another file: rename one of them, or export to a disk that tells upper case from lower", printable(name), printable(other)))
			continue
		}
		if st, err := root.Stat(name); err == nil && st.Size() == e.Size && st.ModTime().Equal(e.Modified.Truncate(time.Millisecond)) {
			present++
			continue
		}
		n, err := exportFile(ctx, o, root, name, e)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", printable(name), err))
			continue
		}
		copied++
		bytes += n
	}
	fmt.Fprintf(o.in.stdout, "copied %d files (%s), %d were there already, %d failed\n", copied, conf.Approx(bytes), present, len(faults))
	return errors.Join(faults...)
}

// sameFile says whether two names lead to one file that exists.
func sameFile(root *os.Root, a, b string) bool {
	x, err := root.Stat(a)
	if err != nil {
		return false
	}
	y, err := root.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// exportFile writes one file under another name first, so that a file in the export is whole.
func exportFile(ctx context.Context, o *operator, root *os.Root, name string, e exported) (n int64, err error) {
	r, err := o.open(ctx, "export-read", exportArgs{UID: e.UID, Ino: e.Ino})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 256<<10)
	head, err := in.ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	var now exported
	if err := json.Unmarshal(head, &now); err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	part := path.Join(path.Dir(name), ".shoebox-export")
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			root.Remove(part)
		}
	}()
	h := sha256.New()
	n, err = io.Copy(io.MultiWriter(f, h), in)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return n, err
	}
	if n != now.Size {
		return n, fmt.Errorf("it has %d bytes, not %d", n, now.Size)
	}
	if now.SHA256 != "" && hex.EncodeToString(h.Sum(nil)) != now.SHA256 {
		return n, errors.New("its content does not match its SHA-256")
	}
	fail.Point("export.file")
	if err := root.Rename(part, name); err != nil {
		return n, err
	}
	if err := root.Chtimes(name, now.Modified, now.Modified); err != nil && !errors.Is(err, fs.ErrPermission) {
		return n, err
	}
	return n, nil
}
