package backend

import "errors"

// Every error a Library returns wraps one of these, or is of kind
// context.Canceled. gateway/status gives each its WebDAV status, S3 code and
// JSON problem.
var (
	ErrNotExist      = errors.New("does not exist")
	ErrExist         = errors.New("exists already")
	ErrParent        = errors.New("the collection it belongs in does not exist")
	ErrIsCollection  = errors.New("is a collection")
	ErrNotCollection = errors.New("is not a collection")
	ErrNotEmpty      = errors.New("collection is not empty")
	ErrKey           = errors.New("not a valid key")
	ErrLibraryName   = errors.New("not a valid library name")
	ErrTopLevel      = errors.New("only libraries live at the top level")
	ErrPrecondition  = errors.New("a precondition does not hold")
	ErrChecksum      = errors.New("content does not match its checksum")
	ErrIncomplete    = errors.New("the body was cut short")
	ErrTooLarge      = errors.New("larger than is allowed")
	ErrUploads       = errors.New("too many uploads are under way")
	ErrLocks         = errors.New("too many locks are held")
	ErrQuota         = errors.New("the quota is used up")
	ErrNoSpace       = errors.New("no space left to store it")
	ErrForbidden     = errors.New("not allowed for this app password")
	ErrLocked        = errors.New("locked by another client")
	ErrNoLock        = errors.New("no such lock")
	ErrSameResource  = errors.New("source and destination overlap")
	ErrNoUpload      = errors.New("no such upload")
	ErrPart          = errors.New("a part is missing or differs")
	ErrPartOrder     = errors.New("parts are not in ascending order")
	ErrPartTooSmall  = errors.New("a part other than the last is too small")
	ErrUnavailable   = errors.New("storage cannot be reached")
)
