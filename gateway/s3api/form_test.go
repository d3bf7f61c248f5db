package s3api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/s3api"
)

// A field of a form; one called file has a file's name as well.
type field struct{ name, value, file string }

// signedForm has the fields that sign a policy with these conditions besides those on
// bucket, key and signature.
func signedForm(key, conditions string, fields ...field) []field {
	now := time.Now().UTC()
	date := now.Format("20060102T150405Z")
	credential := "SBOWNER/" + date[:8] + "/auto/s3/aws4_request"
	prefix, _, _ := strings.Cut(key, "${")
	policy := base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`{"expiration":%q,"conditions":[{"bucket":"photos"},["starts-with","$key",%q],{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":%q},{"x-amz-date":%q}%s]}`,
		now.Add(time.Hour).Format(time.RFC3339), prefix, credential, date, conditions))
	return append([]field{
		{name: "key", value: key}, {name: "policy", value: policy}, {name: "x-amz-algorithm", value: "AWS4-HMAC-SHA256"},
		{name: "X-Amz-Credential", value: credential}, {name: "x-amz-date", value: date},
		{name: "x-amz-signature", value: signer.PostPresignSignatureV4(policy, now, secretKey, "auto")},
	}, fields...)
}

func multipartOf(t testing.TB, fields []field) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, f := range fields {
		create := func() (io.Writer, error) { return m.CreateFormField(f.name) }
		if f.file != "" {
			create = func() (io.Writer, error) { return m.CreateFormFile(f.name, f.file) }
		}
		part, err := create()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, f.value)
	}
	m.Close()
	return m.FormDataContentType(), b.Bytes()
}

