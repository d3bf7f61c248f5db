package s3api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// expect is what a listing of keys must give, written out plainly: the entries and
// common prefixes in order, prefixes with "*" before.
func expect(keys []string, prefix, delimiter, after string) (out []string) {
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			p := prefix + rest[:i+len(delimiter)]
			if p > after && !slices.Contains(out, "*"+p) {
				out = append(out, "*"+p)
			}
		} else if k > after {
			out = append(out, k)
		}
	}
	return out
}

func TestListing(t *testing.T) {
	w := newWorld(t, config{})
	keys := []string{"2023.jpg", "2023/a.jpg", "2023/b/c.jpg", "2023/b/d.jpg", "2023/b0", "2023/e.jpg", "2023x", "2024/", "a b/é+&<.jpg", "a-b", "ab/c", "z"}
	slices.Sort(keys)
	for _, k := range keys {
		w.put(k, strings.Repeat("x", len(k)*boolInt(!strings.HasSuffix(k, "/"))))
	}
	ctx := t.Context()
	for _, prefix := range []string{"", "2", "2023", "2023/", "2023/b", "2023/b/", "2023/b/c.jpg", "2024/", "a", "a b/é", "none", "z"} {
		for _, delimiter := range []string{"", "/", "b", "-", ".jpg", "/b/", "é", "none"} {
			for _, after := range []string{"", "2023/", "2023/a.jpg", "2023/b", "2023/b/", "2023/b/c.jpg", "2024", "zz"} {
				for _, size := range []int32{1, 2, 5, 1000} {
					want := expect(keys, prefix, delimiter, after)
					name := fmt.Sprintf("prefix %q delimiter %q after %q by %d", prefix, delimiter, after, size)

					var v2 []string
					p := s3.NewListObjectsV2Paginator(w.s3, &s3.ListObjectsV2Input{Bucket: aws.String("photos"), Prefix: &prefix, Delimiter: &delimiter, StartAfter: &after, MaxKeys: &size})
					for p.HasMorePages() {
						page, err := p.NextPage(ctx)
						if err != nil {
							t.Fatal(err)
						}
						if int(*page.KeyCount) != len(page.Contents)+len(page.CommonPrefixes) || *page.KeyCount > size {
							t.Errorf("%s: KeyCount %d", name, *page.KeyCount)
						}
						var here []string
						for _, o := range page.Contents {
							here = append(here, *o.Key)
						}
						for _, o := range page.CommonPrefixes {
							here = append(here, "*"+*o.Prefix)
						}
						slices.SortFunc(here, func(a, b string) int { return strings.Compare(strings.TrimPrefix(a, "*"), strings.TrimPrefix(b, "*")) })
						v2 = append(v2, here...)
					}
					if !slices.Equal(v2, want) {
						t.Errorf("V2 %s: got %q, want %q", name, v2, want)
					}

					var v1 []string
					for marker, more := after, true; more; {
						page, err := w.s3.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String("photos"), Prefix: &prefix, Delimiter: &delimiter, Marker: &marker, MaxKeys: &size})
						if err != nil {
							t.Fatal(err)
						}
						for _, o := range page.Contents {
							v1 = append(v1, *o.Key)
							marker = *o.Key
						}
						for _, o := range page.CommonPrefixes {
							v1 = append(v1, "*"+*o.Prefix)
						}
						if page.NextMarker != nil {
							marker = *page.NextMarker
						}
						more = *page.IsTruncated
						if len(v1) > 2*len(keys) {
							t.Fatalf("V1 %s: no end", name)
						}
					}
					slices.Sort(v1)
					sorted := slices.Sorted(slices.Values(want))
					if !slices.Equal(v1, sorted) {
						t.Errorf("V1 %s: got %q, want %q", name, v1, sorted)
					}
				}
			}
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestListingFields(t *testing.T) {
	w := newWorld(t, config{})
	w.put("a", "hello", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"mtime": "1000000000.25"} })
	w.put("dir/", "")
	get := func(query string) string {
		t.Helper()
		resp, body := w.do("GET", "/photos?"+query, "")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/xml" {
			return refusal(resp, body)
		}
		// encoding/xml writes xmlns="" where names come from the wrong place; some
		// clients then see nothing.
		if strings.Contains(body, `xmlns=""`) || strings.Count(body, "xmlns=") != 1 {
			t.Errorf("%s: namespaces of %s", query, body)
		}
		_, inner, _ := strings.Cut(body, `2006-03-01/">`)
		return inner
	}
	const a = "<Contents><Key>a</Key><LastModified>2001-09-09T01:46:40.250Z</LastModified><ETag>&#34;5d41402abc4b2a76b9719d911017c592&#34;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass>"
	want(t, "V2", get("list-type=2&max-keys=1&continuation-token="), "400 InvalidArgument")
	got := get("list-type=2&max-keys=1")
	token, rest, _ := strings.Cut(strings.TrimPrefix(got, "<Name>photos</Name><Prefix></Prefix><NextContinuationToken>"), "<")
	want(t, "V2", rest, "/NextContinuationToken><KeyCount>1</KeyCount><MaxKeys>1</MaxKeys><IsTruncated>true</IsTruncated>"+a+"</Contents></ListBucketResult>")
	want(t, "V2, no keys", get("list-type=2&max-keys=0"), "<Name>photos</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>0</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>")
	want(t, "V2, owner", strings.Contains(get("list-type=2&fetch-owner=true"), a+"<Owner><ID>"+uid+"</ID><DisplayName>ana</DisplayName></Owner></Contents>"), true)
	got = get("list-type=2&continuation-token=" + token)
	want(t, "an empty collection", strings.Contains(got, "<Key>dir/</Key>") && strings.Contains(got, "<Size>0</Size>") && !strings.Contains(got, "<Key>a</Key>"), true)
	want(t, "max-keys", get("list-type=2&max-keys=-1"), "400 InvalidArgument")
	want(t, "max-keys", get("list-type=2&max-keys=x"), "400 InvalidArgument")
	want(t, "max-keys", strings.Contains(get("list-type=2&max-keys=2000"), "<MaxKeys>1000</MaxKeys>"), true)
	want(t, "encoding", get("list-type=2&encoding-type=x"), "400 InvalidArgument")
	want(t, "version", get("list-type=3"), "400 InvalidArgument")
	want(t, "encoded", strings.Contains(get("list-type=2&encoding-type=url&prefix=a%20%2B%2F&start-after=%C3%A9"), "<Prefix>a%20%2B/</Prefix><StartAfter>%C3%A9</StartAfter>"), true)
	want(t, "V1", get("max-keys=1"), "<Name>photos</Name><Prefix></Prefix><Marker></Marker><MaxKeys>1</MaxKeys><IsTruncated>true</IsTruncated>"+a+"<Owner><ID>"+uid+"</ID><DisplayName>ana</DisplayName></Owner></Contents></ListBucketResult>")
	got = get("versions")
	want(t, "versions", strings.Contains(got, "<Version><Key>a</Key><VersionId>") && strings.Contains(got, "</VersionId><IsLatest>true</IsLatest>"), true)

	// Another's token, and one for another bucket, are not taken.
	other := w.client("SBOTHER", secretKey)
	if _, err := other.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("photos")}); err != nil {
		t.Fatal(err)
	}
	_, err := other.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("photos"), ContinuationToken: &token})
	want(t, "another's token", code(err), "400 InvalidArgument")
	_, err = w.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("none")})
	want(t, "no bucket", code(err), "404 NoSuchBucket")
}

