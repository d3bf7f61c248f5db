package s3bucket

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// CheckSafety refuses, with ErrUnfit, a bucket that strangers can read, and one
// that is not encrypted unless Options.SSE is SSENone. What the store does not
// answer, for it does not know the question or the credentials may not ask, is
// logged and passed over; that a stranger's request is refused is always tried.
func (b *Bucket) CheckSafety(ctx context.Context) error {
	for _, check := range []func(context.Context) error{b.checkAnonymous, b.checkPublic, b.checkEncryption} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

const makePrivate = "block all public access in the bucket's settings, or force it with the option that allows an insecure bucket"

// checkAnonymous asks as a stranger would.
func (b *Bucket) checkAnonymous(ctx context.Context) error {
	stranger := s3.New(b.s3.Options(), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	_, err := stranger.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.opt.Bucket, MaxKeys: aws.Int32(1)})
	if err == nil {
		return fmt.Errorf("%w: it is public: it answers to a request without credentials; %s", object.ErrUnfit, makePrivate)
	}
	if s := status(err); s == 0 || s >= 500 { // else it refused, in whatever way
		return b.fail(ctx, "ask as a stranger", "", err)
	}
	return nil
}

// checkPublic asks for the policy and the grants. (Amazon S3 User Guide,
// "Blocking public access to your Amazon S3 storage".)
func (b *Bucket) checkPublic(ctx context.Context) error {
	var block types.PublicAccessBlockConfiguration
	out, err := b.s3.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &b.opt.Bucket})
	if err == nil && out.PublicAccessBlockConfiguration != nil {
		block = *out.PublicAccessBlockConfiguration
	} else if err != nil {
		if err := b.noAnswer(ctx, "s3:GetBucketPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration", err); err != nil {
			return err
		}
	}
	if !aws.ToBool(block.RestrictPublicBuckets) {
		p, err := b.s3.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: &b.opt.Bucket})
		if err == nil && p.PolicyStatus != nil && aws.ToBool(p.PolicyStatus.IsPublic) {
			return fmt.Errorf("%w: its policy makes it public; %s", object.ErrUnfit, makePrivate)
		}
		if err := b.noAnswer(ctx, "s3:GetBucketPolicyStatus", "NoSuchBucketPolicy", err); err != nil {
			return err
		}
	}
	if !aws.ToBool(block.IgnorePublicAcls) {
		acl, err := b.s3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &b.opt.Bucket})
		if err := b.noAnswer(ctx, "s3:GetBucketAcl", "", err); err != nil {
			return err
		}
		if err == nil {
			for _, g := range acl.Grants {
				if g.Grantee != nil && everyone[aws.ToString(g.Grantee.URI)] {
					return fmt.Errorf("%w: an access list grants %s on it to everyone; %s", object.ErrUnfit, g.Permission, makePrivate)
				}
			}
		}
	}
	return nil
}

// everyone are the groups that strangers are in. (Amazon S3 User Guide, "Access
// control list overview".)
var everyone = map[string]bool{
	"http://acs.amazonaws.com/groups/global/AllUsers":           true,
	"http://acs.amazonaws.com/groups/global/AuthenticatedUsers": true,
}

// checkEncryption asks what the bucket does with an object for which nothing is
// asked: other tools write to it too.
func (b *Bucket) checkEncryption(ctx context.Context) error {
	if b.opt.SSE == SSENone {
		return nil
	}
	out, err := b.s3.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &b.opt.Bucket})
	unencrypted := errorCode(err) == "ServerSideEncryptionConfigurationNotFoundError"
	if err == nil {
		unencrypted = out.ServerSideEncryptionConfiguration == nil || len(out.ServerSideEncryptionConfiguration.Rules) == 0
	}
	if unencrypted {
		return fmt.Errorf("%w: it has no default encryption; turn on SSE-S3 or SSE-KMS in its settings, "+
			"or choose the encryption %q if the store encrypts its disks in another way", object.ErrUnfit, SSENone)
	}
	return b.noAnswer(ctx, "s3:GetEncryptionConfiguration", "", err)
}

// noAnswer passes over an error by which the store says that it does not know or
// may not tell; safe is the code by which it says that there is nothing to fear.
func (b *Bucket) noAnswer(ctx context.Context, action, safe string, err error) error {
	switch code := errorCode(err); {
	case err == nil, safe != "" && code == safe:
		return nil
	case status(err) == http.StatusForbidden:
		b.log.Warn("the credentials may not ask whether the bucket is safe; allow it to be sure", "op", action)
		return nil
	case code == "NoSuchBucket":
		return b.fail(ctx, action, "", err)
	case status(err)/100 == 4, status(err) == http.StatusNotImplemented:
		b.log.Debug("the store does not say whether the bucket is safe", "op", action, "err", code)
		return nil
	}
	return b.fail(ctx, "check the bucket", "", err)
}