func (w *world) post(path, contentType string, body io.Reader, headers ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "POST", w.srv.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c := *w.srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

func TestForm(t *testing.T) {
	w := newWorld(t, config{})
	post := func(fields []field, headers ...string) (*http.Response, string) {
		t.Helper()
		contentType, body := multipartOf(t, fields)
		return w.post("/photos", contentType, bytes.NewReader(body), headers...)
	}
	file := field{"file", "hello", `C:\pics\a b.jpg`}

	resp, body := post(signedForm("up/${filename}", "", file))
	want(t, "answer", fmt.Sprint(resp.StatusCode, body, resp.Header.Get("ETag"), resp.Header.Get("Location")), `204"`+md5Hex([]byte("hello"))+`"`+w.srv.URL+"/photos/up/a%20b.jpg")
	want(t, "content", w.get("up/a b.jpg"), "hello")

	resp, body = post(signedForm("created", `,["eq","$success_action_status","201"],["starts-with","$Content-Type","image/"],{"x-amz-meta-album":"x"},["starts-with","$tagging",""],["starts-with","$content-md5",""]`,
		field{name: "success_action_status", value: "201"}, field{name: "Content-Type", value: "image/jpeg"}, field{name: "x-amz-meta-album", value: "x"},
		field{name: "tagging", value: "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"},
		field{name: "Content-MD5", value: base64.StdEncoding.EncodeToString(fromHex(md5Hex([]byte("hello"))))}, file))
	want(t, "201", fmt.Sprint(resp.StatusCode, body), `201<?xml version="1.0" encoding="UTF-8"?>`+"\n<PostResponse><Location>"+w.srv.URL+"/photos/created</Location><Bucket>photos</Bucket><Key>created</Key><ETag>&#34;"+md5Hex([]byte("hello"))+"&#34;</ETag></PostResponse>")
	resp, _ = w.do("HEAD", "/photos/created", "")
	want(t, "stored", fmt.Sprint(resp.Header.Get("Content-Type"), resp.Header["X-Amz-Meta-Album"], resp.Header.Get("X-Amz-Tagging-Count")), "image/jpeg[x]1")

	for _, name := range []string{"success_action_redirect", "redirect"} {
		resp, _ = post(signedForm("a&b", `,["starts-with","$`+name+`","https://page.example/"]`, field{name: name, value: "https://page.example/done?x=1"}, file))
		want(t, name, fmt.Sprint(resp.StatusCode, resp.Header.Get("Location")), "303https://page.example/done?bucket=photos&etag=%22"+md5Hex([]byte("hello"))+"%22&key=a%26b&x=1")
	}
	resp, _ = post(signedForm("a", `,["starts-with","$success_action_redirect",""]`, field{name: "success_action_redirect", value: "javascript:alert(1)"}, file))
	want(t, "redirect to a script", resp.StatusCode, 204)
	resp, _ = post(signedForm("dir/", "", field{"file", "", "x"}))
	want(t, "a collection", resp.StatusCode, 204)
	resp, _ = post(signedForm("each-named", "", field{"file", "x", "f"}), "X-Amz-Copy-Source", "/photos/created", "X-Amz-Meta-Mtime", "1")
	want(t, "headers nobody signed", resp.StatusCode, 204)
	want(t, "headers nobody signed", w.get("each-named"), "x")

	for _, tt := range []struct {
		name   string
		fields []field
		want   string
	}{
		{"too large", signedForm("no", `,["content-length-range",0,4]`, file), "400 EntityTooLarge"},
		{"too small", signedForm("no", `,["content-length-range",6,10]`, file), "400 EntityTooSmall"},
		{"too small, empty", signedForm("no", `,["content-length-range",1,10]`, field{"file", "", "f"}), "400 EntityTooSmall"},
		{"another digest", signedForm("no", `,["starts-with","$content-md5",""]`, field{name: "Content-MD5", value: "AAAAAAAAAAAAAAAAAAAAAA=="}, file), "400 BadDigest"},
		{"another checksum", signedForm("no", `,["starts-with","$x-amz-checksum-crc32",""]`, field{name: "x-amz-checksum-crc32", value: "AAAAAA=="}, file), "400 BadDigest"},
		{"not a checksum", signedForm("no", `,["starts-with","$x-amz-checksum-crc32",""]`, field{name: "x-amz-checksum-crc32", value: "AAAA"}, file), "400 InvalidDigest"},
		{"public", signedForm("no", `,["starts-with","$acl",""]`, field{name: "acl", value: "public-read"}, file), "400 AccessControlListNotSupported"},
		{"a lock", signedForm("no", `,["starts-with","$x-amz-object-lock-mode",""]`, field{name: "x-amz-object-lock-mode", value: "GOVERNANCE"}, file), "501 NotImplemented"},
		{"a line break", signedForm("no", `,["starts-with","$x-amz-meta-a",""]`, field{name: "x-amz-meta-a", value: "a\r\nb"}, file), "400 InvalidArgument"},
		{"a field without a condition", signedForm("no", "", field{name: "x-amz-meta-a", value: "a"}, file), "403 AccessDenied"},
		{"a collection with content", signedForm("no/", "", file), "400 InvalidArgument"},
		{"a key that is no path", signedForm("no//a", "", file), "400 InvalidArgument"},
		{"an empty key", signedForm("", "", file), "400 InvalidArgument"},
		{"no key", signedForm("no", "", file)[1:], "400 InvalidArgument"},
		{"no file", signedForm("no", ""), "400 InvalidArgument"},
		{"the file first", append([]field{file}, signedForm("no", "")...), "400 InvalidArgument"},
		{"a field twice", signedForm("no", "", field{name: "KEY", value: "no"}, file), "400 InvalidArgument"},
		{"large fields", signedForm("no", `,["starts-with","$x-amz-meta-a",""]`, field{name: "x-amz-meta-a", value: strings.Repeat("a", 21<<10)}, file), "400 MaxPostPreDataLengthExceededError"},
		{"no signature", []field{{name: "key", value: "no"}, file}, "403 AccessDenied"},
		{"tags that are none", signedForm("no", `,["starts-with","$tagging",""]`, field{name: "tagging", value: "a=b"}, file), "400 MalformedXML"},
	} {
		want(t, tt.name, refusal(post(tt.fields)), tt.want)
	}
	contentType, data := multipartOf(t, signedForm("no", "", field{"file", strings.Repeat("x", 100_000), "f"}))
	want(t, "cut short", refusal(w.post("/photos", contentType, bytes.NewReader(data[:len(data)-1000]))), "400 IncompleteBody")
	want(t, "not a form", refusal(w.post("/photos", "multipart/form-data", strings.NewReader("x"))), "400 MalformedPOSTRequest")
	want(t, "to an object", refusal(w.post("/photos/a", contentType, bytes.NewReader(data))), "405 MethodNotAllowed")
	want(t, "to no bucket", refusal(w.post("/", contentType, bytes.NewReader(data))), "405 MethodNotAllowed")
	contentType, data = multipartOf(t, signedForm("no", "", file))
	want(t, "another bucket", refusal(w.post("/slides", contentType, bytes.NewReader(data))), "403 AccessDenied")
	want(t, "keys", w.list(), "[a a&b created dir/ each-named up/a b.jpg]")
	want(t, "refusals counted", w.keys.failed, "[]")

	w.keys.principals["SBOWNER"].Access = backend.Access{Mode: backend.ReadOnly}
	want(t, "read-only", refusal(post(signedForm("no", "", file))), "403 AccessDenied")
	w.keys.principals["SBOWNER"].Access = backend.Access{Mode: backend.UploadOnly}
	want(t, "upload-only, over what is there", refusal(post(signedForm("a", "", file))), "403 AccessDenied")
	want(t, "upload-only", refusal(post(signedForm("new", "", file))), "204")
}

func fromHex(s string) []byte {
	var b []byte
	fmt.Sscanf(s, "%x", &b)
	return b
}

// A form is streamed: what it has does not come to lie in memory or in a file.
func TestFormStreams(t *testing.T) {
	w := newWorld(t, config{tls: true})
	contentType, data := multipartOf(t, signedForm("big", `,["content-length-range",0,9000000]`, field{"file", strings.Repeat("0123456789abcdef", 512<<10), "f"}))
	resp, body := w.post("/photos/", contentType, struct{ io.Reader }{bytes.NewReader(data)}) // of unknown length
	want(t, "answer", refusal(resp, body), "204")
	want(t, "size", len(w.get("big")), 8<<20)
}

// minio-go makes forms too.
func TestMinioForm(t *testing.T) {
	w := newWorld(t, config{})
	u, _ := url.Parse(w.srv.URL)
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4("SBOWNER", secretKey, ""), Region: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	p := minio.NewPostPolicy()
	for _, err := range []error{p.SetBucket("photos"), p.SetKey("from-minio"), p.SetExpires(time.Now().Add(time.Hour)), p.SetContentType("image/png"), p.SetContentLengthRange(1, 10), p.SetUserMetadata("a", "b")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	to, fields, err := c.PresignedPostPolicy(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var list []field
	for name, v := range fields {
		list = append(list, field{name: name, value: v})
	}
	contentType, body := multipartOf(t, append(list, field{"file", "hello", "x"}))
	want(t, "post", refusal(w.post(to.Path, contentType, bytes.NewReader(body))), "204")
	want(t, "content", w.get("from-minio"), "hello")
}

// TestFormInBrowser lets Chromium fill in a form and follow the redirect.
func TestFormInBrowser(t *testing.T) {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" || testing.Short() {
		t.Skip("no Chromium is installed, or -short")
	}
	page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(rw, r.URL.Query().Get("page"))
		if r.URL.Path == "/done" {
			fmt.Fprintf(rw, "stored as %s", r.URL.Query().Get("key"))
		}
	}))
	defer page.Close()
	w := newWorld(t, config{opt: s3api.Options{Origins: []string{page.URL}}})
	var html strings.Builder
	fmt.Fprintf(&html, `<form method=post action="%s/photos" enctype=multipart/form-data>`, w.srv.URL)
	for _, f := range signedForm("web/${filename}", `,["starts-with","$success_action_redirect","http"]`, field{name: "success_action_redirect", value: page.URL + "/done"}) {
		fmt.Fprintf(&html, `<input type=hidden name="%s" value="%s">`, f.name, f.value)
	}
	html.WriteString(`<input type=file name=file></form><script>
const d = new DataTransfer();
d.items.add(new File(["from a browser"], "ünter wegs.txt"));
document.querySelector("[type=file]").files = d.files;
document.querySelector("form").submit();
</script>`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--dump-dom", page.URL+"/?page="+url.QueryEscape(html.String()))
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "stored as web/ünter wegs.txt") {
		t.Errorf("the page says %s, %v", out, err)
	}
	want(t, "content", w.get("web/ünter wegs.txt"), "from a browser")
}

