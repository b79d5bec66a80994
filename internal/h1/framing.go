package h1

import (
	"math"

	"poise/internal/msg"
)

// framing is what the fields of one head say about its body and its connection.
type framing struct {
	minor    uint8
	response bool

	options    [][]byte // of Connection, as they came
	maxOptions int
	close      bool
	keepAlive  bool

	hosts     int
	host      []byte
	lengths   int
	length    int64
	codings   int
	expect100 bool
	// idle is the seconds of Keep-Alive: timeout=, or -1.
	idle int
}

// note takes in one field, and refuses values that have more than one reading.
func (f *framing) note(id msg.ID, value []byte) error {
	switch id {
	case msg.Host:
		f.hosts++
		f.host = value
	case msg.ContentLength:
		return f.noteLength(value)
	case msg.TransferEncoding:
		return f.noteCoding(value)
	case msg.Connection:
		return f.noteConnection(value)
	case msg.Expect:
		return f.noteExpect(value)
	case msg.KeepAlive:
		if f.response {
			f.noteKeepAlive(value)
		}
	}
	return nil
}

// noteLength takes only what all readers read alike: decimal digits, no sign, no leading zero (some read octal), no
// list, no second field even if equal (RFC 9112 §6.3 would allow to join those), and no more than an int64 holds.
func (f *framing) noteLength(value []byte) error {
	if f.lengths++; f.lengths > 1 {
		return errLengths
	}
	if len(value) == 0 || len(value) > 1 && value[0] == '0' {
		return errLength
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return errLength
		}
		n = n*10 + d
	}
	f.length = n
	return nil
}

// noteCoding takes "chunked", once. A single other coding is one that we do not know (RFC 9112 §6.1: 501); lists,
// parameters and everything else are how requests are smuggled.
func (f *framing) noteCoding(value []byte) error {
	f.codings++
	switch {
	case f.codings > 1:
		return errCoding
	case msg.EqualFold(value, "chunked"):
		return nil
	case isToken1(value):
		return errUnknownTE
	}
	return errCoding
}

// noteConnection takes in a list of options. Empty elements are allowed (RFC 9110 §5.6.1), up to the same number.
func (f *framing) noteConnection(value []byte) error {
	for elements := 0; ; elements++ {
		if elements >= f.maxOptions {
			return errOptions
		}
		end := 0
		for end < len(value) && value[end] != ',' {
			end++
		}
		if option := trim(value[:end]); len(option) > 0 {
			if !all(option, isToken) {
				return errOption
			}
			if err := f.addOption(option); err != nil {
				return err
			}
		}
		if end == len(value) {
			return nil
		}
		value = value[end+1:]
	}
}

func (f *framing) addOption(option []byte) error {
	if len(f.options) >= f.maxOptions {
		return errOptions
	}
	switch {
	case msg.EqualFold(option, "close"):
		f.close = true
	case msg.EqualFold(option, "keep-alive"):
		f.keepAlive = true
	}
	f.options = append(f.options, option[:len(option):len(option)])
	return nil
}

// noteExpect knows one expectation. HTTP/1.0 clients cannot wait for an interim response, so theirs is ignored (RFC 9110 §10.1.1).
func (f *framing) noteExpect(value []byte) error {
	if f.response || f.minor == 0 {
		return nil
	}
	if !msg.EqualFold(value, "100-continue") {
		return errExpectation
	}
	f.expect100 = true
	return nil
}

// noteKeepAlive finds timeout=N in `Keep-Alive: timeout=5, max=100`. It is a hint: what cannot be read is no error.
func (f *framing) noteKeepAlive(value []byte) {
	const key = "timeout="
	for len(value) > 0 {
		end := 0
		for end < len(value) && value[end] != ',' {
			end++
		}
		param := trim(value[:end])
		if len(param) > len(key) && msg.EqualFold(param[:len(key)], key) {
			f.idle = seconds(param[len(key):])
		}
		value = value[min(end+1, len(value)):]
	}
}

// seconds reads digits; -1 if there is anything else. A day and more is a day.
func seconds(b []byte) int {
	const day = 24 * 60 * 60
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = min(n*10+int(c-'0'), day)
	}
	return n
}

// check looks at what no single field tells.
func (f *framing) check() error {
	if f.codings > 0 {
		// RFC 9112 §6.1 has it that such a message is to be treated as if its framing were faulty.
		if f.minor == 0 {
			return errTE10
		}
		// RFC 9112 §6.3 lets Transfer-Encoding win; whoever sends both is trying something.
		if f.lengths > 0 {
			return errLengthTE
		}
	}
	return nil
}

// lives tells whether the sender lets the connection live on (RFC 9112 §9.3).
func (f *framing) lives() bool { return !f.close && (f.minor == 1 || f.keepAlive) }

// lower turns ASCII capitals into small letters in place.
func lower(b []byte) {
	for i, c := range b {
		b[i] = msg.Lower(c)
	}
}
