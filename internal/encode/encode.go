// Package encode compresses bodies as they pass: by gzip (RFC 1952), brotli (RFC 7932) and zstd (RFC 8878).
//
// It never decides what is compressed, and never decompresses: exchange does the one, and nobody the other. Start reading at Stock.
package encode

import (
	"bytes"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Coding is a content coding.
type Coding uint8

// The codings.
const (
	None Coding = iota
	Zstd
	Brotli
	Gzip
)

// Codings is how many there are, None among them.
const Codings = int(Gzip) + 1

var names = [Codings]string{Zstd: "zstd", Brotli: "br", Gzip: "gzip"}

// String is the coding's name in Content-Encoding.
func (c Coding) String() string { return names[c] }

// Named is the coding of that name, or None.
func Named(name string) Coding {
	for c := Zstd; c <= Gzip; c++ {
		if names[c] == name {
			return c
		}
	}
	return None
}

// compressor is what the libraries have in common.
type compressor interface {
	io.Writer
	Flush() error
	Close() error
	Reset(w io.Writer)
}

// Each level is the last one before a little less to send costs much more time. A window of 256 KiB holds most answers whole, and a compressor has 1 to 2 MiB.
const (
	gzipLevel   = 5
	brotliLevel = 4
	windowBits  = 18
)

// idle are encoders that nobody uses; the garbage collector takes what is not used for a while.
var idle = [Codings]sync.Pool{
	Zstd: {New: func() any {
		w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<windowBits), zstd.WithLowerEncoderMem(true))
		return &Encoder{Coding: Zstd, w: w}
	}},
	Brotli: {New: func() any {
		return &Encoder{Coding: Brotli, w: brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliLevel, LGWin: windowBits})}
	}},
	Gzip: {New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzipLevel)
		return &Encoder{Coding: Gzip, w: w}
	}},
}

// Stock lends encoders, and bounds how many are lent: each has a compressor's memory for as long as its client takes to read. It is one loop's.
type Stock struct {
	most, lent int
}

// NewStock lends that many at once.
func NewStock(most int) Stock { return Stock{most: most} }

// Take lends an encoder; nil: all are lent.
func (s *Stock) Take(c Coding) *Encoder {
	if s.lent >= s.most {
		return nil
	}
	s.lent++
	e := idle[c].Get().(*Encoder)
	e.w.Reset(&e.out)
	return e
}

// Give takes an encoder back, which is not used any more.
func (s *Stock) Give(e *Encoder) {
	s.lent--
	idle[e.Coding].Put(e)
}

// Encoder compresses one body.
type Encoder struct {
	Coding Coding
	w      compressor
	out    bytes.Buffer
}

// Encode compresses pieces of the body, and returns what of it can be sent, which is good until the next call. flush: all that was given is in it, or was
// in what came before; else that may come later. end: there is no more.
func (e *Encoder) Encode(pieces [][]byte, flush, end bool) []byte {
	e.out.Reset()
	for _, p := range pieces {
		_, _ = e.w.Write(p) // into memory: nothing fails
	}
	switch {
	case end:
		_ = e.w.Close()
	case flush:
		_ = e.w.Flush()
	}
	return e.out.Bytes()
}