// TestFormBeforeFile: what comes before the file is read to its limit, wherever it stands.
func TestFormBeforeFile(t *testing.T) {
	w := newWorld(t, config{})
	contentType, form := multipartOf(t, signedForm("a", "", field{"file", strings.Repeat("x", 1<<20), "f"}))
	resp, body := w.post("/photos", contentType, bytes.NewReader(form))
	want(t, "a file larger than the limit", fmt.Sprint(resp.StatusCode, body), "204")
	const long = 8 << 20
	_, boundary, _ := strings.Cut(contentType, "boundary=")
	for name, begin := range map[string]string{
		"lines":   strings.Repeat("line\r\n", long/6),
		"a line":  strings.Repeat("x", long),
		"header":  "--" + boundary + "\r\nX-Long: " + strings.Repeat("x", long) + "\r\n\r\n",
		"headers": "--" + boundary + "\r\n" + strings.Repeat("X-Long: x\r\n", 9000) + strings.Repeat("X-Long: "+strings.Repeat("y", 1000)+"\r\n", 900) + "\r\n",
	} {
		src := &counted{r: io.MultiReader(strings.NewReader(begin), strings.NewReader("\r\n"), bytes.NewReader(form))}
		r := httptest.NewRequest("POST", "/photos", src)
		r.Header.Set("Content-Type", contentType)
		out := httptest.NewRecorder()
		w.srv.Config.Handler.ServeHTTP(out, r)
		if src.n > 300<<10 || out.Code != 400 || !strings.Contains(out.Body.String(), "<Code>M") {
			t.Errorf("%s: read %d bytes and answered %d %s", name, src.n, out.Code, out.Body)
		}
	}
}

// counted counts what is read of it.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
