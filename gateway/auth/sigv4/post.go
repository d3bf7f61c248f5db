package sigv4

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// VerifyForm checks the signature of the policy in a form that a browser posts, and that
// policy against the form's fields, by their lower-case names. Of r it asks only where it
// came from. As in Verify, a refusal is an *Error, and any other error comes from lookup.
//
// What is signed is the policy alone: the file is like a body that is not signed, so it is
// taken only where Options.Secure allows it. A policy is good until it expires, and as
// long as a presigned URL may be, whichever is shorter.
//
// fields must have "bucket", which the caller takes from where the form was posted to.
func VerifyForm(r *http.Request, fields map[string]string, lookup Lookup, opt *Options) (*Verified, *Policy, error) {
	const bad = "InvalidArgument"
	c := &claim{presigned: true, timestamp: fields["x-amz-date"]}
	encoded, signed := fields["policy"]
	switch {
	case fields["awsaccesskeyid"] != "" || fields["signature"] != "":
		return nil, nil, refuse("InvalidRequest", unsignedV2)
	case fields["x-amz-security-token"] != "":
		return nil, nil, refuse("InvalidToken", "Temporary credentials are not used here.")
	case !signed && fields["x-amz-signature"] == "":
		return nil, nil, refuse("AccessDenied", "The form has no signed policy.")
	case fields["x-amz-algorithm"] != algorithm:
		return nil, nil, refuse(bad, "The field x-amz-algorithm must be AWS4-HMAC-SHA256.")
	}
	if err := c.parse(bad, fields["x-amz-credential"], "host", fields["x-amz-signature"]); err != nil {
		return nil, nil, err
	}
	var err error
	if c.time, err = time.Parse(timeFormat, c.timestamp); err != nil || c.time.Format(timeFormat) != c.timestamp {
		return nil, nil, refuse(bad, "The field x-amz-date must be of the form 20060102T150405Z.")
	}
	if c.timestamp[:8] != c.date {
		return nil, nil, refuse(bad, "The credential's date must be that of x-amz-date.")
	}
	document, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, nil, refuse("InvalidPolicyDocument", "The policy must be in base64.")
	}
	if !opt.secure(r) {
		return nil, nil, refuse("AccessDenied", "A form is accepted over HTTPS only.")
	}

	secret, lookupErr := lookup(r.Context(), c.accessKeyID)
	if lookupErr == nil && secret == "" {
		lookupErr = ErrUnknownKey
	}
	if lookupErr != nil {
		secret = "an access key that nobody knows"
	}
	v := &Verified{AccessKeyID: c.accessKeyID, Region: c.region, Time: c.time, Presigned: true, Mode: Unsigned,
		seed: c.signature, key: signingKey(secret, c.date, c.region), timestamp: c.timestamp, scope: c.scope()}
	ok := v.equal(encoded, c.signature)
	switch {
	case errors.Is(lookupErr, ErrUnknownKey):
		return nil, nil, refuse("InvalidAccessKeyId", "There is no such access key.")
	case lookupErr != nil:
		return nil, nil, fmt.Errorf("look up access key: %w", lookupErr)
	case !ok:
		return nil, nil, mismatch()
	}

	p, err := ParsePolicy(document)
	if err != nil {
		return nil, nil, err
	}
	now := opt.now()
	v.Expires = p.Expiration
	if limit := c.time.Add(opt.maxExpires()); limit.Before(v.Expires) {
		v.Expires = limit
	}
	switch {
	case c.time.Sub(now) > opt.maxSkew():
		return nil, nil, refuse("AccessDenied", "The policy is not valid yet.")
	case !now.Before(v.Expires):
		return nil, nil, refuse("AccessDenied", "The policy has expired.")
	}
	if err := p.Check(fields); err != nil {
		return nil, nil, err
	}
	return v, p, nil
}
