package s3api_test

import (
	"crypto/md5"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"
)

// A few megabytes of markup do not become hundreds of them in memory.
func TestXMLFlood(t *testing.T) {
	w := newWorld(t, config{})
	w.put("a", "content")
	fill := func(before, s, after string) string {
		return before + strings.Repeat(s, (4<<20-len(before)-len(after))/len(s)) + after
	}
	_, created := w.do("POST", "/photos/up?uploads", "")
	_, id, _ := strings.Cut(created, "<UploadId>")
	id, _, _ = strings.Cut(id, "</UploadId>")
	deletion, completion := "/photos?delete", "/photos/up?uploadId="+id
	for _, tt := range []struct {
		name, method, path, body string
	}{
		{"objects", "POST", deletion, fill("<Delete>", "<Object/>", "</Delete>")},
		{"objects with keys", "POST", deletion, fill("<Delete>", "<Object><Key>b</Key></Object>", "</Delete>")},
		{"other elements", "POST", deletion, fill("<Delete>", "<x/>", "</Delete>")},
		{"elements within elements", "POST", deletion, fill("<Delete>", "<x>", "")},
		{"objects within objects", "POST", deletion, fill("<Delete>", "<Object>", "")},
		{"attributes", "POST", deletion, fill("<Delete", " a=''", "></Delete>")},
		{"one long tag", "POST", deletion, fill("<Delete><", "a", "/></Delete>")},
		{"a long comment", "POST", deletion, fill("<Delete><!-- ", "a", "--></Delete>")},
		{"parts", "POST", completion, fill("<CompleteMultipartUpload>", "<Part/>", "</CompleteMultipartUpload>")},
		{"tags", "PUT", "/photos/a?tagging", fill("<Tagging><TagSet>", "<Tag/>", "</TagSet></Tagging>")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sum := md5.Sum([]byte(tt.body))
			r := w.request(tt.method, tt.path, tt.body, "Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, doc := w.send(r)
			runtime.ReadMemStats(&after)
			want(t, "answer", refusal(resp, doc), "400 MalformedXML")
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 64 {
				t.Errorf("it took %d MiB to refuse 4 MiB", n)
			}
		})
	}
	want(t, "what there is", w.list(), "[a]")

	// What a client may well send is still taken, and a body that is not the client's is
	// refused as such.
	long := "<Delete>" + strings.Repeat("<Object><Key>"+strings.Repeat("&#x1F4F7;", 100)+"</Key><VersionId></VersionId><ETag></ETag></Object>", 1000) + "</Delete>"
	sum := md5.Sum([]byte(long))
	resp, doc := w.do("POST", deletion, long, "Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	want(t, "1,000 objects", refusal(resp, doc), "200")
	resp, doc = w.do("POST", deletion, "<Delete><Object><Key>a</Key></Object></Delete>", "Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	want(t, "another's", refusal(resp, doc), "400 BadDigest")
	want(t, "what there is", w.list(), "[a]")
}
