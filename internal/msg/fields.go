package msg

import "bytes"

// Get returns the first value with the given ID. It is not for Other.
func (fs Fields) Get(id ID) ([]byte, bool) {
	for i := range fs {
		if fs[i].ID == id {
			return fs[i].Value, true
		}
	}
	return nil, false
}

// HasUnderscore tells whether the name has a "_". Servers that turn names into variables read such a name as one with
// "-", so that it could stand in for a field that a proxy has checked.
func (f *Field) HasUnderscore() bool { return bytes.IndexByte(f.Name, '_') >= 0 }

// HopByHop tells whether a field is for the next hop only and so is never forwarded as it came. (RFC 9110 §7.6.1, and
// the two HTTP/1 proxy credentials of RFC 2616 §13.5.1.) Trailer is not among them: it announces what is relayed.
func HopByHop(id ID) bool {
	switch id {
	case Connection, KeepAlive, ProxyConnection, TE, TransferEncoding, Upgrade, HTTP2Settings, ProxyAuthenticate, ProxyAuthorization:
		return true
	}
	return false
}

// EqualFold tells whether b is lower, ASCII letters in either case; lower must be in lower case. Unlike bytes.EqualFold it
// folds nothing beyond ASCII, where U+212A would equal "k".
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	diff := byte(0)
	for i, c := range b {
		diff |= lowered[c] ^ lower[i]
	}
	return diff == 0
}

// EqualFoldBytes tells whether a and b are equal, ASCII letters in either case.
func EqualFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if Lower(c) != Lower(b[i]) {
			return false
		}
	}
	return true
}

// Lower turns an ASCII capital into its small letter and leaves every other byte alone.
func Lower(c byte) byte { return lowered[c] }

var lowered = func() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if 'A' <= c && c <= 'Z' {
			t[c] |= 0x20
		}
	}
	return t
}()
