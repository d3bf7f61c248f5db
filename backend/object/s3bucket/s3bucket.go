// Package s3bucket is a bucket at Amazon S3 or at a store that speaks its
// protocol. An object that fits a part is one PutObject; a longer one is a
// multipart upload that is streamed through a bounded pool of part buffers.
// What is sent is hashed first, so that the store refuses damage, and every
// write asserts its encryption.
//
// The credentials need s3:ListBucket on the bucket (without it S3 answers 403 to
// what does not exist, which is ErrUnavailable here) and s3:GetObject,
// s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and
// s3:ListMultipartUploadParts on its objects; with SSE-KMS also
// kms:GenerateDataKey and kms:Decrypt. CheckSafety uses
// s3:GetBucketPublicAccessBlock, s3:GetBucketPolicyStatus, s3:GetBucketAcl and
// s3:GetEncryptionConfiguration. A lifecycle rule of the bucket should abort
// incomplete multipart uploads.
package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Encryptions of Options.SSE.
const (
	SSES3   = "AES256"  // keys of the store (SSE-S3)
	SSEKMS  = "aws:kms" // keys of AWS KMS, with a bucket key
	SSENone = "none"    // not asked for; for stores that have none
)

// Options says which bucket, and how to reach it. Bucket is required.
type Options struct {
	Bucket    string
	Prefix    string // of all names, "" or "a/b"; a slash follows it
	Region    string // "" means what the environment says, or us-east-1 with an Endpoint
	Endpoint  string // base URL of another store; "" means Amazon S3
	PathStyle bool   // the bucket is in the path, not in the host name

	SSE      string // SSES3, SSEKMS or SSENone; "" means SSES3
	KMSKeyID string // with SSEKMS; "" means the bucket's or the account's default key

	// AllowInsecureBucket makes Open skip CheckSafety.
	AllowInsecureBucket bool

	// PartSize is the size in bytes of a part buffer, and of what is sent in one
	// PutObject; 0 means 8 MiB, the least is object.MinPart.
	PartSize int
	// MaxBuffers bounds the part buffers of all uploads together; 0 means 16.
	// An upload waits for one before it reads on.
	MaxBuffers int
	// TempDir is an existing directory for part buffers that are files, of which uploads that
	// would wait for slower ones get up to 256; "" means that they wait.
	TempDir string
	// TempFree is how many bytes are free there. While few are, there are no files: the index
	// may be on that disk. nil means that it is not asked.
	TempFree func() (uint64, error)

	// AccessKey and SecretKey override the default credential chain, if not "".
	AccessKey, SecretKey string
	HTTPClient           *http.Client // nil means one with time-outs of its own
	Logger               *slog.Logger // nil means slog.DiscardHandler

	maxBackoff time.Duration // between attempts; tests make it short
	patience   time.Duration // of an upload that waits for a buffer; tests make it short
}

const (
	defaultPartSize   = 8 << 20
	defaultMaxBuffers = 16
	maxAttempts       = 5
	abortTime         = 30 * time.Second
	settleTime        = 30 * time.Second
)

// Bucket is a bucket at S3. Its methods may be called at once from several
// goroutines.
type Bucket struct {
	s3     *s3.Client
	opt    Options
	prefix string // "" or ending in a slash
	pool   *pool
	log    *slog.Logger
}

var (
	_ object.Bucket      = (*Bucket)(nil)
	_ object.Multiparter = (*Bucket)(nil)
)

// Open finds credentials, asks whether the bucket can be used, and runs
// CheckSafety unless Options.AllowInsecureBucket is set. It writes nothing.
func Open(ctx context.Context, opt Options) (*Bucket, error) {
	if err := opt.complete(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	cfg, err := opt.config(ctx)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	b := &Bucket{
		s3:   client(cfg, opt),
		opt:  opt,
		pool: newPool(&opt),
		log:  opt.Logger,
	}
	if opt.Prefix != "" {
		b.prefix = opt.Prefix + "/"
	}
	if err := b.exists(ctx); err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", opt.Bucket, err)
	}
	if !opt.AllowInsecureBucket {
		if err := b.CheckSafety(ctx); err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", opt.Bucket, err)
		}
	}
	return b, nil
}

// Close releases idle connections. Calls under way go on.
func (b *Bucket) Close() error {
	if c, ok := b.s3.Options().HTTPClient.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	return nil
}

