package journal

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// Lines are written and read alike by the quick way and by encoding/json.
func FuzzPlainRow(f *testing.F) {
	for _, s := range []string{"a", `"`, `\`, "é", "\x00", "<&>", "\u2028", ""} {
		f.Add("d#u", s, []byte(s))
		f.Add("d#u"+s, "s", []byte(`{"a":"`+s+`"}`))
		f.Add("d#u", "s"+s, []byte("\x01binary"+s))
	}
	f.Fuzz(func(t *testing.T, p, s string, d []byte) {
		var b bytes.Buffer
		if err := appendLine(&b, imageOf(kv.Key{P: p, S: s}, d)); err != nil {
			t.Skip()
		}
		var quick bytes.Buffer
		if err := appendRow(&quick, kv.Key{P: p, S: s}, d); err != nil || quick.String() != b.String() {
			t.Errorf("got %s, want %s, %v", quick.Bytes(), b.Bytes(), err)
		}
		var want rowImage
		if err := json.Unmarshal(b.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		got, ok := plainRow(b.Bytes())
		if ok && (got.key() != want.key() || !bytes.Equal(got.data(), want.data())) {
			t.Errorf("%s: got %v, want %v", b.Bytes(), got, want)
		}
	})
}
