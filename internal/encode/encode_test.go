package encode_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"poise/internal/encode"
)

func decode(t *testing.T, c encode.Coding, data []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch in := bytes.NewReader(data); c {
	case encode.Gzip:
		r, err = gzip.NewReader(in)
	case encode.Brotli:
		r = brotli.NewReader(in)
	case encode.Zstd:
		r, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil && err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	return all
}

func TestEncode(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	stock := encode.NewStock(1)
	r := rand.New(rand.NewPCG(1, 2))
	for c := encode.Zstd; c <= encode.Gzip; c++ {
		if encode.Named(c.String()) != c {
			t.Errorf("%v is named %q, which is %v", c, c.String(), encode.Named(c.String()))
		}
		for round := range 20 { // with what was used before, too
			var body, sent []byte
			e := stock.Take(c)
			for range r.IntN(5) {
				pieces := [][]byte{[]byte("what comes again and again "), bytes.Repeat([]byte{byte(round)}, r.IntN(100_000))}
				body = append(body, bytes.Join(pieces, nil)...)
				flush := r.IntN(2) == 0
				sent = append(sent, e.Encode(pieces, flush, false)...)
				if flush && !bytes.Equal(decode(t, c, sent), body) {
					t.Fatalf("%v: after a flush not all that was given can be read", c)
				}
			}
			sent = append(sent, e.Encode(nil, false, true)...)
			stock.Give(e)
			if got := decode(t, c, sent); !bytes.Equal(got, body) {
				t.Fatalf("%v: %d bytes become %d", c, len(body), len(got))
			}
			if len(body) > 1000 && len(sent) > len(body)/10 {
				t.Errorf("%v: %d bytes are still %d", c, len(body), len(sent))
			}
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines have become %d: no body may have one of its own", goroutines, n)
	}
}

func TestStock(t *testing.T) {
	stock := encode.NewStock(2)
	a, b := stock.Take(encode.Gzip), stock.Take(encode.Zstd)
	if a == nil || b == nil || stock.Take(encode.Brotli) != nil {
		t.Fatal("of two encoders there are not two")
	}
	stock.Give(a)
	if stock.Take(encode.Brotli) == nil {
		t.Error("an encoder that was given back cannot be taken")
	}
}
