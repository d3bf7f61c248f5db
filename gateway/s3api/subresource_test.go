package s3api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func urlDecode(s string) (string, error) { return url.QueryUnescape(s) }

func deletion(keys ...string) *types.Delete {
	d := &types.Delete{}
	for _, k := range keys {
		if k == "" {
			k = "kept"
		}
		d.Objects = append(d.Objects, types.ObjectIdentifier{Key: aws.String(k)})
	}
	return d
}

func hexSHA256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// request is a signed request for a path (decoded, but for its query), whose
// payload hash is that of body unless a header says otherwise.
func (w *world) request(method, path, body string, headers ...string) *http.Request {
	w.t.Helper()
	p, q, _ := strings.Cut(path, "?")
	if strings.HasPrefix(path, "?") || !strings.Contains(path, "?") {
		p, q = path, ""
	}
	u, err := url.Parse(w.srv.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	u.Path, u.RawQuery = p, q
	u.RawPath = strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(p))
	r, err := http.NewRequestWithContext(w.t.Context(), method, u.String(), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		hash = hexSHA256(body)
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	w.sign(r, secretKey, hash, time.Now())
	return r
}

func (w *world) sign(r *http.Request, secret, hash string, now time.Time) {
	w.t.Helper()
	err := awsv4.NewSigner(func(o *awsv4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(),
		aws.Credentials{AccessKeyID: "SBOWNER", SecretAccessKey: secret}, r, hash, "s3", "auto", now)
	if err != nil {
		w.t.Fatal(err)
	}
}

// send does a request and reads the answer.
func (w *world) send(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	resp, err := w.srv.Client().Do(r)
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

func (w *world) do(method, path, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	return w.send(w.request(method, path, body, headers...))
}

// refusal is status and code of an answer.
func refusal(resp *http.Response, body string) string {
	var doc struct{ Code, Message, Resource, RequestID string }
	if resp.StatusCode < 400 {
		return fmt.Sprint(resp.StatusCode)
	}
	xml.Unmarshal([]byte(strings.ReplaceAll(body, "RequestId", "RequestID")), &doc)
	if doc.Message == "" || doc.Resource == "" || doc.RequestID != resp.Header.Get("X-Amz-Request-Id") || doc.RequestID == "" {
		return fmt.Sprintf("%d with an incomplete document %s", resp.StatusCode, body)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, doc.Code)
}

// Every sub-resource of the S3 API with every method: what is not an operation of
// ours is refused and changes nothing.
func TestSubresources(t *testing.T) {
	w := newWorld(t, config{})
	w.put("dir/a", "content")
	done := map[string]bool{ // what is answered otherwise than by 501
		"GET bucket location": true, "GET bucket acl": true, "GET bucket logging": true, "GET bucket notification": true, "GET bucket accelerate": true,
		"GET bucket requestPayment": true, "GET bucket policyStatus": true, "GET bucket policy": true, "GET bucket cors": true, "GET bucket lifecycle": true,
		"GET bucket encryption": true, "GET bucket object-lock": true, "GET bucket website": true, "GET bucket publicAccessBlock": true,
		"GET bucket ownershipControls": true, "GET bucket replication": true, "GET bucket tagging": true,
		"GET bucket versioning": true, "GET bucket versions": true, "GET bucket uploads": true, "POST bucket delete": true, "GET bucket list-type": true,
		"GET object tagging": true, "PUT object tagging": true, "DELETE object tagging": true, "GET object acl": true, "GET object attributes": true, "GET object legal-hold": true, "GET object retention": true, "POST object restore": true,
		"GET object uploadId": true, "PUT object uploadId": true, "POST object uploadId": true, "DELETE object uploadId": true, "POST object uploads": true,
		"GET object versionId": true, "HEAD object versionId": true, "DELETE object versionId": true,
		"GET object partNumber": true, "HEAD object partNumber": true, "GET service prefix": true, "GET bucket prefix": true,
	}
	subresources := strings.Fields(`accelerate acl analytics append attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle
		list-type location logging metadataConfiguration metadataInventoryTable metadataTable metadataJournalTable metrics notification object-lock
		ownershipControls partNumber policy policyStatus prefix publicAccessBlock renameObject replication requestPayment restore retention select
		select-type session tagging torrent uploadId uploads versionId versioning versions website abac encryption-customer ?`)
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
		for place, path := range map[string]string{"service": "/", "bucket": "/photos", "object": "/photos/dir/a"} {
			for _, sub := range subresources {
				name := method + " " + place + " " + sub
				resp, body := w.do(method, path+"?"+url.QueryEscape(sub)+"=1", "")
				got := resp.StatusCode
				if done[name] {
					if got == 501 || got >= 500 {
						t.Errorf("%s: got %s %s", name, resp.Status, body)
					}
					continue
				}
				if got != 501 && got != 405 {
					t.Errorf("%s: got %s %s", name, resp.Status, body)
				}
			}
		}
	}
	for _, sub := range []string{"uploadId=x&uploads", "tagging&acl", "versionId=null&tagging=", "partNumber=1&x=2", "partNumber=1&uploads"} {
		if resp, body := w.do("PUT", "/photos/dir/a?"+sub, "other"); resp.StatusCode < 400 {
			t.Errorf("PUT ?%s: got %s %s", sub, resp.Status, body)
		}
	}
	for _, header := range []string{"X-Amz-Write-Offset-Bytes", "X-Amz-Server-Side-Encryption-Customer-Key", "X-Amz-Object-Lock-Mode", "X-Amz-Website-Redirect-Location", "X-Amz-Grant-Read", "X-Amz-Rename-Source"} {
		if resp, body := w.do("PUT", "/photos/dir/a", "other", header, "1"); resp.StatusCode < 400 {
			t.Errorf("PUT with %s: got %s %s", header, resp.Status, body)
		}
	}
	for _, method := range []string{"PATCH", "LOCK", "TRACE", "OPTIONS"} {
		if resp, body := w.do(method, "/photos/dir/a", ""); resp.StatusCode < 400 {
			t.Errorf("%s: got %s %s", method, resp.Status, body)
		}
	}
	resp, body := w.do("DELETE", "/photos", "", "X-Minio-Force-Delete", "true")
	want(t, "forced deletion", refusal(resp, body), "409 BucketNotEmpty")
	want(t, "keys", w.list(), "[dir/a]")
	want(t, "content", w.get("dir/a"), "content")
}
