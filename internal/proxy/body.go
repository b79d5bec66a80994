package proxy

import (
	"errors"
	"io"

	"poise/internal/h1"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/sys"
)

// maxSpans is how many pieces of a body one send carries, beside a head, a chunk's size and its end.
const maxSpans = sys.MaxGather - 3

// source finds a body in what was received. Its pieces alias the received bytes: they are sent on from there.
type source struct {
	length int64 // what is left of a body of known length; msg.Chunked; msg.UntilClose
	chunks h1.Chunked
	of     *mux.Stream // that it comes on, which knows its end; nil: none
	done   bool        // all that there is on that is taken
	by     translator  // nil: it stays as it is
	broken bool        // what came cannot be translated
	given  msg.Fields  // trailers of our own
	spans  [maxSpans][]byte
	n      int // spans in use
	size   int // bytes in them
}

// translator makes another body of one that passes.
type translator interface {
	// pass replaces the pieces that were found, for which so many bytes were used.
	pass(b *source, used int) error
	// finish adds what ends the body to its last pieces, which were passed.
	finish(b *source)
	// takesTrailers tells that what ends the body has the trailers in it.
	takesTrailers() bool
}

func (b *source) reset(length int64) {
	b.none()
	b.length, b.of, b.done, b.by, b.broken, b.given = length, nil, false, nil, false, nil
	if length == msg.Chunked {
		b.chunks.Reset()
	}
}

// stream has the body come on s.
func (b *source) stream(s *mux.Stream) {
	b.none()
	b.length, b.of, b.done, b.by, b.broken, b.given = msg.Chunked, s, false, nil, false, nil
}

// none forgets the pieces that were found.
func (b *source) none() { b.n, b.size = 0, 0 }

// own makes data the body, which did not come from anywhere.
func (b *source) own(data []byte) {
	b.reset(0)
	b.add(data)
}

// endWith makes trailers of our own all that is left of the body.
func (b *source) endWith(trailers msg.Fields) {
	b.reset(0)
	b.given = trailers
}

func (b *source) trailers() msg.Fields {
	switch {
	case b.given != nil:
		return b.given
	case b.of != nil:
		return b.of.Trailers()
	case b.length == msg.Chunked:
		return b.chunks.Trailers
	}
	return nil
}

// tail is what of the trailers is sent as such.
func (b *source) tail() msg.Fields {
	if b.by != nil && b.by.takesTrailers() {
		return nil
	}
	return b.trailers()
}

// ended tells whether the body is complete. One that ends with its connection never knows.
func (b *source) ended() bool {
	if b.broken { // what was found last is still unread
		return false
	}
	if b.of != nil {
		return b.done || (b.n == 0 && b.of.Ended())
	}
	return b.length == 0 || (b.length == msg.Chunked && b.chunks.Done())
}

// ends tells whether an error of a wait for more is the body's end in good order.
func (b *source) ends(err error) bool {
	if !errors.Is(err, io.EOF) || (b.of == nil && b.length != msg.UntilClose) {
		return false
	}
	b.none()
	b.done = true
	return true
}

// take finds the next pieces in in, and returns how many of its bytes they used.
func (b *source) take(in []byte) (used int, err error) {
	used, err = b.find(in)
	if err == nil && b.by != nil {
		if err = b.by.pass(b, used); err != nil {
			b.broken = true
		}
	}
	return used, err
}

func (b *source) find(in []byte) (used int, err error) {
	b.none()
	switch {
	case b.of != nil:
		used = len(in)
		b.add(in)
		b.done = b.of.Whole() && b.of.Unread() == used
	case b.length == msg.Chunked:
		for used < len(in) && b.n < maxSpans && !b.chunks.Done() {
			data, n, err := b.chunks.Next(in[used:])
			used += n
			if err != nil {
				return used, err
			}
			b.add(data)
		}
	case b.length == msg.UntilClose:
		used = len(in)
		b.add(in)
	default:
		used = int(min(b.length, int64(len(in))))
		b.length -= int64(used)
		b.add(in[:used])
	}
	return used, nil
}

// join copies the pieces into one.
func (b *source) join() (all []byte) {
	for _, span := range b.spans[:b.n] {
		all = append(all, span...)
	}
	return all
}

func (b *source) add(data []byte) {
	if len(data) > 0 {
		b.spans[b.n] = data
		b.n++
		b.size += len(data)
	}
}

// sink frames a body's pieces for the other side. Small chunks that came together leave as one.
type sink struct {
	chunked bool
	ended   bool
	size    []byte // memory of a chunk's size
	tail    []byte // memory of a chunk's end and the trailers
	list    [sys.MaxGather][]byte
}

func (k *sink) reset(chunked bool) {
	k.chunked, k.ended = chunked, false
}

// frame returns what to send: head, which may be empty, and the source's pieces, if there is one; with end also the body's end.
func (k *sink) frame(head []byte, b *source, end bool) ([][]byte, error) {
	list := append(k.list[:0], head)
	if b == nil {
		return list, nil
	}
	if !k.chunked {
		return append(list, b.spans[:b.n]...), nil
	}
	k.tail = k.tail[:0]
	if b.n > 0 {
		k.size = h1.AppendChunkHeader(k.size[:0], b.size)
		list = append(append(list, k.size), b.spans[:b.n]...)
		k.tail = append(k.tail, h1.CRLF...)
	}
	if end && !k.ended {
		k.ended = true
		var err error
		if k.tail, err = h1.AppendTrailers(k.tail, b.tail()); err != nil {
			return nil, err
		}
	}
	return append(list, k.tail), nil
}
