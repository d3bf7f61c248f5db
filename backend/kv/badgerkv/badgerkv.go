// Package badgerkv keeps a kv.Store in a directory with Badger.
//
// The Badger key of a row is P, a NUL byte and S; its value is the row's data,
// and its version is the row's. One key of our own, a NUL and "v", is no row:
// see commit.
//
// What was learned the hard way about Badger and is dealt with here:
//   - SyncWrites is off by default, and a power cut then loses what was
//     acknowledged. It is on, always.
//   - A table that fails its checksum is left out when the store is opened, with
//     no more than a message, or makes Badger panic. Open reads all tables
//     first and says kv.ErrDamaged.
//   - A full disk kills the process, because a write to a mapped page that has
//     no block behind it is a SIGBUS. Commit refuses before that, and write-ahead
//     logs get their blocks as soon as there are any (reserve).
//   - Versions may go back when the newest rows were deleted and compacted
//     away. A row that is never deleted keeps them going forward.
//   - The first bad record of a write-ahead log ends it without an error. Open
//     says kv.ErrDamaged if whole commits follow it. That the newest log lost
//     its end, only the owner of the rows can notice: the journal does, by its
//     sequence.
//   - Its own transactions sync one by one, and a read waits for those that are being
//     synced. So versions are given out here (OpenManaged): commits that come together
//     share a sync, and a read takes the last version that is whole. See commit.go.
package badgerkv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// Options adjusts a Store. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger // nil means slog.DiscardHandler

	// BlockCache is the memory for uncompressed blocks, in bytes; 0 means 64 MiB.
	BlockCache int64

	// Commit answers kv.ErrNoSpace while the file system has fewer than MinFree
	// bytes free. 0 means 256 MiB, which leaves Badger room to flush and compact;
	// less than 0 means no limit.
	MinFree int64
	// Free is how many bytes are free there; it is asked before each commit.
	// nil means to ask the operating system.
	Free func() (uint64, error)
}

// A Store is a kv.Store, kv.Dumper and kv.Loader in a directory. One process at
// a time can have it open.
type Store struct {
	db    *badger.DB
	space *space
	logs  reserve
	queue queue
	loads sync.Mutex

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // under way; Add only while mu is held and not closed
	// last is the version of the newest commit that is whole: what reads see. Only who
	// has queue.turn makes it grow.
	last    uint64
	readers map[uint64]int // reads under way, by the version they see
}

var (
	_ kv.Store  = (*Store)(nil)
	_ kv.Dumper = (*Store)(nil)
	_ kv.Loader = (*Store)(nil)
	_ kv.Guard  = (*Store)(nil)
)

// Open opens the store in dir and makes it if need be. The error wraps
// kv.ErrInUse if another process has it open, kv.ErrDamaged if its files are
// not as Badger left them, and kv.ErrNoSpace if there is no room to start.
func Open(dir string, opt *Options) (*Store, error) {
	if opt == nil {
		opt = new(Options)
	}
	log := opt.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	space := newSpace(dir, opt)
	if err := space.checkOpen(); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if inUse(dir) {
		return nil, fmt.Errorf("open index: %w", kv.ErrInUse)
	}
	if err := checkFiles(dir); err != nil {
		if inUse(dir) { // its owner may have removed a table under our hands
			err = kv.ErrInUse
		}
		return nil, fmt.Errorf("open index: %w", err)
	}
	bl := &badgerLog{log: log}
	db, err := badger.OpenManaged(badgerOptions(dir, opt, bl))
	if err != nil {
		return nil, fmt.Errorf("open index: %w", openError(err))
	}
	if msg := bl.leftOut(); msg != "" {
		return nil, errors.Join(fmt.Errorf("open index: %w: %s", kv.ErrDamaged, msg), db.Close())
	}
	s := &Store{db: db, space: space, logs: reserve{dir: dir}, last: db.MaxVersion(), readers: make(map[uint64]int)}
	db.SetDiscardTs(s.last)
	s.logs.take(0)
	return s, nil
}

func badgerOptions(dir string, opt *Options, log badger.Logger) badger.Options {
	cache := opt.BlockCache
	if cache == 0 {
		cache = 64 << 20
	}
	return badger.DefaultOptions(dir).
		WithLogger(log).
		WithSyncWrites(!fail.Skip("fsync")). // but in the negative control of a power cut: always
		WithDetectConflicts(false).          // commits are made in turn
		WithNumVersionsToKeep(1).
		WithMemTableSize(32 << 20).
		WithNumMemtables(2).
		WithValueThreshold(1 << 20). // rows are ≤ 64 KiB: the value log stays empty
		WithValueLogFileSize(16 << 20).
		WithBlockCacheSize(cache).
		WithIndexCacheSize(32 << 20).
		WithCompression(options.ZSTD).
		WithChecksumVerificationMode(options.OnBlockRead). // whole tables: checkFiles
		WithMetricsEnabled(false).                         // they are global: a second store would panic
		WithNumCompactors(2).
		WithCompactL0OnClose(false) // a stop must be quick; the next start compacts
}

// openError tells damage from trouble around the files. Badger's errors wrap
// nothing, so their text has to do.
func openError(err error) error {
	msg := err.Error()
	if strings.Contains(msg, "Another process is using this Badger") {
		return kv.ErrInUse
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if strings.Contains(msg, errno.Error()) {
			return fmt.Errorf("%w: %w", kv.ErrNoSpace, err)
		}
	}
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ENOTDIR} {
		if strings.Contains(msg, errno.Error()) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", kv.ErrDamaged, err)
}

// enter begins a call, and s.calls.Done ends it.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enterLocked()
}

func (s *Store) enterLocked() error {
	if s.closed {
		return kv.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// Close implements kv.Store. On a full disk it returns kv.ErrNoSpace and leaves the files
// as a crash would: they have everything, and to put them in order Badger would write
// to a mapped file, which then ends the process.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return kv.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	if err := s.space.checkOpen(); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// storeError puts one of Badger's errors in our words.
func storeError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, badger.ErrTxnTooBig):
		return kv.ErrTooLarge
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrBlockedWrites):
		return kv.ErrClosed
	}
	return fmt.Errorf("%s: %w", what, err)
}

func badgerKey(k kv.Key) []byte {
	b := make([]byte, 0, len(k.P)+1+len(k.S))
	b = append(b, k.P...)
	b = append(b, 0)
	return append(b, k.S...)
}
