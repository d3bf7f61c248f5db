package s3api_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestTagging(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.put("a", "hello", func(in *s3.PutObjectInput) {
			in.Tagging, in.Metadata = aws.String("x=1&y%20z=%C3%A9"), map[string]string{"m": "1", "mtime": "1000000000"}
		})
		tags := func(key string) string {
			t.Helper()
			out, err := w.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("photos"), Key: &key})
			if err != nil {
				return code(err)
			}
			s := ""
			for _, tag := range out.TagSet {
				s += fmt.Sprintf("%s=%s;", *tag.Key, *tag.Value)
			}
			return s
		}
		set := func(key string, pairs ...string) string {
			in := &s3.PutObjectTaggingInput{Bucket: aws.String("photos"), Key: &key, Tagging: &types.Tagging{TagSet: []types.Tag{}}}
			for i := 0; i < len(pairs); i += 2 {
				in.Tagging.TagSet = append(in.Tagging.TagSet, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
			}
			_, err := w.s3.PutObjectTagging(ctx, in)
			return code(err)
		}
		head := func(key string) string {
			h, err := w.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: &key, ChecksumMode: "ENABLED"})
			if err != nil {
				return code(err)
			}
			return fmt.Sprint(aws.ToInt32(h.TagCount), h.Metadata, h.LastModified.Unix(), h.ChecksumCRC32 != nil)
		}
		want(t, "tags", tags("a"), "x=1;y z=é;")
		want(t, "head", head("a"), "2 map[m:1 mtime:1000000000] 1000000000 true")
		want(t, "set", set("a", "b c", "d&e"), "")
		want(t, "tags", tags("a"), "b c=d&e;")
		want(t, "head", head("a"), "1 map[m:1 mtime:1000000000] 1000000000 true")
		want(t, "content", w.get("a"), "hello")
		want(t, "set on nothing", set("none", "a", "b"), "404 NoSuchKey")
		want(t, "name twice", set("a", "k", "1", "k", "2"), "400 InvalidTag")
		want(t, "no name", set("a", "", "1"), "400 InvalidTag")
		var many []string
		for i := range 11 {
			many = append(many, fmt.Sprint(i), "")
		}
		want(t, "too many", set("a", many...), "400 BadRequest")
		want(t, "tags", tags("a"), "b c=d&e;")

		copyTo := func(key string, edit func(*s3.CopyObjectInput)) {
			t.Helper()
			in := &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: &key, CopySource: aws.String("photos/a")}
			edit(in)
			if _, err := w.s3.CopyObject(ctx, in); err != nil {
				t.Error(err)
			}
		}
		copyTo("copy", func(*s3.CopyObjectInput) {})
		want(t, "copy", tags("copy")+head("copy"), "b c=d&e;1 map[m:1 mtime:1000000000] 1000000000 true")
		copyTo("tags", func(in *s3.CopyObjectInput) { in.TaggingDirective, in.Tagging = "REPLACE", aws.String("n=2") })
		want(t, "new tags", tags("tags")+head("tags"), "n=2;1 map[m:1 mtime:1000000000] 1000000000 true")
		copyTo("meta", func(in *s3.CopyObjectInput) {
			in.MetadataDirective, in.Metadata = "REPLACE", map[string]string{"q": "3", "mtime": "1000000001"}
		})
		want(t, "new metadata", tags("meta")+head("meta"), "b c=d&e;1 map[mtime:1000000001 q:3] 1000000001 true")

		_, err := w.s3.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: aws.String("photos"), Key: aws.String("a")})
		want(t, "delete", code(err), "")
		want(t, "tags", tags("a"), "")
		want(t, "content", w.get("a"), "hello")
		reader := w.client("SBREADER", secretKey)
		_, err = reader.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: aws.String("photos"), Key: aws.String("copy")})
		want(t, "delete, read-only", code(err), "403 AccessDenied")
		want(t, "tags", tags("copy"), "b c=d&e;")
	})
}
