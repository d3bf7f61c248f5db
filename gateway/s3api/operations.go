package s3api

import (
	"fmt"
	"slices"
	"strings"
)

// Where a request points to.
const (
	onService = iota // "/"
	onBucket
	onObject
)

// An operation is one that there is. A request is that operation if its method
// and place agree, the sub-resource stands in its query, and everything else in
// its query is a parameter the operation knows.
type operation struct {
	name      string
	method    string
	place     int
	sub       string // sub-resource, "" for none
	params    string // blank-separated
	streaming bool   // takes a body in chunks
	do        func(*request) error
}

// operations is the whole of what this face does. Whatever is not listed is
// NotImplemented, before anything is done: a sub-resource that falls through to
// the plain operation overwrites or deletes objects.
var operations = slices.Concat(objectOperations, settingOperations())

const overrides = "response-content-type response-content-language response-expires response-cache-control response-content-disposition response-content-encoding"

var objectOperations = []operation{
	{"ListBuckets", "GET", onService, "", "prefix max-buckets continuation-token bucket-region", false, (*request).listBuckets},

	{"ListObjects", "GET", onBucket, "", "delimiter encoding-type marker max-keys prefix", false, (*request).listObjects},
	{"ListObjectsV2", "GET", onBucket, "list-type", "delimiter encoding-type max-keys prefix continuation-token fetch-owner start-after", false, (*request).listObjectsV2},
	{"ListObjectVersions", "GET", onBucket, "versions", "delimiter encoding-type key-marker max-keys prefix version-id-marker", false, (*request).listVersions},
	{"ListMultipartUploads", "GET", onBucket, "uploads", "delimiter encoding-type key-marker max-uploads prefix upload-id-marker", false, (*request).listUploads},
	{"HeadBucket", "HEAD", onBucket, "", "", false, (*request).headBucket},
	{"CreateBucket", "PUT", onBucket, "", "", false, (*request).createBucket},
	{"DeleteBucket", "DELETE", onBucket, "", "", false, (*request).deleteBucket},
	{"DeleteObjects", "POST", onBucket, "delete", "", false, (*request).deleteObjects},
	{"GetBucketVersioning", "GET", onBucket, "versioning", "", false, (*request).getVersioning},

	{"GetObject", "GET", onObject, "", "partNumber versionId " + overrides, false, (*request).getObject},
	{"HeadObject", "HEAD", onObject, "", "partNumber versionId " + overrides, false, (*request).getObject},
	{"PutObject", "PUT", onObject, "", "", true, (*request).putObject}, // CopyObject as well
	{"DeleteObject", "DELETE", onObject, "", "versionId", false, (*request).deleteObject},
	{"CreateMultipartUpload", "POST", onObject, "uploads", "", false, (*request).createUpload},
	{"UploadPart", "PUT", onObject, "uploadId", "partNumber", true, (*request).uploadPart}, // UploadPartCopy as well
	{"ListParts", "GET", onObject, "uploadId", "encoding-type max-parts part-number-marker", false, (*request).listParts},
	{"CompleteMultipartUpload", "POST", onObject, "uploadId", "", false, (*request).completeUpload},
	{"AbortMultipartUpload", "DELETE", onObject, "uploadId", "", false, (*request).abortUpload},
	{"GetObjectAttributes", "GET", onObject, "attributes", "versionId", false, (*request).getAttributes},
	{"GetObjectTagging", "GET", onObject, "tagging", "versionId", false, (*request).getTagging},
	{"PutObjectTagging", "PUT", onObject, "tagging", "versionId", false, (*request).putTagging},
	{"DeleteObjectTagging", "DELETE", onObject, "tagging", "versionId", false, (*request).deleteTagging},
	{"GetObjectAcl", "GET", onObject, "acl", "versionId", false, (*request).getACL},
	{"GetObjectLegalHold", "GET", onObject, "legal-hold", "versionId", false, (*request).noObjectLock},
	{"RestoreObject", "POST", onObject, "restore", "versionId", false, (*request).restoreObject},
	{"GetObjectRetention", "GET", onObject, "retention", "versionId", false, (*request).noObjectLock},
}

