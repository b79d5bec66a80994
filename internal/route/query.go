package route

import "bytes"

// maxParameters is how many query parameters are looked at: a query of a million must not cost a million comparisons for
// each route. [Go's urlmaxqueryparams and others have 1000 to 10000; routes need the first few]
const maxParameters = 256

// hasParameter looks for a parameter in a raw query, with or without its "?".
func (l *lookup) hasParameter(query []byte, want *condition) bool {
	query = bytes.TrimPrefix(query, []byte("?"))
	for n := 0; len(query) > 0 && n < maxParameters; n++ {
		var name, value []byte
		name, value, query = cutParameter(query)
		if rest, ok := cutDecoded(name, want.name); ok && len(rest) == 0 && (want.text.kind == Absent || l.parameterIs(value, &want.text)) {
			return true
		}
	}
	return false
}

// Parameter is the first value of a parameter in a raw query, as it came.
func Parameter(query []byte, name string) []byte {
	query = bytes.TrimPrefix(query, []byte("?"))
	for n := 0; len(query) > 0 && n < maxParameters; n++ {
		var key, value []byte
		key, value, query = cutParameter(query)
		if rest, ok := cutDecoded(key, name); ok && len(rest) == 0 {
			return value
		}
	}
	return nil
}

// cutParameter cuts the first parameter off a query.
func cutParameter(query []byte) (name, value, rest []byte) {
	name = query
	if i := bytes.IndexByte(query, '&'); i >= 0 {
		name, rest = query[:i], query[i+1:]
	}
	if i := bytes.IndexByte(name, '='); i >= 0 {
		name, value = name[:i], name[i+1:]
	}
	return name, value, rest
}

// parameterIs compares a raw value. One that has a "%" without two hex digits is no value.
func (l *lookup) parameterIs(raw []byte, want *text) bool {
	switch want.kind {
	case Exact:
		rest, ok := cutDecoded(raw, want.value)
		return ok && len(rest) == 0
	case Prefix:
		rest, ok := cutDecoded(raw, want.value)
		return ok && sound(rest)
	case Pattern:
		if bytes.IndexByte(raw, '%') < 0 {
			return want.match(l, raw, uriTooLong)
		}
		value, ok := decode(make([]byte, 0, MaxPatterned+1), raw)
		return ok && want.match(l, value, uriTooLong)
	}
	return want.kind == Present && sound(raw)
}

// cutDecoded cuts off what is prefix after percent-decoding, and tells whether raw began so.
func cutDecoded(raw []byte, prefix string) (rest []byte, ok bool) {
	for i := range len(prefix) {
		c, n := DecodeOne(raw)
		if n == 0 || c != prefix[i] {
			return nil, false
		}
		raw = raw[n:]
	}
	return raw, true
}

// decode appends raw, decoded, as far as dst has room; then the rest is not looked at.
func decode(dst, raw []byte) (_ []byte, ok bool) {
	for len(raw) > 0 && len(dst) < cap(dst) {
		c, n := DecodeOne(raw)
		if n == 0 {
			return nil, false
		}
		dst, raw = append(dst, c), raw[n:]
	}
	return dst, true
}

// sound tells whether each "%" has two hex digits.
func sound(raw []byte) bool {
	for len(raw) > 0 {
		_, n := DecodeOne(raw)
		if n == 0 {
			return false
		}
		raw = raw[n:]
	}
	return true
}

// DecodeOne decodes the byte that raw begins with, and tells how many it was written with; 0: there is none, or a "%" without two hex digits.
func DecodeOne(raw []byte) (c byte, n int) {
	switch {
	case len(raw) == 0:
		return 0, 0
	case raw[0] != '%':
		return raw[0], 1
	case len(raw) < 3:
		return 0, 0
	}
	hi, lo := fromHex(raw[1]), fromHex(raw[2])
	if hi|lo > 0xf {
		return 0, 0
	}
	return hi<<4 | lo, 3
}

// fromHex is a hex digit's value, or 0xff.
func fromHex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
