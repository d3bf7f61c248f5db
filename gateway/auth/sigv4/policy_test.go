package sigv4_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// form is a form signed by another's implementation.
func form(policy string) map[string]string {
	p := base64.StdEncoding.EncodeToString([]byte(policy))
	return map[string]string{
		"bucket": "sigv4examplebucket", "key": "user/user1/${filename}", "policy": p,
		"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": docScope, "x-amz-date": "20130524T000000Z",
		"x-amz-signature": signer.PostPresignSignatureV4(p, docTime, docSecret, "us-east-1"),
	}
}

// signed are the conditions on the fields of the signature, and on bucket and key.
const signedFields = `{"bucket":"sigv4examplebucket"},["starts-with","$key","user/"],["eq","$X-Amz-Algorithm","AWS4-HMAC-SHA256"],{"x-amz-credential":"` + docScope + `"},{"x-amz-date":"20130524T000000Z"}`

func document(conditions string) string {
	return `{"expiration":"2013-05-24T01:00:00.000Z","conditions":[` + signedFields + conditions + `]}`
}

func refusedAs(err error) string {
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return err.Error()
	}
	return fmt.Sprint(e.Status, " ", e.Code)
}

func TestVerifyForm(t *testing.T) {
	const (
		denied = "403 AccessDenied"
		bad    = "400 InvalidArgument"
		broken = "400 InvalidPolicyDocument"
	)
	for _, tt := range []struct {
		name   string
		policy string
		edit   func(map[string]string)
		want   string
	}{
		{"good", document(""), nil, ""},
		{"an ignored field", document(""), func(f map[string]string) { f["x-ignore-me"] = "1" }, ""},
		{"a field without a condition", document(""), func(f map[string]string) { f["acl"] = "private" }, denied},
		{"metadata without a condition", document(""), func(f map[string]string) { f["x-amz-meta-a"] = "b" }, denied},
		{"the bucket has no condition", strings.Replace(document(""), `{"bucket":"sigv4examplebucket"},`, "", 1), nil, denied},
		{"another bucket", document(""), func(f map[string]string) { f["bucket"] = "other" }, denied},
		{"another key", document(""), func(f map[string]string) { f["key"] = "users/a" }, denied},
		{"eq", document(`,["eq","$acl","private"]`), func(f map[string]string) { f["acl"] = "private" }, ""},
		{"eq, other", document(`,["eq","$acl","private"]`), func(f map[string]string) { f["acl"] = "public-read" }, denied},
		{"eq, missing", document(`,["eq","$acl","private"]`), nil, denied},
		{"names in any case", document(`,["EQ","$ACL","private"]`), func(f map[string]string) { f["acl"] = "private" }, ""},
		{"exact", document(`,{"success_action_status":"201"}`), func(f map[string]string) { f["success_action_status"] = "200" }, denied},
		{"starts with anything", document(`,["starts-with","$x-amz-meta-a",""]`), func(f map[string]string) { f["x-amz-meta-a"] = "z" }, ""},
		{"starts with anything, missing", document(`,["starts-with","$x-amz-meta-a",""]`), nil, ""},
		{"starts-with of types", document(`,["starts-with","$Content-Type","image/"]`), func(f map[string]string) { f["content-type"] = "image/jpeg, image/gif" }, ""},
		{"starts-with of other types", document(`,["starts-with","$Content-Type","image/"]`), func(f map[string]string) { f["content-type"] = "image/jpeg,text/html" }, denied},
		{"a condition twice", document(`,["starts-with","$key","user/user2/"]`), nil, denied},

		{"unsigned", document(""), func(f map[string]string) { delete(f, "policy"); delete(f, "x-amz-signature") }, denied},
		{"without a policy", document(""), func(f map[string]string) { delete(f, "policy") }, "403 SignatureDoesNotMatch"},
		{"without a signature", document(""), func(f map[string]string) { delete(f, "x-amz-signature") }, bad},
		{"another policy", document(""), func(f map[string]string) {
			f["policy"] = base64.StdEncoding.EncodeToString([]byte(document(" ")))
		}, "403 SignatureDoesNotMatch"},
		{"policy not in base64", document(""), func(f map[string]string) { f["policy"] = "{" }, broken},
		{"unknown key", document(""), func(f map[string]string) { f["x-amz-credential"] = strings.Replace(docScope, "AKIA", "AKIB", 1) }, "403 InvalidAccessKeyId"},
		{"another algorithm", document(""), func(f map[string]string) { f["x-amz-algorithm"] = "AWS4-ECDSA" }, bad},
		{"a short credential", document(""), func(f map[string]string) { f["x-amz-credential"] = docKey }, bad},
		{"another date", document(""), func(f map[string]string) { f["x-amz-date"] = "20130525T000000Z" }, bad},
		{"no date", document(""), func(f map[string]string) { f["x-amz-date"] = "" }, bad},
		{"version 2", document(""), func(f map[string]string) { f["signature"], f["awsaccesskeyid"] = "x", docKey }, "400 InvalidRequest"},
		{"temporary credentials", document(""), func(f map[string]string) { f["x-amz-security-token"] = "x" }, "400 InvalidToken"},

		{"expired", strings.Replace(document(""), "01:00:00.000Z", "00:00:00.000Z", 1), nil, denied},
		{"no expiration", `{"conditions":[` + signedFields + `]}`, nil, broken},
		{"no conditions", `{"expiration":"2013-05-24T01:00:00Z"}`, nil, broken},
		{"not JSON", "x", nil, broken},
		{"more than JSON", document("") + "{}", nil, broken},
		{"another member", strings.Replace(document(""), "{", `{"x":1,`, 1), nil, broken},
		{"unknown operator", document(`,["ends-with","$key","g"]`), nil, broken},
		{"without a dollar", document(`,["eq","key","g"]`), nil, broken},
		{"two members", document(`,["eq","$key"]`), nil, broken},
		{"a number", document(`,["eq","$key",1]`), nil, broken},
		{"an empty object", document(`,{}`), nil, broken},
		{"a bare string", document(`,"x"`), nil, broken},
		{"a range of words", document(`,["content-length-range","a","b"]`), nil, broken},
		{"a negative range", document(`,["content-length-range",-1,5]`), nil, broken},
		{"null", document(`,null`), nil, broken},
	} {
		f := form(tt.policy)
		if tt.edit != nil {
			tt.edit(f)
		}
		_, _, err := sigv4.VerifyForm(&http.Request{}, f, lookup, at(docTime.Add(time.Minute)))
		if got := refusedAs(err); got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestFormLimits(t *testing.T) {
	f := form(document(`,["content-length-range",1,"100"],["content-length-range",0,50]`))
	v, p, err := sigv4.VerifyForm(&http.Request{}, f, lookup, at(docTime))
	if err != nil || p.MinSize != 1 || p.MaxSize != 50 || v.AccessKeyID != docKey || !v.Expires.Equal(docTime.Add(time.Hour)) {
		t.Errorf("got %+v, %+v, %v", v, p, err)
	}
	verify := func(f map[string]string, opt *sigv4.Options) string {
		_, _, err := sigv4.VerifyForm(&http.Request{RemoteAddr: "192.0.2.1:1"}, f, lookup, opt)
		return refusedAs(err)
	}
	short := at(docTime.Add(11 * time.Minute))
	short.MaxExpires = 10 * time.Minute
	for name, opt := range map[string]*sigv4.Options{
		"not yet":         at(docTime.Add(-16 * time.Minute)),
		"capped":          short,
		"over plain HTTP": {Now: func() time.Time { return docTime }},
	} {
		if got := verify(f, opt); got != "403 AccessDenied" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	boom := errors.New("boom")
	_, _, err = sigv4.VerifyForm(&http.Request{}, f, func(context.Context, string) (string, error) { return "", boom }, at(docTime))
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

// No form passes that has a field which its policy does not name.
func FuzzPolicy(f *testing.F) {
	f.Add(document(""), "key", "user/x")
	f.Add(document(`,["content-length-range",1,2]`), "x-amz-meta-a", "")
	f.Fuzz(func(t *testing.T, text, field, value string) {
		const unnamed = "no policy has this"
		p, err := sigv4.ParsePolicy([]byte(text))
		if err != nil || strings.Contains(text, unnamed) {
			return
		}
		if p.MinSize < 0 || p.MaxSize < 0 {
			t.Error("a range below zero")
		}
		if p.Check(map[string]string{field: value, unnamed: value}) == nil {
			t.Errorf("it passes %s", text)
		}
	})
}
