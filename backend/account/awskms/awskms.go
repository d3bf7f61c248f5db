// Package awskms wraps master keys with AWS KMS: a master key is a data key of a
// symmetric KMS key, and only who may call kms:Decrypt with that gets it back.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// Options say which keys to use, and how.
type Options struct {
	// Keys name symmetric KMS keys, at least one: each an ARN, a key id, or an alias as
	// alias/shoebox. The first wraps; the others only open what they wrapped, until
	// account.WrappedStore.Rotate was called.
	Keys []string
	// Region is where keys are that are not named by ARN; "" means what the AWS tools
	// are set to.
	Region     string
	HTTPClient *http.Client // nil means the SDK's
}

// A Wrapper is an account.Wrapper that asks AWS KMS. It is safe for concurrent use.
type Wrapper struct {
	keys   []string
	client *kms.Client
}

var _ account.Wrapper = (*Wrapper)(nil)

// New makes a Wrapper. Credentials come from where the AWS tools find them. It asks
// nobody, but may read their files.
func New(ctx context.Context, opt Options) (*Wrapper, error) {
	if len(opt.Keys) == 0 {
		return nil, errors.New("no KMS key is named")
	}
	var load []func(*config.LoadOptions) error
	region := opt.Region
	for _, key := range opt.Keys {
		r, err := regionOf(key)
		if err != nil {
			return nil, err
		}
		if r != "" && region != r {
			if region != "" && region != opt.Region {
				return nil, fmt.Errorf("the KMS keys are in %s and %s: they must be in one region", region, r)
			}
			region = r
		}
	}
	if region != "" {
		load = append(load, config.WithRegion(region))
	}
	if opt.HTTPClient != nil {
		load = append(load, config.WithHTTPClient(opt.HTTPClient))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("the KMS key's region is not known: name the key by its ARN")
	}
	return &Wrapper{opt.Keys, kms.NewFromConfig(cfg)}, nil
}

// regionOf is the region in an ARN, "" for other names of a key.
func regionOf(key string) (string, error) {
	if !strings.HasPrefix(key, "arn:") {
		return "", nil
	}
	// arn:PARTITION:kms:REGION:ACCOUNT:key/ID
	parts := strings.SplitN(key, ":", 6)
	if len(parts) != 6 || parts[2] != "kms" || parts[3] == "" {
		return "", fmt.Errorf("%q is not the ARN of a KMS key, as arn:aws:kms:eu-west-1:111122223333:key/… or …:alias/…", key)
	}
	return parts[3], nil
}

// within is what KMS authenticates with a wrapped key, logs in CloudTrail, and lets
// policies ask for: a wrapped key is not good for anything else, or under another number.
func within(number uint32) map[string]string {
	return map[string]string{"app": "shoebox", "purpose": "master key", "number": strconv.FormatUint(uint64(number), 10)}
}

// timeout bounds a call with its retries: nothing can be served before it is answered.
const timeout = 30 * time.Second

// Generate implements account.Wrapper by kms:GenerateDataKey.
func (w *Wrapper) Generate(ctx context.Context, number uint32) (key, wrapped []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := w.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId: &w.keys[0], KeySpec: types.DataKeySpecAes256, EncryptionContext: within(number),
	})
	if err != nil {
		return nil, nil, explain("GenerateDataKey", w.keys[0], err)
	}
	if len(out.Plaintext) != account.KeySize || len(out.CiphertextBlob) == 0 {
		return nil, nil, fmt.Errorf("KMS answered GenerateDataKey with a key of %d bytes, not %d", len(out.Plaintext), account.KeySize)
	}
	return out.Plaintext, out.CiphertextBlob, nil
}

// Wrap implements account.Wrapper by kms:Encrypt.
func (w *Wrapper) Wrap(ctx context.Context, number uint32, key []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := w.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &w.keys[0], Plaintext: key, EncryptionContext: within(number)})
	if err != nil {
		return nil, explain("Encrypt", w.keys[0], err)
	}
	return out.CiphertextBlob, nil
}

// Unwrap implements account.Wrapper by kms:Decrypt, with the keys that are named and no
// other: whoever can write to the bucket must not be able to give us a key of theirs.
func (w *Wrapper) Unwrap(ctx context.Context, number uint32, wrapped []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var faults []error
	for i := range w.keys {
		out, err := w.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &w.keys[i], CiphertextBlob: wrapped, EncryptionContext: within(number)})
		if err == nil {
			return out.Plaintext, nil
		}
		faults = append(faults, explain("Decrypt", w.keys[i], err))
	}
	return nil, errors.Join(faults...)
}

// explain says what to do about an error of KMS.
func explain(op, key string, err error) error {
	hint := "KMS cannot be asked: check the region, the network and the credentials"
	var api smithy.APIError
	switch {
	case errors.As(err, new(*types.NotFoundException)):
		hint = "there is no such KMS key in this account and region"
	case errors.As(err, new(*types.DisabledException)), errors.As(err, new(*types.KMSInvalidStateException)):
		hint = "the KMS key is disabled or waits to be deleted: enable it, or cancel its deletion"
	case errors.As(err, new(*types.IncorrectKeyException)):
		hint = "the master key was wrapped with another KMS key: name that one, too"
	case errors.As(err, new(*types.InvalidCiphertextException)):
		hint = "the wrapped master key was changed, or is another Shoebox's"
	case errors.As(err, new(*types.InvalidKeyUsageException)):
		hint = "the KMS key is not for encryption: a symmetric one (SYMMETRIC_DEFAULT) is needed"
	case errors.As(err, &api) && strings.HasPrefix(api.ErrorCode(), "AccessDenied"):
		hint = "the role must be allowed kms:" + op + " with this key"
	case errors.As(err, &api):
		hint = "KMS refused kms:" + op
	}
	return fmt.Errorf("KMS key %s: %s: %w", aws.ToString(&key), hint, err)
}
