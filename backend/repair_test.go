package backend_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// full is lived, with tombstones, properties and a purge that was begun.
func full(t *testing.T) *box {
	b := lived(t).box
	ctx := t.Context()
	e := b.put("photos/purged.gif", gif+"purged")
	b.ok(b.Delete(ctx, "photos/purged.gif", nil))
	b.ok(b.Purge(ctx, e.Ino))
	b.ok(b.Delete(ctx, "photos/2025/.DS_Store", nil)) // it is in no log
	_, err := b.SetProps(ctx, "photos/d.gif", backend.PropPatch{Set: []backend.Prop{{Inner: []byte("x")}}}, backend.Conditions{})
	b.ok(err)
	return b
}

func (b *box) logged() (rows []kv.Row) {
	b.t.Helper()
	for row, err := range b.x.(kv.Dumper).Dump(b.t.Context(), "") {
		b.ok(err)
		if strings.Contains(row.P, uid) && strings.IndexByte("dibtrwpqg", row.P[0]) >= 0 {
			row.D = bytes.Clone(row.D)
			rows = append(rows, row)
		}
	}
	return rows
}

func (b *box) repair(level int, dry bool) *backend.Report {
	b.t.Helper()
	rep, err := b.b.CheckWith(b.t.Context(), uid, backend.CheckOptions{Level: level, Scratch: memkv.New(), Repair: true, DryRun: dry})
	b.ok(err)
	return rep
}

// Whatever row the index loses, or has wrong, comes back from the log.
func TestRepairFromLog(t *testing.T) {
	b := full(t)
	before := dump(t, b.x)
	for _, row := range b.logged() {
		for _, op := range []kv.Op{{Key: row.Key, Kind: kv.Del}, {Key: row.Key, D: append([]byte("{"), row.D...)}} {
			b.ok(b.x.Commit(t.Context(), []kv.Op{op}))
			damaged := dump(t, b.x)
			dry := b.repair(2, true)
			if dump(t, b.x) != damaged {
				t.Errorf("%v: a dry run changed rows", row.Key)
			}
			rep := b.repair(2, false)
			if dry.Wrong == 0 || rep.Wrong != 0 || len(rep.Repairs) != 1 {
				t.Errorf("%v: dry run %+v, repair %+v", row.Key, dry, rep)
			}
			if dump(t, b.x) != before {
				t.Fatalf("%v: it is not as it was", row.Key)
			}
		}
	}
	// All of it.
	var ops []kv.Op
	for _, row := range b.logged() {
		ops = append(ops, kv.Op{Key: row.Key, Kind: kv.Del})
	}
	b.ok(b.x.Commit(t.Context(), ops))
	b.repair(2, false)
	b.sound()
}

