package h1

import (
	"errors"
	"strconv"

	"poise/internal/msg"
)

// CRLF ends every line.
const CRLF = "\r\n"

// Errors of the printer. They mean that something unfit got past the rules that should have stopped it.
var (
	ErrField  = errors.New("field cannot be sent")
	ErrTarget = errors.New("request line cannot be sent")
	ErrStatus = errors.New("status line cannot be sent")
	ErrLength = errors.New("body length cannot be sent")
)

// AppendRequestHead appends a request's head. On an error nothing is appended. This and AppendResponseHead are the one way out for
// heads, and so the place where nothing with a CR, LF, NUL or other control character gets through, wherever it came from.
func AppendRequestHead(dst []byte, h *msg.RequestHead) ([]byte, error) {
	if !isToken1(h.Method) || !validTarget(h.Path, h.Query) || !all(h.Authority, isTarget) {
		return dst, ErrTarget
	}
	if h.Length < 0 && h.Length != msg.Chunked {
		return dst, ErrLength
	}
	out := append(dst, h.Method...)
	out = append(out, ' ')
	out = append(out, h.Path...)
	out = append(out, h.Query...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, h.Authority...)
	out = append(out, CRLF...)
	out, ok := appendFields(out, h.Fields, true)
	if !ok || !validValue(h.Upgrade) {
		return dst, ErrField
	}
	out = appendConnection(out, h.Close, false, h.Upgrade)
	if h.Length != 0 || h.HasLength {
		out = appendLength(out, h.Length)
	}
	return append(out, CRLF...), nil
}

// AppendResponseHead appends a response's head, an interim one too. On an error nothing is appended.
func AppendResponseHead(dst []byte, h *msg.ResponseHead) ([]byte, error) {
	if h.Status < 100 || h.Status > 999 || !validValue(h.Reason) {
		return dst, ErrStatus
	}
	if h.Length < msg.UntilClose {
		return dst, ErrLength
	}
	out := append(dst, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(h.Status), 10)
	out = append(out, ' ')
	if h.Reason != nil {
		out = append(out, h.Reason...)
	} else {
		out = append(out, StatusText(h.Status)...)
	}
	out = append(out, CRLF...)
	out, ok := appendFields(out, h.Fields, false)
	if !ok || !validValue(h.Upgrade) {
		return dst, ErrField
	}
	bodiless := h.NoLength || h.Status < 200 || h.Status == 204
	toClose := h.Close || h.Length == msg.UntilClose && !bodiless
	out = appendConnection(out, toClose, h.KeepAlive10, h.Upgrade)
	if !bodiless && h.Length != msg.UntilClose {
		out = appendLength(out, h.Length)
	}
	return append(out, CRLF...), nil
}

func appendConnection(dst []byte, toClose, keep bool, upgrade []byte) []byte {
	if len(upgrade) > 0 {
		dst = append(dst, "Upgrade: "...)
		dst = append(dst, upgrade...)
		dst = append(dst, "\r\nConnection: upgrade"...)
		if toClose {
			dst = append(dst, ", close"...)
		}
		return append(dst, CRLF...)
	}
	if toClose {
		return append(dst, "Connection: close\r\n"...)
	}
	if keep {
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}

func appendLength(dst []byte, n int64) []byte {
	if n == msg.Chunked {
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, CRLF...)
}

func appendFields(dst []byte, fields msg.Fields, request bool) ([]byte, bool) {
	for i := range fields {
		f := &fields[i]
		if printed(f, request) || !isToken1(f.Name) || !validValue(f.Value) {
			return dst, false
		}
		dst = append(dst, f.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, f.Value...)
		dst = append(dst, CRLF...)
	}
	return dst, true
}

// printed tells whether a field is one that the printer makes itself. Fields whose ID nobody set are looked up, so that none
// slips through under Other.
func printed(f *msg.Field, request bool) bool {
	id := f.ID
	if id == msg.Other {
		id = msg.Lookup(f.Name)
	}
	switch id {
	case msg.ContentLength, msg.TransferEncoding, msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TE, msg.Upgrade, msg.HTTP2Settings:
		return true
	case msg.Host:
		return request
	}
	return false
}

func validTarget(path, query []byte) bool {
	if len(path) == 0 || path[0] != '/' && string(path) != "*" {
		return false
	}
	return all(path, isTarget) && all(query, isTarget) && (len(query) == 0 || query[0] == '?')
}

// AppendChunkHeader appends what comes before n bytes of chunk data; CRLF goes after them. It panics unless n > 0, since a chunk
// of no bytes ends the body.
func AppendChunkHeader(dst []byte, n int) []byte {
	if n <= 0 {
		panic("h1: chunk without data")
	}
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, CRLF...)
}

// AppendTrailers appends the end of a chunked body: the last chunk, the trailer fields, and the empty line. On an error, such as a
// field that may not be a trailer, nothing is appended.
func AppendTrailers(dst []byte, fields msg.Fields) ([]byte, error) {
	for i := range fields {
		f := fields[i]
		f.ID = msg.Lookup(f.Name)
		if !msg.TrailerAllowed(&f) {
			return dst, ErrField
		}
	}
	out, ok := appendFields(append(dst, "0\r\n"...), fields, true)
	if !ok {
		return dst, ErrField
	}
	return append(out, CRLF...), nil
}
