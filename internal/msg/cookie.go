package msg

import "bytes"

// AnyLength is for cookies of any length: heads are bounded.
const AnyLength = 1 << 30

// Cookie returns a cookie's value in a request's fields, if it has at most so many bytes. present tells whether the cookie
// is there at all. Of several with the name the first usable one counts, as browsers send the closest match first (RFC 6265
// section 5.4).
func (fs Fields) Cookie(name string, most int) (value []byte, present bool) {
	for i := range fs {
		if fs[i].ID != Cookie {
			continue
		}
		value, found := findCookie(fs[i].Value, name, most)
		present = present || found
		if value != nil {
			return value, true
		}
	}
	return nil, present
}

// findCookie returns the first value of a cookie in a Cookie field's value that is neither empty nor too long; found also when
// there are only such. (RFC 6265 §4.2.1: pairs separated by ";".) It allocates nothing and its work is linear.
func findCookie(field []byte, name string, most int) (value []byte, found bool) {
	for len(field) > 0 {
		pair := field
		if i := bytes.IndexByte(field, ';'); i >= 0 {
			pair, field = field[:i], field[i+1:]
		} else {
			field = nil
		}
		i := bytes.IndexByte(pair, '=')
		if i < 0 || string(trim(pair[:i])) != name {
			continue
		}
		found = true
		if v := trim(pair[i+1:]); len(v) > 0 && len(v) <= most {
			return v, true
		}
	}
	return nil, found
}

// trim cuts spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
