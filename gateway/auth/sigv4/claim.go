package sigv4

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"

	// unsignedV2 teaches: several clients presign with Signature Version 2 unless
	// the region is one that Amazon opened after it was retired, or made up.
	unsignedV2 = "Signature Version 2 is not supported. Configure the client for Signature Version 4; " +
		"setting its region to \"auto\" does."
)

// A claim is what a request says about its own signature. Nothing in it is
// verified.
type claim struct {
	accessKeyID   string
	date          string // yyyymmdd of the credential scope
	region        string
	signedHeaders []string // lower case, ascending
	signature     string   // 64 lower-case hex digits
	timestamp     string   // in timeFormat
	time          time.Time
	payload       string // x-amz-content-sha256
	presigned     bool
	life          time.Duration // of a presigned URL
}

func (c *claim) scope() string { return c.date + "/" + c.region + "/s3/aws4_request" }

func parseClaim(r *http.Request, query []pair) (*claim, error) {
	auth := r.Header["Authorization"]
	var inQuery, v2 bool
	for _, p := range query {
		switch p.name {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature":
			inQuery = true
		case "AWSAccessKeyId", "Signature":
			v2 = true
		case "X-Amz-Security-Token":
			return nil, refuse("InvalidToken", "Temporary credentials are not used here.")
		}
	}
	if r.Header.Get("X-Amz-Security-Token") != "" {
		return nil, refuse("InvalidToken", "Temporary credentials are not used here.")
	}
	switch {
	case len(auth) > 1 || len(auth) == 1 && (inQuery || v2) || inQuery && v2:
		return nil, refuse("InvalidArgument", "Only one signature is allowed: in the Authorization header or in the query.")
	case v2:
		return nil, refuse("InvalidRequest", unsignedV2)
	case inQuery:
		return parsePresigned(r, query)
	case len(auth) == 0:
		return nil, refuse("AccessDenied", "The request is not signed.")
	case strings.HasPrefix(auth[0], "AWS "):
		return nil, refuse("InvalidRequest", unsignedV2)
	}
	return parseHeader(r, auth[0])
}

// parseHeader reads
//
//	AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/s3/aws4_request, SignedHeaders=A;B, Signature=HEX
func parseHeader(r *http.Request, auth string) (*claim, error) {
	const bad = "AuthorizationHeaderMalformed"
	scheme, rest, _ := strings.Cut(auth, " ")
	if scheme != algorithm {
		return nil, refuse("InvalidRequest", "The authorization mechanism is not supported: use AWS4-HMAC-SHA256.")
	}
	fields := map[string]string{}
	for f := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(f), "=")
		if _, twice := fields[name]; !ok || twice {
			return nil, refuse(bad, "The Authorization header has a malformed or repeated field.")
		}
		fields[name] = value
	}
	if len(fields) != 3 {
		return nil, refuse(bad, "The Authorization header must have Credential, SignedHeaders and Signature.")
	}
	c := &claim{}
	if err := c.parse(bad, fields["Credential"], fields["SignedHeaders"], fields["Signature"]); err != nil {
		return nil, err
	}

	date, err := single(r, "X-Amz-Date")
	if err != nil {
		return nil, err
	}
	if date != "" {
		// Compared, for time.Parse takes a fraction of a second as well.
		if c.time, err = time.Parse(timeFormat, date); err == nil && c.time.Format(timeFormat) != date {
			date = ""
		}
	} else if date, err = single(r, "Date"); err == nil && date != "" {
		// Without X-Amz-Date the Date header stands for it, and must be signed.
		if !slices.Contains(c.signedHeaders, "date") {
			return nil, refuse("AccessDenied", "The Date header must be signed.")
		}
		if c.time, err = http.ParseTime(date); err != nil {
			c.time, err = time.Parse(timeFormat, date)
		}
	}
	if date == "" || err != nil {
		return nil, refuse("AccessDenied", "A valid X-Amz-Date header is required.")
	}
	c.timestamp = c.time.UTC().Format(timeFormat)

	if c.payload, err = single(r, "X-Amz-Content-Sha256"); err != nil {
		return nil, err
	}
	if c.payload == "" {
		return nil, refuse("InvalidRequest", "The x-amz-content-sha256 header is required.")
	}
	return c, nil
}

