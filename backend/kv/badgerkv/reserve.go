package badgerkv

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A reserve gives write-ahead logs blocks on the disk. Badger maps a file of 64 MiB
// that has none, and writes to it: when the disk is full then, whoever filled it, the
// write is a SIGBUS, which ends the process. A log with blocks can always be written.
type reserve struct {
	dir string

	mu    sync.Mutex
	bytes int             // committed since the directory was looked at
	known map[string]bool // logs that have blocks
}

// reserveEvery is how many bytes of commits may come before a new log is noticed. Badger
// begins one after 32 MiB.
const reserveEvery = 512 << 10

// take looks for new logs after every few commits; size is that of one, in bytes. Where
// the file system has no such thing, or no room, nothing is lost but the safety.
func (r *reserve) take(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes += size; r.known != nil && r.bytes < reserveEvery {
		return
	}
	r.bytes = 0
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return
	}
	known := make(map[string]bool)
	for _, f := range files {
		name := f.Name()
		if strings.HasSuffix(name, ".mem") {
			known[name] = true
			if !r.known[name] {
				known[name] = allocate(filepath.Join(r.dir, name)) == nil
			}
		}
	}
	r.known = known
}
