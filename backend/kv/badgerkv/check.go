package badgerkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// checkFiles reads the files of the store in dir before Badger does: the logs
// (see checkLogs), and the tables, to compare their checksums. Badger could do so itself, but when it finds a bad
// block it panics in a goroutine of its own (v4.9.6, Table.VerifyChecksum uses
// a nil block), so that the process would die at every start; and left
// unchecked, a compaction takes the bad block for the end of the table and
// drops what follows.
//
// The cost is one reading of the tables: about a second a million photos.
func checkFiles(dir string) error {
	if err := checkLogs(dir); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // new, or Badger's to say
	}
	if err != nil {
		return err
	}
	defer f.Close()
	manifest, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("%w: manifest: %w", kv.ErrDamaged, err)
	}
	for id, t := range manifest.Tables { // other tables are left-overs, which Badger removes
		name := table.NewFilename(id, dir)
		if err := checkTable(name, t.Compression); err != nil {
			return fmt.Errorf("%w: table %s: %w", kv.ErrDamaged, filepath.Base(name), err)
		}
	}
	return nil
}

// checkTable reads a table into memory: a mapping would end the process if a
// compaction cut the file off meanwhile.
func checkTable(name string, compression options.CompressionType) (err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := checkFooter(data); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	t, err := table.OpenInMemoryTable(data, 0, &table.Options{
		BlockSize:   badger.DefaultOptions("").BlockSize,
		Compression: compression,
		ChkMode:     options.NoVerification, // VerifyChecksum does it, here where a panic can be caught
	})
	if err != nil {
		return err
	}
	return t.VerifyChecksum()
}

// checkFooter looks at the lengths at the end of a table. Badger ends the
// process when one is out of bounds.
//
//	… | index | length of index, 4 bytes | checksum | length of checksum, 4 bytes
func checkFooter(data []byte) error {
	for range 2 {
		at := len(data) - 4
		if at < 0 {
			return errors.New("too short")
		}
		n := int64(binary.BigEndian.Uint32(data[at:]))
		if n == 0 || n > int64(at) {
			return errors.New("bad footer")
		}
		data = data[:int64(at)-n]
	}
	return nil
}

// Verify reads every table and compares checksums, as Open did. The error wraps
// kv.ErrDamaged if one does not fit: reads may then have missed rows, for
// Badger takes a block that it cannot read for the end of the table.
func (s *Store) Verify(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	for _, t := range s.db.Tables() {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := table.NewFilename(t.ID, s.db.Opts().Dir)
		err := checkTable(name, s.db.Opts().Compression)
		inUse := func(u badger.TableInfo) bool { return u.ID == t.ID }
		if err != nil && slices.ContainsFunc(s.db.Tables(), inUse) {
			return fmt.Errorf("%w: table %s: %w", kv.ErrDamaged, filepath.Base(name), err)
		}
	}
	return nil
}