// parsePresigned reads the query of a presigned URL; each of its parameters
// stands there once.
func parsePresigned(r *http.Request, query []pair) (*claim, error) {
	const bad = "AuthorizationQueryParametersError"
	values := map[string]string{}
	for _, p := range query {
		if !strings.HasPrefix(p.name, "X-Amz-") {
			continue
		}
		if _, twice := values[p.name]; twice {
			return nil, refuse(bad, "The query has a parameter of the signature twice.")
		}
		values[p.name] = p.value
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if values[name] == "" {
			return nil, refuse(bad, "The query needs X-Amz-Algorithm, X-Amz-Credential, X-Amz-Date, X-Amz-Expires, X-Amz-SignedHeaders and X-Amz-Signature.")
		}
	}
	if values["X-Amz-Algorithm"] != algorithm {
		return nil, refuse(bad, "X-Amz-Algorithm must be AWS4-HMAC-SHA256.")
	}
	c := &claim{presigned: true, timestamp: values["X-Amz-Date"]}
	if err := c.parse(bad, values["X-Amz-Credential"], values["X-Amz-SignedHeaders"], values["X-Amz-Signature"]); err != nil {
		return nil, err
	}
	var err error
	if c.time, err = time.Parse(timeFormat, c.timestamp); err != nil || c.time.Format(timeFormat) != c.timestamp {
		return nil, refuse(bad, "X-Amz-Date must be of the form 20060102T150405Z.")
	}
	seconds, err := strconv.ParseUint(values["X-Amz-Expires"], 10, 32)
	if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > MaxExpires {
		return nil, refuse(bad, "X-Amz-Expires must be between 1 and 604800 seconds.")
	}
	c.life = time.Duration(seconds) * time.Second

	// The payload is not known to whoever presigns, unless they said so.
	if c.payload, err = single(r, "X-Amz-Content-Sha256"); err != nil {
		return nil, err
	}
	if c.payload == "" {
		c.payload = values["X-Amz-Content-Sha256"]
	}
	if c.payload == "" {
		c.payload = "UNSIGNED-PAYLOAD"
	}
	return c, nil
}

// parse takes apart what header and query have in common.
func (c *claim) parse(bad, credential, signedHeaders, signature string) error {
	// ID/DATE/REGION/s3/aws4_request; the ID could hold a slash.
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 {
		return refuse(bad, "The credential must be ID/DATE/REGION/s3/aws4_request.")
	}
	c.accessKeyID, c.date, c.region = strings.Join(parts[:n-4], "/"), parts[n-4], parts[n-3]
	switch {
	case c.accessKeyID == "" || len(c.accessKeyID) > 128 || !printable(c.accessKeyID):
		return refuse(bad, "The credential has no valid access key.")
	case len(c.date) != 8 || !digits(c.date):
		return refuse(bad, "The credential's date must be yyyymmdd.")
	case len(c.region) > 64 || !printable(c.region):
		return refuse(bad, "The credential's region is not valid.")
	case parts[n-2] != "s3":
		return refuse(bad, fmt.Sprintf("The credential is for service %.32q; it must be for s3.", parts[n-2]))
	case parts[n-1] != "aws4_request":
		return refuse(bad, "The credential must end in aws4_request.")
	}

	c.signedHeaders = strings.Split(signedHeaders, ";")
	for i, name := range c.signedHeaders {
		if name == "" || name != strings.ToLower(name) || !printable(name) || i > 0 && name <= c.signedHeaders[i-1] {
			return refuse(bad, "SignedHeaders must be lower-case names in ascending order.")
		}
	}

	c.signature = signature
	if len(signature) != 64 || !lowerHex(signature) {
		return refuse(bad, "The signature must be 64 lower-case hexadecimal digits.")
	}
	return nil
}

// checkTime compares the date with our clock and with the credential's, and
// says when a presigned URL ends.
func (c *claim) checkTime(opt *Options) (expires time.Time, err error) {
	if c.timestamp[:8] != c.date {
		if c.presigned {
			return expires, refuse("AuthorizationQueryParametersError", "The credential's date must be that of X-Amz-Date.")
		}
		return expires, refuse("AuthorizationHeaderMalformed", "The credential's date must be that of X-Amz-Date.")
	}
	now := opt.now()
	ahead := c.time.Sub(now)
	if !c.presigned {
		if ahead.Abs() > opt.maxSkew() {
			return expires, refuse("RequestTimeTooSkewed", fmt.Sprintf(
				"The client's clock says %s, ours says %s: they may be %s apart. Set the client's clock.",
				c.time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), opt.maxSkew()))
		}
		return expires, nil
	}
	if ahead > opt.maxSkew() {
		return expires, refuse("AccessDenied", "The presigned URL is not valid yet.")
	}
	expires = c.time.Add(min(c.life, opt.maxExpires()))
	if !now.Before(expires) {
		return expires, refuse("AccessDenied", "The presigned URL has expired.")
	}
	return expires, nil
}

// checkHeaders demands that host and every x-amz-* header are signed: one that
// is not could turn a presigned PUT into a copy of something else.
func (c *claim) checkHeaders(r *http.Request) error {
	signed := func(name string) bool {
		_, ok := slices.BinarySearch(c.signedHeaders, name)
		return ok
	}
	if !signed("host") {
		return refuse("AccessDenied", "The Host header must be signed.")
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !signed(name) {
			return refuse("AccessDenied", fmt.Sprintf("The header %.64q is not signed.", name))
		}
	}
	return nil
}

// single returns the one value of a header, or "".
func single(r *http.Request, name string) (string, error) {
	v := r.Header[name]
	if len(v) > 1 {
		return "", refuse("InvalidArgument", "The header "+name+" stands there twice.")
	}
	if len(v) == 0 {
		return "", nil
	}
	return v[0], nil
}

// printable reports whether s has only visible ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

func lowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
