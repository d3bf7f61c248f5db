// Package fail holds named points at which a test makes this program die, or fail.
//
// Without the build tag failpoints every function here is empty and inlined away. With
// it, the environment says what happens:
//
//	SHOEBOX_TEST_FAIL=W5.sent:3            the third time, the process kills itself (SIGKILL)
//	SHOEBOX_TEST_FAIL=W5.sent:3:error      the third time, Error returns ErrInjected
//	SHOEBOX_TEST_FAIL=W5.sent:3:sleep      the third time, it stays there for a second
//	SHOEBOX_TEST_SET=house.tick=50ms       Duration("house.tick", …) is 50 ms
//	SHOEBOX_TEST_SKIP=fsync                Skip("fsync") is true: the negative control of a power cut
//
// Several entries are separated by commas. Points lists every name there is.
package fail

import "errors"

// ErrInjected is what Error fails with when it is told to.
var ErrInjected = errors.New("fail: injected by a test")

// Points are the names of all points, and what a crash there leaves. C1 to C22 are the
// crash points of the durability programme, W0 to W8 the steps of a write.
var Points = map[string]string{
	"W2.body":            "C1: a part of the body is read; nothing is stored",
	"W2.part":            "C2: the bucket has a part, and no row tells of it",
	"W2.part-noted":      "C2: between two parts",
	"W3.stored":          "C3: the object is in the bucket; its sums are not compared yet",
	"disk.written":       "C3: the object is written and synced, and has no name",
	"disk.named":         "C3: it has its name, which is not durable yet",
	"W4.planned":         "C4: rows are planned; no segment is written",
	"W5.begin":           "C4: the segment is encoded; the bucket has not been asked",
	"W5.sent":            "C5: the segment is in the bucket; the answer is lost",
	"W6.begin":           "C6: committed; the index does not know",
	"W6.commit":          "C7: within a transaction of the index",
	"W6.done":            "C8: the index has it; nobody has been answered",
	"W7.answered":        "C9: the answer is written",
	"W8.claimed":         "C9: a job is taken; nothing is made",
	"W8.variant":         "C10: a variant is stored, perhaps not the last",
	"W8.made":            "C11: all variants are stored; no row tells of them",
	"multipart.begin":    "C12: all parts are checked; the object is not made of them",
	"multipart.complete": "C12: the object is whole; no row tells of it",
	"snapshot.row":       "C13: half of a snapshot is written",
	"snapshot.written":   "C13: the snapshot is in the bucket; nothing has been expired",
	"expire.snapshot":    "C14: an old snapshot is deleted",
	"expire.segment":     "C14: a segment that a snapshot covers is deleted",
	"collect.marked":     "C15: tombstones say that objects go; they are there",
	"collect.variant":    "C15: a variant is deleted, perhaps not the last",
	"collect.deleted":    "C16: an original is deleted; its tombstone is there",
	"purge.some":         "C19: some of a trashed collection's rows are gone",
	"fenced":             "C17: another writer was found to have taken over",
	"replay.segment":     "C17: at a start, some segments are replayed",
	"load.snapshot":      "C17: at a rebuild, the rows of a snapshot are loaded, not the head",
	"move.folder":        "C18: a collection has been moved in the plan",
	"rotate.keyed":       "C20: the key file has a new master key; the bucket and the secrets do not",
	"rewrap.some":        "C20: some secrets are sealed with the new master key",
	"export.file":        "C22: a file of an export is whole, under another name",
}
