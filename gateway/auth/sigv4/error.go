package sigv4

import "net/http"

// An Error is a refusal in the words of Amazon S3 API Reference, "Error
// responses". Its message may be shown to the client: it holds no secret and
// nothing that is known about the access key.
type Error struct {
	Code    string // as "SignatureDoesNotMatch"
	Status  int    // HTTP status
	Message string
	Err     error // what lies below, or nil
}

func (e *Error) Error() string {
	s := e.Code + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// statuses gives the status of every code this package answers.
var statuses = map[string]int{
	"AccessDenied":                      http.StatusForbidden,
	"AuthorizationHeaderMalformed":      http.StatusBadRequest,
	"AuthorizationQueryParametersError": http.StatusBadRequest,
	"BadDigest":                         http.StatusBadRequest,
	"IncompleteBody":                    http.StatusBadRequest,
	"InvalidAccessKeyId":                http.StatusForbidden,
	"InvalidArgument":                   http.StatusBadRequest,
	"InvalidChunkSizeError":             http.StatusBadRequest,
	"InvalidDigest":                     http.StatusBadRequest,
	"InvalidRequest":                    http.StatusBadRequest,
	"InvalidPolicyDocument":             http.StatusBadRequest,
	"InvalidToken":                      http.StatusBadRequest,
	"InvalidURI":                        http.StatusBadRequest,
	"MalformedTrailerError":             http.StatusBadRequest,
	"MissingContentLength":              http.StatusLengthRequired,
	"NotImplemented":                    http.StatusNotImplemented,
	"RequestTimeTooSkewed":              http.StatusForbidden,
	"RequestTimeout":                    http.StatusBadRequest,
	"SignatureDoesNotMatch":             http.StatusForbidden,
	"XAmzContentSHA256Mismatch":         http.StatusBadRequest,
}

func refuse(code, message string) *Error {
	return &Error{Code: code, Status: statuses[code], Message: message}
}

func refuseBecause(code, message string, err error) *Error {
	e := refuse(code, message)
	e.Err = err
	return e
}

func mismatch() *Error {
	return refuse("SignatureDoesNotMatch", "The signature does not match what was computed from the request. "+
		"Check the secret access key and that nothing between changes the request.")
}