// complete fills in defaults and reports all that is wrong.
func (o *Options) complete() error {
	var errs []error
	if o.Bucket == "" {
		errs = append(errs, errors.New("no bucket is named"))
	}
	o.Prefix = strings.Trim(o.Prefix, "/")
	if o.Prefix != "" {
		if err := object.CheckName(o.Prefix); err != nil {
			errs = append(errs, fmt.Errorf("prefix: %w", err))
		}
	}
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			errs = append(errs, fmt.Errorf("endpoint %q is not a URL such as https://s3.example.net", o.Endpoint))
		}
	}
	if o.SSE == "" {
		o.SSE = SSES3
	}
	if o.SSE != SSES3 && o.SSE != SSEKMS && o.SSE != SSENone {
		errs = append(errs, fmt.Errorf("encryption %q is none of %s, %s, %s", o.SSE, SSES3, SSEKMS, SSENone))
	}
	if o.KMSKeyID != "" && o.SSE != SSEKMS {
		errs = append(errs, fmt.Errorf("a KMS key needs encryption %s, not %s", SSEKMS, o.SSE))
	}
	if o.PartSize == 0 {
		o.PartSize = defaultPartSize
	}
	if o.PartSize < object.MinPart || o.PartSize > 1<<30 {
		errs = append(errs, fmt.Errorf("part size %d is not between %d and %d bytes", o.PartSize, object.MinPart, 1<<30))
	}
	if o.MaxBuffers == 0 {
		o.MaxBuffers = defaultMaxBuffers
	}
	if o.MaxBuffers < 1 {
		errs = append(errs, fmt.Errorf("%d part buffers, at least 1", o.MaxBuffers))
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		errs = append(errs, errors.New("access key and secret key go together"))
	}
	if o.maxBackoff == 0 {
		// A client waits meanwhile, and is told 503 after five attempts: within four seconds.
		o.maxBackoff = fail.Duration("s3.backoff", time.Second)
	}
	if o.patience == 0 {
		o.patience = defaultPatience
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

func (o *Options) config(ctx context.Context) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{config.WithRetryer(o.retryer)}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, "")))
	}
	if o.HTTPClient != nil {
		load = append(load, config.WithHTTPClient(o.HTTPClient))
	} else {
		load = append(load, config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 128
			t.MaxIdleConnsPerHost = 128
			t.ResponseHeaderTimeout = 2 * time.Minute // after the body was sent
		})))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the AWS configuration: %s", err)
	}
	if cfg.Region == "" && o.Endpoint != "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no region is set: give the bucket's, such as eu-central-1")
	}
	return cfg, nil
}

// retryer retries what the SDK does, and a conditional write that met another:
// a 409 says nothing about who has won (S3 API Reference, PutObject).
func (o *Options) retryer() aws.Retryer {
	r := retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts = maxAttempts
		s.MaxBackoff = o.maxBackoff
	})
	return retry.AddWithErrorCodes(r, "ConditionalRequestConflict", "OperationAborted")
}

func client(cfg aws.Config, opt Options) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = opt.PathStyle
		if opt.Endpoint != "" {
			o.BaseEndpoint = aws.String(opt.Endpoint)
		}
		// Every body is hashed here and sent with its signature; trailing
		// checksums in chunks are more than many stores can read.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
}

// exists asks for the bucket itself.
func (b *Bucket) exists(ctx context.Context) error {
	_, err := b.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.opt.Bucket})
	if err == nil {
		return nil
	}
	doing := "ask for the bucket"
	switch status(err) {
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w: there is no bucket of this name; create it, private and encrypted, or correct the name", doing, object.ErrUnavailable)
	case http.StatusForbidden:
		return fmt.Errorf("%s: %w: access is denied (403): the credentials are wrong or lack s3:ListBucket on it", doing, object.ErrUnavailable)
	case http.StatusMovedPermanently, http.StatusBadRequest:
		return fmt.Errorf("%s: %w: it answered %d: probably the bucket is in another region than %s", doing, object.ErrUnavailable, status(err), b.s3.Options().Region)
	}
	return b.fail(ctx, doing, "", err)
}

func (b *Bucket) key(name string) *string { return aws.String(b.prefix + name) }

// check is what every method does first.
func (b *Bucket) check(ctx context.Context, name string, opt *object.PutOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := object.CheckName(name); err != nil {
		return err
	}
	if n := len(b.prefix) + len(name); n > object.MaxName {
		return fmt.Errorf("%w: %d bytes with the prefix, at most %d", object.ErrName, n, object.MaxName)
	}
	return opt.Check()
}

func bare(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }
