package s3api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shoebox-photos/shoebox/gateway/s3api"
)

// Each operation, in each payload mode, with the signature in each place: without
// the right secret nothing is done. (A payload mode that one handler forgot to
// verify was CVE-2026-40344 of another server.)
func TestNothingUnsigned(t *testing.T) {
	w := newWorld(t, config{})
	w.put("dir/a", "content")
	modes := []string{hexSHA256(""), "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
	signer := awsv4.NewSigner(func(o *awsv4.SignerOptions) { o.DisableURIPathEscaping = true })
	ctx := context.Background()
	n := 0
	for _, op := range s3api.OperationsForTest() {
		for _, mode := range modes {
			for _, place := range []string{"header", "query", "none", "key only", "empty", "both"} {
				body := ""
				if strings.HasPrefix(mode, "STREAMING") {
					body = "0\r\n\r\n"
				}
				r, err := http.NewRequest(op[0], w.srv.URL+op[1]+"?"+op[2], strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Amz-Content-Sha256", mode)
				r.Header.Set("X-Amz-Decoded-Content-Length", "0")
				secret := "wrong"
				if place == "both" {
					secret = secretKey
				}
				creds := aws.Credentials{AccessKeyID: "SBOWNER", SecretAccessKey: secret}
				if place != "none" && place != "query" {
					if err := signer.SignHTTP(ctx, creds, r, mode, "s3", "auto", time.Now()); err != nil {
						t.Fatal(err)
					}
				}
				a := r.Header.Get("Authorization")
				switch place {
				case "query", "both":
					q := r.URL.Query()
					q.Set("X-Amz-Expires", "60")
					r.URL.RawQuery = q.Encode()
					u, _, err := signer.PresignHTTP(ctx, creds, r, mode, "s3", "auto", time.Now())
					if err != nil {
						t.Fatal(err)
					}
					if r.URL, err = r.URL.Parse(u); err != nil {
						t.Fatal(err)
					}
				case "key only":
					r.Header.Set("Authorization", a[:strings.Index(a, ", SignedHeaders")])
				case "empty":
					r.Header.Set("Authorization", a[:strings.Index(a, "Signature=")+len("Signature=")])
				}
				resp, err := w.srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := 403
				if place == "key only" || place == "empty" || place == "both" {
					want = 400
				}
				if resp.StatusCode != want {
					t.Errorf("%s, %s, in %s: got %s %s", strings.Join(op[:], " "), mode, place, resp.Status, answer)
				}
				n++
			}
		}
	}
	t.Logf("%d requests", n)
	want(t, "keys", w.list(), "[dir/a]")
	want(t, "content", w.get("dir/a"), "content")
	want(t, "successes", w.keys.succeeded.Load() > 0, true)
}