func BenchmarkListPage(b *testing.B) {
	w := newWorld(b, config{})
	for i := range 1100 {
		w.put(fmt.Sprintf("2024/%05d.jpg", i), "")
	}
	b.ReportAllocs()
	for b.Loop() {
		if resp, _ := w.do("GET", "/photos?list-type=2", ""); resp.StatusCode != 200 {
			b.Fatal(resp.Status)
		}
	}
}

// A listing that is whole in one page is in the order of its bytes, decomposed names too:
// `aws s3 sync` relies on that, and with --delete would delete what it meets out of order.
func TestListingDecomposed(t *testing.T) {
	w := newWorld(t, config{})
	keys := []string{"a", "e\u0301te\u0301/1", "f", "o\u0308l", "z", "é/2"}
	for _, k := range keys {
		w.put(k, "x")
	}
	want(t, "all", w.list(), keys)
	ctx, delimiter := t.Context(), "/"
	v1, err := w.s3.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String("photos")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range v1.Contents {
		got = append(got, *o.Key)
	}
	want(t, "version 1", got, keys)
	for size := range int32(3) { // in several pages: each once, in whatever order
		seen := map[string]int{}
		p := s3.NewListObjectsV2Paginator(w.s3, &s3.ListObjectsV2Input{Bucket: aws.String("photos"), Delimiter: &delimiter, MaxKeys: aws.Int32(size + 1)})
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				seen[*o.Key]++
			}
			for _, o := range page.CommonPrefixes {
				seen[*o.Prefix]++
			}
		}
		want(t, fmt.Sprint("by ", size+1), seen, map[string]int{"a": 1, "e\u0301te\u0301/": 1, "f": 1, "o\u0308l": 1, "z": 1, "\u00e9/": 1})
	}
}

