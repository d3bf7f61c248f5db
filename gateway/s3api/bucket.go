package s3api

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// listBuckets is ListBuckets, in pages if max-buckets is given. (bucket-region is passed
// over: all regions are one here.)
func (q *request) listBuckets() error {
	most, prefix, after := 10_000, q.query.Get("prefix"), ""
	if v := q.query.Get("max-buckets"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > most {
			return refuse("InvalidArgument", "max-buckets must be between 1 and 10000.")
		}
		most = n
	}
	if t := q.query.Get("continuation-token"); t != "" {
		var err error
		if after, err = q.openToken(t); err != nil {
			return err
		}
	}
	type bucket struct{ Name, CreationDate string }
	out := struct {
		XMLName           xml.Name `xml:"ListAllMyBucketsResult"`
		Xmlns             string   `xml:"xmlns,attr"`
		Owner             *owner
		Buckets           []bucket `xml:"Buckets>Bucket"`
		ContinuationToken string   `xml:",omitempty"`
		Prefix            string   `xml:",omitempty"`
	}{Xmlns: xmlns, Owner: q.owner(), Prefix: prefix}
	for e, err := range q.lib.Members(q.ctx(), "") {
		if err != nil {
			return err
		}
		if !e.Dir || !strings.HasPrefix(e.Name, prefix) || e.Name <= after {
			continue
		}
		if len(out.Buckets) == most {
			out.ContinuationToken = q.token(out.Buckets[most-1].Name)
			break
		}
		out.Buckets = append(out.Buckets, bucket{e.Name, stamp(e.Created)})
	}
	return q.reply(&out)
}

func (q *request) headBucket() error {
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	q.head.Set("X-Amz-Bucket-Region", "us-east-1") // any is accepted
	return q.serveInner(nil, nil, 0)
}

func (q *request) createBucket() error {
	q.head.Set("Location", "/"+q.bucket)
	return q.serveInner(nil, nil, 0)
}

// makeLibrary is CreateBucket once gofakes3 has called.
func (q *request) makeLibrary() error {
	k, err := backend.ParseKey(q.bucket)
	if err != nil {
		return backend.ErrLibraryName
	}
	_, err = q.lib.Mkdir(q.ctx(), k, nil)
	if errors.Is(err, backend.ErrExist) {
		return refuse("BucketAlreadyOwnedByYou", "You have a bucket of that name.")
	}
	return err
}

func (q *request) deleteBucket() error {
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	return q.serveInner(nil, nil, 0)
}

// removeLibrary is DeleteBucket once gofakes3 has called.
func (q *request) removeLibrary() error {
	k, err := backend.ParseKey(q.bucket)
	if err != nil {
		return noBucket()
	}
	err = q.lib.Delete(q.ctx(), k, &backend.DeleteOptions{EmptyOnly: true})
	if errors.Is(err, backend.ErrNotExist) {
		return noBucket()
	}
	return err
}

func (q *request) getVersioning() error {
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	return q.reply(raw(versioning))
}

// A setting is what a bucket could be configured with, and is not: the code that
// S3 answers for one that was never set, or the document of its default.
type setting struct {
	name, sub string
	code      string
	document  string
}

// settings can be read, for clients probe them, and not changed.
var settings = []setting{
	{"GetBucketLocation", "location", "", `<LocationConstraint xmlns="` + xmlns + `"></LocationConstraint>`},
	{"GetBucketAcl", "acl", "", ""}, // the document has the owner
	{"GetBucketLogging", "logging", "", `<BucketLoggingStatus xmlns="` + xmlns + `"></BucketLoggingStatus>`},
	{"GetBucketNotificationConfiguration", "notification", "", `<NotificationConfiguration xmlns="` + xmlns + `"></NotificationConfiguration>`},
	{"GetBucketAccelerateConfiguration", "accelerate", "", `<AccelerateConfiguration xmlns="` + xmlns + `"></AccelerateConfiguration>`},
	{"GetBucketRequestPayment", "requestPayment", "", `<RequestPaymentConfiguration xmlns="` + xmlns + `"><Payer>BucketOwner</Payer></RequestPaymentConfiguration>`},
	{"GetBucketPolicyStatus", "policyStatus", "", `<PolicyStatus xmlns="` + xmlns + `"><IsPublic>false</IsPublic></PolicyStatus>`},
	{"GetBucketPolicy", "policy", "NoSuchBucketPolicy", ""},
	{"GetBucketCors", "cors", "NoSuchCORSConfiguration", ""},
	{"GetBucketLifecycleConfiguration", "lifecycle", "NoSuchLifecycleConfiguration", ""},
	{"GetBucketEncryption", "encryption", "ServerSideEncryptionConfigurationNotFoundError", ""},
	{"GetObjectLockConfiguration", "object-lock", "ObjectLockConfigurationNotFoundError", ""},
	{"GetBucketWebsite", "website", "NoSuchWebsiteConfiguration", ""},
	{"GetPublicAccessBlock", "publicAccessBlock", "NoSuchPublicAccessBlockConfiguration", ""},
	{"GetBucketOwnershipControls", "ownershipControls", "OwnershipControlsNotFoundError", ""},
	{"GetBucketReplication", "replication", "ReplicationConfigurationNotFoundError", ""},
	{"GetBucketTagging", "tagging", "NoSuchTagSet", ""},
}

func (s setting) answer(q *request) error {
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	switch {
	case s.code != "":
		return refuse(s.code, "The bucket has no such configuration.")
	case s.document == "":
		return q.reply(q.acl())
	}
	return q.reply(raw(s.document))
}

// raw is a document that is written already.
type raw string

// acl says that the owner has all rights and nobody else has any.
func (q *request) acl() any {
	type grantee struct {
		Xsi         string `xml:"xmlns:xsi,attr"`
		Type        string `xml:"xsi:type,attr"`
		ID          string
		DisplayName string
	}
	type grant struct {
		Grantee    grantee
		Permission string
	}
	return &struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		Xmlns   string   `xml:"xmlns,attr"`
		Owner   *owner
		Grants  []grant `xml:"AccessControlList>Grant"`
	}{Xmlns: xmlns, Owner: q.owner(), Grants: []grant{{grantee{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", q.principal.UID, q.principal.Login}, "FULL_CONTROL"}}}
}

// need demands that the object is there, for reads of what objects do not have.
func (q *request) need() error {
	_, err := q.read()
	return err
}

func (q *request) getACL() error {
	if err := q.need(); err != nil {
		return err
	}
	return q.reply(q.acl())
}

// restoreObject is RestoreObject, which brings objects out of an archive.
func (q *request) restoreObject() error {
	if err := q.need(); err != nil {
		return err
	}
	return refuse("InvalidObjectState", "Restore is not allowed for the object's current storage class: it is not in an archive.")
}

func (q *request) noObjectLock() error {
	if err := q.need(); err != nil {
		return err
	}
	return refuse("NoSuchObjectLockConfiguration", "The object has no lock.")
}
