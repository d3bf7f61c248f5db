package account

import "log/slog"

// A Secret is text that must not be seen: printed, logged or put into JSON it
// is "redacted". Convert it with string() where it is really needed.
type Secret string

const redacted = "redacted"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
