// Package status is the one table from an error of the backend to what each
// protocol says of it: the HTTP status (WebDAV, page), the S3 error code, and the
// sentence for a person.
package status

import (
	"context"
	"errors"
	"net/http"

	"github.com/shoebox-photos/shoebox/backend"
)

// An Answer is what a client is told of an error.
type Answer struct {
	Code   int    // RFC 9110 §15, RFC 4918 §11
	S3     string // Amazon S3 API Reference, "Error responses"
	S3Code int    // HTTP status of the S3 answer, where it differs from Code; 0 means Code
	Text   string // says what is wrong and, where one can, what to do
}

// answers is searched from the top; the first match is given.
var answers = []struct {
	err error
	Answer
}{
	{backend.ErrNoUpload, Answer{404, "NoSuchUpload", 0, "There is no such upload: it was completed, aborted, or has expired."}},
	{backend.ErrNoLock, Answer{409, "InvalidRequest", 0, "There is no such lock: it has expired or was removed."}},
	{backend.ErrForbidden, Answer{403, "AccessDenied", 0, "This app password does not allow that. Mint another with a wider scope on the Devices page."}},
	{backend.ErrLocked, Answer{423, "OperationAborted", 409, "Another client has locked this."}},
	{backend.ErrPrecondition, Answer{412, "PreconditionFailed", 0, "A precondition of the request does not hold."}},
	{backend.ErrParent, Answer{409, "NoSuchKey", 404, "The collection it belongs in does not exist. Create that first."}},
	{backend.ErrTopLevel, Answer{403, "InvalidRequest", 400, "Only libraries live at the top level. Put files into one, such as photos."}},
	{backend.ErrLibraryName, Answer{403, "InvalidBucketName", 400, "A library is named with 3 to 63 of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit."}},
	{backend.ErrKey, Answer{400, "InvalidArgument", 0, "That name cannot be kept: no empty, '.' or '..' segments, no NUL, valid UTF-8, at most 255 bytes a segment, 64 segments, and 1,024 bytes in all."}},
	{backend.ErrNotEmpty, Answer{409, "BucketNotEmpty", 0, "It is not empty."}},
	{backend.ErrIsCollection, Answer{405, "InvalidRequest", 409, "There is a collection of that name."}},
	{backend.ErrNotCollection, Answer{409, "InvalidRequest", 0, "A part of that name is a file, not a collection."}},
	{backend.ErrSameResource, Answer{403, "InvalidRequest", 400, "Source and destination overlap."}},
	{backend.ErrExist, Answer{412, "PreconditionFailed", 0, "The name is taken."}},
	{backend.ErrPartTooSmall, Answer{400, "EntityTooSmall", 0, "Every part but the last must have at least 5 MiB."}},
	{backend.ErrPartOrder, Answer{400, "InvalidPartOrder", 0, "Parts must be listed in ascending order."}},
	{backend.ErrPart, Answer{400, "InvalidPart", 0, "A part is missing or has another ETag."}},
	{backend.ErrChecksum, Answer{400, "BadDigest", 0, "The content does not match the checksum that was sent. Nothing was stored; send it again."}},
	{backend.ErrIncomplete, Answer{400, "IncompleteBody", 0, "The body was cut short. Nothing was stored; send it again."}},
	{backend.ErrTooLarge, Answer{413, "EntityTooLarge", 400, "It is larger than is allowed here."}},
	{backend.ErrQuota, Answer{507, "QuotaExceeded", 403, "The quota is used up. Delete something and empty the trash, or ask the owner for more."}},
	{backend.ErrUploads, Answer{507, "QuotaExceeded", 403, "There are too many uploads under way. Finish or abort some; those that nobody goes on with end after a week."}},
	{backend.ErrLocks, Answer{507, "QuotaExceeded", 403, "There are too many locks. Unlock some, or end them on the Devices page; those that nobody refreshes end within an hour."}},
	{backend.ErrNoSpace, Answer{507, "ServiceUnavailable", 503, "There is no space left to store it. Nothing was changed."}},
	{backend.ErrUnavailable, Answer{503, "SlowDown", 0, "The storage behind this cannot be reached at the moment. Try again shortly."}},
	{context.DeadlineExceeded, Answer{503, "SlowDown", 0, "It took too long. Try again shortly."}},
	{context.Canceled, Answer{499, "RequestTimeout", 400, "The client went away."}},
	// Last, since others may wrap it.
	{backend.ErrNotExist, Answer{404, "NoSuchKey", 0, "There is nothing of that name."}},
}

// Of is the answer to err; an error that is not in the table is a fault of ours.
func Of(err error) Answer {
	for _, a := range answers {
		if errors.Is(err, a.err) {
			if a.S3Code == 0 {
				a.S3Code = a.Code
			}
			return a.Answer
		}
	}
	return Answer{http.StatusInternalServerError, "InternalError", 500, "Something went wrong here. The log tells what, under this request's id."}
}