// Whatever is listed begins with the prefix that was asked for, however that spells the names
// on the way: rclone passes over what does not, and then deletes its own copy.
func TestListingPrefixSpelled(t *testing.T) {
	const composed, decomposed, hindi = "\u00e9t\u00e9", "e\u0301te\u0301", "\u0958" // which is composed as two
	for _, first := range []string{composed, decomposed} {
		w := newWorld(t, config{})
		w.put("x/"+first+"/"+decomposed+".jpg", "1")
		w.put("x/"+first+"/b.jpg", "1")
		w.put("x/"+first+"/b.jpg", "2")
		w.put("x/"+first+"/"+hindi+"/c", "1")
		w.put("x/"+first+"/gone/d", "1")
		want(t, "delete", w.remove("x/"+first+"/gone/d", ""), "")
		for _, asked := range []string{composed, decomposed} {
			for _, prefix := range []string{"x/" + asked + "/", "x/" + asked} {
				rest := []string{"x/" + asked + "/" + decomposed + ".jpg", "x/" + asked + "/b.jpg", "x/" + asked + "/" + hindi + "/c"}
				slices.Sort(rest)
				for size := range int32(4) {
					var got []string
					p := s3.NewListObjectsV2Paginator(w.s3, &s3.ListObjectsV2Input{Bucket: aws.String("photos"), Prefix: &prefix, MaxKeys: aws.Int32(size + 1)})
					for p.HasMorePages() {
						page, err := p.NextPage(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						for _, o := range page.Contents {
							got = append(got, *o.Key)
						}
					}
					slices.Sort(got)
					want(t, fmt.Sprintf("%q, %q by %d", first, prefix, size+1), got, rest)
					for _, k := range got {
						w.get(k)
					}
				}
				versions, err := w.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("photos"), Prefix: &prefix})
				if err != nil || len(versions.Versions) != 5 || len(versions.DeleteMarkers) != 1 {
					t.Fatalf("versions: %+v, %v", versions, err)
				}
				for _, v := range versions.Versions {
					if !strings.HasPrefix(*v.Key, prefix) {
						t.Errorf("%q of %q: version of %q", first, prefix, *v.Key)
					}
				}
				if k := *versions.DeleteMarkers[0].Key; k != "x/"+asked+"/gone/d" {
					t.Errorf("%q of %q: delete marker of %q", first, prefix, k)
				}
			}
			prefix := "x/" + asked + "/"
			page, err := w.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("photos"), Prefix: &prefix, Delimiter: aws.String("/")})
			if err != nil || len(page.CommonPrefixes) != 1 || *page.CommonPrefixes[0].Prefix != prefix+hindi+"/" {
				t.Errorf("%q of %q: %+v, %v", first, prefix, page.CommonPrefixes, err)
			}
		}
		page, err := w.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("photos"), Prefix: aws.String("x/"), Delimiter: aws.String("/")})
		if err != nil || len(page.CommonPrefixes) != 1 || *page.CommonPrefixes[0].Prefix != "x/"+first+"/" {
			t.Errorf("%q: %+v, %v", first, page.CommonPrefixes, err)
		}
	}
}
