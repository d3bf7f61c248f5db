package badgerkv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// The write-ahead log of a memtable, as Badger v4 writes it: a head of 20 bytes,
// then records, then zeros. A record is
//
//	meta, user meta | length of key, of value, expiry: uvarints | key | value | CRC-32C of all that, 4 bytes
//
// Those of a commit have walTxn in meta, and one with walEnd ends it.
const (
	walHead = 20
	walTxn  = 1 << 6
	walEnd  = 1 << 7
)

var walMark = []byte("!badger!txn") // the key of a record with walEnd

// checkLogs looks for damage that Badger takes for the end of a log. It ends a
// log at the first record that does not fit, as it must: a power cut leaves one
// commit half written. But commits are synced one by one, so that no whole one
// can come after that, and none may be missing in a log that has a successor.
// One flipped bit would otherwise silently drop what was acknowledged later,
// and out of an older log, even from the middle.
func checkLogs(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".mem") {
			names = append(names, f.Name())
		}
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(name, ".mem"))
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	for i, name := range names {
		lost, err := lostCommits(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		allowed := 1 // the one that a power cut tore
		if i < len(names)-1 {
			allowed = 0
		}
		if lost > allowed {
			return fmt.Errorf("%w: log %s: bad record before %d more commits", kv.ErrDamaged, name, lost)
		}
	}
	return nil
}

// lostCommits counts the ends of commits after the last good one.
func lostCommits(name string) (n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(walHead, io.SeekStart); err != nil {
		return 0, err
	}
	good, err := goodEnd(bufio.NewReaderSize(f, 64<<10))
	if err != nil {
		return 0, err
	}
	if _, err := f.Seek(walHead+good, io.SeekStart); err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	keep := 0 // of the chunk before, so that no mark is cut in two
	for {
		got, err := io.ReadFull(f, buf[keep:])
		chunk := buf[:keep+got]
		n += bytes.Count(chunk, walMark)
		keep = copy(buf, chunk[max(0, len(chunk)-len(walMark)+1):])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// goodEnd is how many bytes of r are whole commits.
func goodEnd(r *bufio.Reader) (end int64, err error) {
	var at int64
	crc := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for {
		crc.Reset()
		h := &walReader{r: r, tee: crc}
		meta, _ := h.ReadByte()
		h.ReadByte()
		klen, vlen, _ := h.uvarint(), h.uvarint(), h.uvarint()
		if h.err != nil || klen == 0 || klen > 1<<16 || vlen > 1<<20 {
			break
		}
		if _, err := io.CopyN(io.Discard, h, int64(klen+vlen)); err != nil {
			break
		}
		var sum [4]byte
		if _, err := io.ReadFull(r, sum[:]); err != nil || binary.BigEndian.Uint32(sum[:]) != crc.Sum32() {
			break
		}
		at += h.n + int64(len(sum))
		if meta&walTxn == 0 || meta&walEnd != 0 {
			end = at
		}
	}
	// Not read to the end because of the disk, or because the log ends?
	if _, err := r.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return end, nil
}

// A walReader counts and hashes what is read.
type walReader struct {
	r   *bufio.Reader
	tee io.Writer
	n   int64
	err error
}

func (w *walReader) ReadByte() (byte, error) {
	b, err := w.r.ReadByte()
	if err != nil {
		w.err = err
		return 0, err
	}
	w.n++
	w.tee.Write([]byte{b})
	return b, nil
}

func (w *walReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	w.tee.Write(p[:n])
	return n, err
}

func (w *walReader) uvarint() uint64 {
	v, err := binary.ReadUvarint(w)
	if err != nil {
		w.err = err
	}
	return v
}