// settingOperations are the reads of a bucket's settings.
func settingOperations() []operation {
	var list []operation
	for _, c := range settings {
		list = append(list, operation{c.name, "GET", onBucket, c.sub, "", false, c.answer})
	}
	return list
}

func (q *request) place() int {
	switch {
	case q.bucket == "":
		return onService
	case q.key == "":
		return onBucket
	}
	return onObject
}

// classify finds the operation.
func (q *request) classify() (*operation, error) {
	for name, values := range q.query {
		if len(values) > 1 {
			return nil, refuse("InvalidArgument", fmt.Sprintf("The parameter %.64q stands there twice.", name))
		}
	}
	var found *operation
	place := q.place()
	known := false // the method, for this place
	for i := range operations {
		o := &operations[i]
		if o.place != place || o.method != q.r.Method {
			continue
		}
		known = true
		if o.sub == "" {
			if found == nil {
				found = o
			}
		} else if q.query.Has(o.sub) {
			found = o
			break
		}
	}
	if !known && place != onService {
		return nil, refuse("MethodNotAllowed", "That method is not allowed here.")
	}
	if found == nil {
		return nil, refuse("NotImplemented", "That operation is not implemented.")
	}
	params := " " + found.params + " "
	for name := range q.query {
		if name != found.sub && !(name != "" && strings.Contains(params, " "+name+" ")) {
			return nil, refuse("NotImplemented", fmt.Sprintf("%s with %.64q in the query is not implemented. Nothing was changed.", found.name, name))
		}
	}
	return found, nil
}

// known are the x-amz- headers that are read elsewhere, or whose meaning is kept
// without doing anything: everything is private, and encrypted at rest.
var known = map[string]bool{
	"x-amz-content-sha256": true, "x-amz-date": true, "x-amz-decoded-content-length": true, "x-amz-trailer": true,
	"x-amz-sdk-checksum-algorithm": true, "x-amz-user-agent": true, "x-amz-te": true,
	"x-amz-storage-class": true, "x-amz-request-payer": true, "x-amz-checksum-mode": true,
	"x-amz-server-side-encryption": true, "x-amz-server-side-encryption-aws-kms-key-id": true,
	"x-amz-server-side-encryption-context": true, "x-amz-server-side-encryption-bucket-key-enabled": true,
	"x-amz-metadata-directive": true, "x-amz-tagging": true, "x-amz-tagging-directive": true, "x-amz-object-ownership": true,
	"x-amz-object-attributes": true, "x-amz-max-parts": true, "x-amz-part-number-marker": true,
	"x-amz-mp-object-size": true, "x-amz-optional-object-attributes": true, "x-amz-mfa": true,
	"x-amz-bypass-governance-retention": true,
}

// checkHeaders refuses what asks for something that would not be done. A header
// that is not known may well change what the request means, as
// x-amz-write-offset-bytes does.
func (q *request) checkHeaders() error {
	for name, values := range q.r.Header {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "x-amz-") {
			continue
		}
		v := values[0]
		switch {
		case known[name],
			strings.HasPrefix(name, "x-amz-meta-"),
			strings.HasPrefix(name, "x-amz-checksum-"),
			strings.HasPrefix(name, "x-amz-copy-source") && !strings.Contains(name, "encryption-customer"):
		case strings.HasSuffix(name, "expected-bucket-owner"): // x-amz-source-… too
			if v != q.principal.UID {
				return refuse("AccessDenied", "The bucket has another owner than "+name+" says.")
			}
		case name == "x-amz-acl":
			if v != "private" && v != "bucket-owner-full-control" && v != "bucket-owner-read" {
				return refuse("AccessControlListNotSupported", "Everything here is private. Share an object by a presigned URL.")
			}
		case name == "x-amz-bucket-object-lock-enabled" && strings.EqualFold(v, "false"):
		case strings.HasPrefix(name, "x-amz-grant-"):
			return refuse("AccessControlListNotSupported", "Everything here is private. Share an object by a presigned URL.")
		default:
			return refuse("NotImplemented", fmt.Sprintf("The header %.64q is not implemented. Nothing was changed.", name))
		}
	}
	return nil
}
