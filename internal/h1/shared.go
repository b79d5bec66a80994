package h1

import "poise/internal/msg"

// What HTTP/2 has in common with HTTP/1: there is one reader of each of these, so that a request means the same whichever way it came.

// Size is how large a head may be, and Count how many fields it may have.
func (l *Limits) Size() int { return l.head() }

// Count is how many fields a head may have.
func (l *Limits) Count() int { return l.fields() }

// ReadMethod sets a request's method.
func ReadMethod(r *msg.Request, method []byte) error {
	switch {
	case len(method) > maxMethod:
		return errLongWord
	case !isToken1(method):
		return errMethod
	}
	r.Method = method
	return nil
}

// ReadTarget sets path and query of a request whose method is known, from a target that is a path, or "*" as it is for OPTIONS. The path is normalised in
// place.
func ReadTarget(r *msg.Request, target []byte, lim *Limits) error {
	switch {
	case len(target) > lim.target():
		return errTooLong
	case string(r.Method) == "CONNECT" && len(r.Protocol) == 0:
		return errConnect
	case len(target) == 0 || !all(target, isTarget):
		return errTarget
	case string(target) == "*" && string(r.Method) == "OPTIONS":
		r.Path = target
		return nil
	case target[0] != '/':
		return errForm
	}
	return setPath(r, target, true)
}

// ReadAuthority sets the authority and the host of a request, in lower case; an empty one is an error.
func ReadAuthority(r *msg.Request, authority []byte) (err error) {
	r.Authority = authority
	r.Host, err = parseAuthority(authority)
	return err
}

// ReadLength reads a Content-Length; before: there was one already.
func ReadLength(value []byte, before bool) (int64, error) {
	var f framing
	if before {
		f.lengths = 1
	}
	err := f.noteLength(value)
	return f.length, err
}

// ReadExpect sets what the client expects.
func ReadExpect(r *msg.Request, value []byte) error {
	f := framing{minor: 1}
	err := f.noteExpect(value)
	r.Expect100 = f.expect100
	return err
}

// IsValue tells whether b may be a field's value, blanks around it included.
func IsValue(b []byte) bool { return validValue(b) }

// IsName tells whether b may be a field's name.
func IsName(b []byte) bool { return isToken1(b) }

// IsLowerName tells the same for HTTP/2, which knows no capitals.
func IsLowerName(b []byte) bool {
	for _, c := range b {
		if class[c]&isToken == 0 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return len(b) > 0
}

// IsAuthority tells whether b can be sent as a request's authority.
func IsAuthority(b []byte) bool { return all(b, isTarget) }

// IsTarget tells whether path and query can be sent as a request's target.
func IsTarget(path, query []byte) bool { return validTarget(path, query) }

// Printed tells whether a field is one that printers make themselves.
func Printed(f *msg.Field, request bool) bool { return printed(f, request) }

// MaxTrailer is how large a section of trailers may be.
const MaxTrailer, MaxTrailers = maxTrailer, maxTrailers
