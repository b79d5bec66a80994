package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// text takes messages of HTTP/1.1 apart as they come, in whatever pieces. It only looks for where parts begin and end: what a field says is for who gets it
// to judge, so that most of what is wrong in HTTP/1.1 is as wrong when it goes out as HTTP/2.
//
//	headText --> fixedText --> headText            Content-Length
//	         --> sizeText <--> chunkText           chunked; behind the last chunk:
//	             sizeText --> trailerText --> headText
//	         --> restText                          until the connection's end
type text struct {
	// begin is told of a head, and says what follows: a length, or one of those below.
	begin func(first string, fields []hpack.HeaderField) (follows int64, err error)
	// data is given a part of the body, and says how much of it could be sent; less comes with an error.
	data     func(b []byte, end bool) (n int, err error)
	trailers func(fields []hpack.HeaderField) error

	state textState
	buf   []byte // the beginning of a head or line
	left  int64
}

type textState int

const (
	headText textState = iota
	fixedText
	sizeText
	chunkText
	trailerText
	restText
)

// What follows a head, beside a length.
const (
	chunks    int64 = -1
	untilEnd  int64 = -2
	nextHead  int64 = 0
	maxLength int64 = 1 << 40
)

var errUnsayable = errors.New("this cannot be said in HTTP/2: the test needs HTTP/1.1 on this side")

func unsayable(what string) error { return fmt.Errorf("%w: %.100q", errUnsayable, what) }

// feed takes in what comes next, and says how much of that could be taken.
func (x *text) feed(b []byte) (n int, err error) {
	for rest := b; len(rest) > 0; {
		switch x.state {
		case headText:
			rest, err = x.head(rest)
		case restText:
			n, err = x.data(rest, false)
			rest = rest[n:]
		case fixedText, chunkText:
			rest, err = x.body(rest)
		case sizeText:
			rest, err = x.size(rest)
		case trailerText:
			rest, err = x.tail(rest)
		}
		if n = len(b) - len(rest); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

// within tells whether a message has begun that is not at its end.
func (x *text) within() bool { return x.state != headText || len(x.buf) > 0 }

// until gathers what comes up to and with end.
func (x *text) until(b []byte, end string) (got, rest []byte, ok bool) {
	if i := bytes.Index(b, []byte(end)); i >= 0 && len(x.buf) == 0 {
		return b[:i+len(end)], b[i+len(end):], true
	}
	had := len(x.buf)
	from := max(0, had-len(end)+1)
	x.buf = append(x.buf, b...)
	i := bytes.Index(x.buf[from:], []byte(end))
	if i < 0 {
		return nil, nil, false
	}
	at := from + i + len(end)
	got, x.buf = x.buf[:at], nil
	return got, b[at-had:], true
}

func (x *text) head(b []byte) ([]byte, error) {
	got, rest, ok := x.until(b, "\r\n\r\n")
	if !ok {
		return nil, nil
	}
	first, lines, _ := strings.Cut(strings.TrimSuffix(string(got), "\r\n"), "\r\n")
	fields, err := fieldsOf(lines)
	if err != nil {
		return nil, err
	}
	follows, err := x.begin(first, fields)
	switch {
	case follows == chunks:
		x.state = sizeText
	case follows == untilEnd:
		x.state = restText
	case follows > 0:
		x.state, x.left = fixedText, follows
	}
	return rest, err
}

// fieldsOf are the fields in lines, each with its end.
func fieldsOf(lines string) (fields []hpack.HeaderField, err error) {
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		if line == "" && lines == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.Trim(name, " \t") != name {
			return nil, unsayable(line)
		}
		fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: strings.Trim(value, " \t")})
	}
	return fields, nil
}

func (x *text) body(b []byte) ([]byte, error) {
	b, rest := b[:min(int64(len(b)), x.left)], b[min(int64(len(b)), x.left):]
	n, err := x.data(b, x.state == fixedText && x.left == int64(len(b)))
	switch x.left -= int64(n); {
	case err != nil:
		return append(b[n:len(b):len(b)], rest...), err
	case x.left > 0:
	case x.state == fixedText:
		x.state = headText
	default:
		x.state, x.left = sizeText, -1 // a line's end is due before the size
	}
	return rest, nil
}

func (x *text) size(b []byte) ([]byte, error) {
	got, rest, ok := x.until(b, "\r\n")
	if !ok {
		return nil, nil
	}
	line := strings.TrimSuffix(string(got), "\r\n")
	if x.left < 0 {
		if x.left = 0; line != "" {
			return nil, unsayable(line)
		}
		return rest, nil
	}
	digits, _, _ := strings.Cut(line, ";") // HTTP/2 has no extensions
	n, err := strconv.ParseUint(digits, 16, 40)
	if err != nil {
		return nil, unsayable(line)
	}
	x.state, x.left = chunkText, int64(n)
	if n == 0 {
		x.state = trailerText
	}
	return rest, nil
}

func (x *text) tail(b []byte) ([]byte, error) {
	if had := len(x.buf); had < 2 && strings.HasPrefix(string(x.buf)+string(b[:min(2, len(b))]), "\r\n") {
		x.buf, x.state = nil, headText
		_, err := x.data(nil, true)
		return b[2-had:], err
	}
	got, rest, ok := x.until(b, "\r\n\r\n")
	if !ok {
		return nil, nil
	}
	x.state = headText
	fields, err := fieldsOf(strings.TrimSuffix(string(got), "\r\n"))
	if err != nil {
		return nil, err
	}
	if _, _, err = withoutConnection(fields); err == nil {
		_, _, err = framingOf(fields)
	}
	if err != nil {
		return nil, err
	}
	return rest, x.trailers(fields)
}

// framingOf takes out of fields what frames a body. follows is untilEnd if nothing does; a Content-Length stays, and one that is no number says nothing.
func framingOf(fields []hpack.HeaderField) (rest []hpack.HeaderField, follows int64, err error) {
	follows = untilEnd
	for _, f := range fields {
		switch f.Name {
		case "transfer-encoding":
			if !strings.EqualFold(f.Value, "chunked") || follows != untilEnd {
				return nil, 0, unsayable("Transfer-Encoding: " + f.Value)
			}
			follows = chunks
			continue
		case "content-length":
			if follows == chunks {
				return nil, 0, unsayable("Content-Length beside Transfer-Encoding")
			}
			if n, err := strconv.ParseInt(f.Value, 10, 64); err == nil && n >= 0 && n < maxLength && f.Value[0] != '+' {
				follows = n
			}
		case "keep-alive", "proxy-connection", "upgrade", "http2-settings":
			return nil, 0, unsayable(f.Name)
		}
		rest = append(rest, f)
	}
	return rest, follows, nil
}

// withoutConnection takes out the field Connection: a stream ends by itself. closes tells whether nothing shall follow.
func withoutConnection(fields []hpack.HeaderField) (rest []hpack.HeaderField, closes bool, err error) {
	for _, f := range fields {
		if f.Name != "connection" {
			rest = append(rest, f)
			continue
		}
		switch strings.ToLower(f.Value) {
		case "close":
			closes = true
		case "keep-alive":
		default:
			return nil, false, unsayable("Connection: " + f.Value)
		}
	}
	return rest, closes, nil
}

// lineOf is a field as a line of HTTP/1.1.
func lineOf(f hpack.HeaderField) string {
	return textproto.CanonicalMIMEHeaderKey(f.Name) + ": " + f.Value + "\r\n"
}
