package h1

import (
	"encoding/binary"
	"math/bits"
)

// Classes of bytes.
const (
	isToken      uint8 = 1 << iota // RFC 9110 §5.6.2 tchar
	isTarget                       // may stand in a request target: visible ASCII but "#"
	isPathWork                     // in a path: "%", "." and "\", which need a closer look
	isHost                         // may stand in a host that is a name or an IPv4 address, any case
	isUnreserved                   // RFC 3986 §2.3
	isQuoted                       // may stand bare in a quoted-string: RFC 9110 §5.6.4 qdtext
	isHex
)

var class = func() (t [256]uint8) {
	set := func(bytes string, bit uint8) {
		for _, c := range []byte(bytes) {
			t[c] |= bit
		}
	}
	const digits = "0123456789"
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	set(digits+letters+"!#$%&'*+-.^_`|~", isToken)
	set(digits+letters+"-._~", isUnreserved|isHost)
	set(digits+"abcdefABCDEF", isHex)
	set(`%.\`, isPathWork)
	for c := 0x21; c <= 0x7e; c++ {
		if c != '#' {
			t[c] |= isTarget
		}
	}
	set("\t ", isQuoted)
	for c := 0x21; c <= 0xff; c++ {
		if c != '"' && c != '\\' && c != 0x7f {
			t[c] |= isQuoted
		}
	}
	return t
}()

func hexDigit(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// control finds the first byte at or after i that is a control character (below 0x20, or DEL); len(b) if there is none.
// It looks at eight bytes at a time: a field value is read once, for its end and for its validity together.
func control(b []byte, i int) int {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ 0x7f*ones
		// The lowest mark is exact: a borrow only spoils marks above a byte that has one itself.
		if marks := ((x-0x20*ones)&^x | (del-ones)&^del) & high; marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(b); i++ {
		if b[i] < 0x20 || b[i] == 0x7f {
			return i
		}
	}
	return i
}

// validValue tells whether b may be a field's value: no control character but HTAB (RFC 9110 §5.5).
func validValue(b []byte) bool {
	for i := 0; ; i++ {
		i = control(b, i)
		if i == len(b) {
			return true
		}
		if b[i] != '\t' {
			return false
		}
	}
}

// all tells whether every byte of b is of the class.
func all(b []byte, bit uint8) bool {
	for _, c := range b {
		if class[c]&bit == 0 {
			return false
		}
	}
	return true
}

func isToken1(b []byte) bool { return len(b) > 0 && all(b, isToken) }

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