// Rows that the log itself has wrong are derived from others, and logged.
func TestRepairByPlan(t *testing.T) {
	probe := full(t)
	kinds := map[byte]int{}
	n := len(probe.logged())
	for i := range n {
		b := full(t)
		row := b.logged()[i]
		if strings.IndexByte("dw", row.P[0]) >= 0 && i%2 == 0 || row.P[0] == 'p' {
			continue // what is lost is lost; the rest of it must go, below
		}
		b.ok(backend.Misplan(t.Context(), b.Library, kv.Op{Key: row.Key, Kind: kv.Del}))
		rep := b.repair(2, false)
		if rep.Wrong != 0 {
			t.Errorf("%v: %+v", row.Key, rep)
		}
		kinds[row.P[0]]++
		index := dump(t, b.x)
		b.open(memkv.New())
		if dump(t, b.x) != index {
			t.Errorf("%v: a rebuild differs", row.Key)
		}
		b.sound()
	}
	if len(kinds) < 7 {
		t.Errorf("only %d kinds of rows", len(kinds))
	}
	// Rows that lead nowhere.
	b := full(t)
	before := dump(t, b.x)
	other := "zzzzzzzzzzzzzzzz"
	obj := object.OriginalPrefix(uid) + "2024-01/01ARZ3NDEKTSV4RRFFQ69G5FAV-x.jpg"
	b.ok(backend.Misplan(t.Context(), b.Library,
		kv.Op{Key: kv.Key{P: "i#" + uid + "#" + other, S: "-"}, D: []byte(`{"d":"` + other + `","s":"x"}`)},
		kv.Op{Key: kv.Key{P: "t#" + uid, S: "0000000000000001#" + other}, D: []byte{1}},
		kv.Op{Key: kv.Key{P: "r#" + uid, S: "0000000000000001#" + other}, D: []byte(`{"d":"` + other + `"}`)},
		kv.Op{Key: kv.Key{P: "p#" + uid + "#" + other, S: " x"}, D: []byte(`{"n":"x"}`)},
		kv.Op{Key: kv.Key{P: "b#" + uid + "#" + object.ULIDOf(obj), S: other}, D: []byte(obj)},
		kv.Op{Key: kv.Key{P: "q#" + uid, S: "-"}, D: []byte(`{"b":-1,"f":99}`)},
	))
	rep := b.repair(1, false)
	if rep.Wrong != 0 || len(rep.Repairs) != 1 {
		t.Errorf("%+v", rep)
	}
	// The object that was thought in use has a tombstone now.
	k := kv.Key{P: "g#" + uid + "#" + object.ULIDOf(obj), S: "-"}
	rows, err := b.x.Get(t.Context(), k)
	b.ok(err)
	b.ok(backend.Misplan(t.Context(), b.Library, kv.Op{Key: k, Kind: kv.Del}, kv.Op{Key: kv.Key{P: "g#" + uid, S: string(rows[0].D)}, Kind: kv.Del}))
	if dump(t, b.x) != before {
		t.Errorf("%s\nwant\n%s", dump(t, b.x), before)
	}
}

// Jobs that are missing are queued, also those of variants that are missing.
func TestRepairQueuesJobs(t *testing.T) {
	ctx := t.Context()
	b := newBox(t)
	b.put("photos/new.gif", gif+"new")
	e := b.put("photos/seen.gif", gif+"seen")
	b.ok(b.b.PutVariant(ctx, uid, e.Object, "thumb", "0123", "webp", "image/webp", []byte("small")))
	b.ok(b.b.Finish(ctx, uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: backend.Media{Variants: []string{"thumb-0123.webp"}}}}))
	q := job.New(b.x, nil)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Queue: q})
	queued := func() int {
		jobs, _, err := q.List(ctx, "", 10)
		b.ok(err)
		return len(jobs)
	}
	if rep := b.repair(3, true); rep.NoVariants != 0 || len(rep.Repairs) != 1 || queued() != 0 {
		t.Errorf("%+v", rep)
	}
	if rep := b.repair(3, false); rep.Wrong != 0 || queued() != 1 {
		t.Errorf("%+v, %d jobs", rep, queued())
	}
	b.ok(b.bucket.Delete(ctx, b.objects("v1/v/")[0]))
	if rep := b.repair(3, false); rep.Wrong != 0 || rep.NoVariants != 1 || queued() != 2 {
		t.Errorf("%+v, %d jobs", rep, queued())
	}
	if rep := b.repair(3, false); len(rep.Repairs) != 0 || queued() != 2 {
		t.Errorf("%+v, %d jobs", rep, queued())
	}
}

