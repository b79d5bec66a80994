package proxy

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"poise/internal/exchange"
	"poise/internal/fault"
)

// web translates a body between gRPC-Web and gRPC as it passes: exchange.Web says what that is.
type web struct {
	decodes bool    // the request's body, from base64
	encodes bool    // the answer's body, to base64
	part    [4]byte // characters that make no byte yet
	n       int     // so many
	mem     []byte
}

var errBase64 = errors.New("the body is no base64")

// pass replaces the pieces that were found.
func (w *web) pass(b *source, _ int) error {
	switch {
	case w.decodes:
		return w.decode(b)
	case w.encodes:
		w.encode(b)
	}
	return nil
}

// decode takes four characters at a time. Padding may come between two pieces that were encoded one by one.
func (w *web) decode(b *source) error {
	ended := b.ended()
	w.mem = w.mem[:0]
	for _, span := range b.spans[:b.n] {
		for _, c := range span {
			if c == '\r' || c == '\n' { // which Go's decoder passes over
				return errBase64
			}
			w.part[w.n] = c
			if w.n++; w.n < len(w.part) {
				continue
			}
			w.n = 0
			var err error
			if w.mem, err = base64.StdEncoding.AppendDecode(w.mem, w.part[:]); err != nil {
				return errBase64
			}
		}
	}
	if ended && w.n > 0 {
		return errBase64
	}
	b.none()
	b.add(w.mem)
	return nil
}

// encode makes one piece of all. Each is padded for itself, as the protocol allows.
func (w *web) encode(b *source) {
	w.mem = base64.StdEncoding.AppendEncode(w.mem[:0], b.join())
	b.none()
	b.add(w.mem)
}

// trailersFlag begins the part of a body that is the trailers, where messages have 0 or 1.
const trailersFlag = 0x80

func (w *web) takesTrailers() bool { return true }

// finish adds the trailers.
func (w *web) finish(b *source) {
	tail := []byte{trailersFlag, 0, 0, 0, 0}
	for _, f := range b.trailers() {
		tail = append(append(append(append(tail, bytes.ToLower(f.Name)...), ": "...), f.Value...), "\r\n"...)
	}
	binary.BigEndian.PutUint32(tail[1:], uint32(len(tail)-5))
	if w.encodes {
		tail = base64.StdEncoding.AppendEncode(nil, tail)
	}
	if b.n == maxSpans {
		all := b.join()
		b.none()
		b.add(all)
	}
	b.add(tail)
}

// decodeBody translates the body of a request that lies beside its head.
func (e *serving) decodeBody() *fault.Error {
	if e.s.x.Web() != exchange.WebText || e.body != bodyWhole {
		return nil
	}
	var src source
	src.own(e.s.upload.body)
	w := web{decodes: true}
	if err := w.decode(&src); err != nil {
		return clientMalformed(err)
	}
	e.s.upload.body = append(e.s.upload.body[:0], w.mem...)
	return nil
}
