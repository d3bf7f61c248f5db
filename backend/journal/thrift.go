package journal

import (
	"runtime/debug"
	"sync"
)

// A load makes garbage fast, beside a store whose own tables are most of what lives: at
// Go's default the process grows to twice their size. Collecting earlier costs a tenth of
// the processors' time of a load, and halves its memory.
const (
	thriftyPercent = 30
	thriftyFrom    = 1 << 20 // bytes of a snapshot as stored; smaller ones are not worth it
)

// loads counts those under way: the collector is one for the whole process.
var loads struct {
	mu     sync.Mutex
	n      int
	before int // GC percent before the first of them
}

// saveMemory makes the collector run early until done is called.
func saveMemory() (done func()) {
	loads.mu.Lock()
	defer loads.mu.Unlock()
	if loads.n++; loads.n == 1 {
		loads.before = debug.SetGCPercent(thriftyPercent)
		if loads.before >= 0 && loads.before < thriftyPercent { // somebody wants it earlier still
			debug.SetGCPercent(loads.before)
		}
	}
	return func() {
		loads.mu.Lock()
		defer loads.mu.Unlock()
		if loads.n--; loads.n == 0 {
			debug.SetGCPercent(loads.before)
		}
	}
}