// Levels 4 and 5 find what the others can not see.
func TestCheckData(t *testing.T) {
	ctx := t.Context()
	b := newBox(t)
	for i := range 40 {
		b.put(fmt.Sprintf("photos/%02d", i), fmt.Sprint("content ", i%10, i/10))
	}
	u, err := b.CreateUpload(ctx, "photos/up", nil)
	b.ok(err)
	p, err := b.PutPart(ctx, u.ID, 1, strings.NewReader("part"), 4, nil, nil)
	b.ok(err)
	_, err = b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
	b.ok(err)
	level := func(n int, sample float64) *backend.Report {
		t.Helper()
		var last [6]int64
		rep, err := b.b.CheckWith(ctx, uid, backend.CheckOptions{Level: n, Sample: sample, Scratch: memkv.New(),
			Progress: func(level int, done, total int64) { last[level] = done }})
		b.ok(err)
		if last[4] != 41 || n == 5 && sample == 0 && last[5] != 41 {
			t.Errorf("progress %v", last)
		}
		return rep
	}
	if rep := level(5, 0); rep.Wrong != 0 || rep.Asked != 41 || rep.Unsummed != 1 || rep.Read != 41 || rep.SizeOnly != 0 || rep.ReadBytes != 40*11+4 {
		t.Errorf("%+v", rep)
	}
	if rep := level(5, 25); rep.Wrong != 0 || rep.Read == 0 || rep.Read == 41 {
		t.Errorf("sample: %+v", rep)
	}
	// One bit of the content.
	e, err := b.Stat(ctx, "photos/07")
	b.ok(err)
	change := func(edit func(data []byte, meta map[string]string)) {
		t.Helper()
		info, err := b.bucket.Head(ctx, e.Object)
		b.ok(err)
		r, err := b.bucket.Get(ctx, e.Object, 0, -1)
		b.ok(err)
		data, err := io.ReadAll(r)
		b.ok(err)
		edit(data, info.Meta)
		_, err = b.bucket.Put(ctx, e.Object, bytes.NewReader(data), int64(len(data)), &object.PutOptions{Meta: info.Meta})
		b.ok(err)
	}
	change(func(d []byte, _ map[string]string) { d[3] ^= 4 })
	if rep := level(4, 0); rep.Wrong != 0 {
		t.Errorf("%+v", rep)
	}
	if rep := level(5, 0); rep.Wrong != 1 || !strings.Contains(rep.Findings[0], "is damaged") {
		t.Errorf("%+v", rep)
	}
	change(func(d []byte, meta map[string]string) { d[3] ^= 4; meta["sb-md5"] = "x" })
	if rep := level(5, 0); rep.Wrong != 1 || !strings.Contains(rep.Findings[0], "another sb-md5") {
		t.Errorf("%+v", rep)
	}
	b.ok(b.bucket.Delete(ctx, e.Object))
	rep, err := b.b.CheckWith(ctx, uid, backend.CheckOptions{Level: 5, Scratch: memkv.New(), Repair: true})
	b.ok(err)
	if rep.Wrong != 1 || len(rep.Repairs) != 0 || rep.Read != 40 {
		t.Errorf("%+v", rep)
	}
}

func TestRepairOnDisk(t *testing.T) {
	b := full(t)
	disk, err := badgerkv.Open(t.TempDir(), nil)
	b.ok(err)
	defer disk.Close()
	b.open(disk)
	var ops []kv.Op
	for i, row := range b.logged() {
		switch i % 3 {
		case 0:
			ops = append(ops, kv.Op{Key: row.Key, Kind: kv.Del})
		case 1:
			ops = append(ops, kv.Op{Key: row.Key, D: []byte("nonsense")})
		}
	}
	b.ok(disk.Commit(t.Context(), ops))
	scratch, err := badgerkv.Open(t.TempDir(), nil)
	b.ok(err)
	defer scratch.Close()
	rep, err := b.b.CheckWith(t.Context(), uid, backend.CheckOptions{Level: 3, Scratch: scratch, Repair: true})
	b.ok(err)
	if rep.Wrong != 0 {
		t.Errorf("%+v", rep)
	}
	b.sound()
}

// An empty file becomes junk and junk a file, without a trace.
func TestMoveToJunkAndBack(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	b.put("photos/a", "")
	b.put("photos/b", "once")
	b.put("photos/b", "")
	for _, m := range [][2]backend.Key{{"photos/a", "photos/._a"}, {"photos/b", "photos/._b"}} {
		_, _, err := b.Move(ctx, m[0], m[1], nil)
		b.ok(err)
		b.sound()
	}
	if u := b.used(); u.Files != 1 { // b, in the trash
		t.Errorf("%+v", u)
	}
	_, _, err := b.Move(ctx, "photos/._a", "photos/a", nil)
	b.ok(err)
	b.sound()
	if u := b.used(); u.Files != 2 {
		t.Errorf("%+v", u)
	}
}
