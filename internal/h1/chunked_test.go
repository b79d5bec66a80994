package h1

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/msg"
)

// decode decodes a body that comes in pieces of the given size; rest is what followed the body in the piece that ended it.
func decode(c *Chunked, in string, size int) (data, rest string, err error) {
	var got strings.Builder
	for in != "" {
		piece := []byte(in[:min(size, len(in))])
		in = in[len(piece):]
		for len(piece) > 0 && !c.Done() {
			d, n, err := c.Next(piece)
			got.Write(d)
			if err != nil {
				return got.String(), "", err
			}
			piece = piece[n:]
		}
		if c.Done() {
			return got.String(), string(piece) + in, nil
		}
	}
	return got.String(), "", nil
}

// checkChunked decodes in whole and in pieces of 1, 2, 3 and 7 bytes.
func checkChunked(t *testing.T, in, want string, status int) {
	t.Helper()
	for _, size := range []int{len(in), 1, 2, 3, 7} {
		var c Chunked
		got, rest, err := decode(&c, in+"GET", max(size, 1))
		if statusOf(t, err) != status || status == 0 && (got != want || !c.Done() || rest != "GET") {
			t.Errorf("decode(%.100q) by %d = %.100q, rest %.20q, done %t, %v, want %.100q, status %d",
				in, size, got, rest, c.Done(), err, want, status)
		}
		if status != 0 {
			if c.Done() {
				t.Errorf("decode(%.100q) by %d: done after an error", in, size)
			}
			if _, n, again := c.Next([]byte("0\r\n\r\n")); again == nil || n != 0 {
				t.Errorf("decode(%.100q) by %d: Next after an error took %d, %v", in, size, n, again)
			}
		}
	}
}

func TestChunked(t *testing.T) {
	checkChunked(t, "0\r\n\r\n", "", 0)
	checkChunked(t, "000\r\n\r\n", "", 0)
	checkChunked(t, "5\r\nhello\r\n0\r\n\r\n", "hello", 0)
	checkChunked(t, "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", 0)
	checkChunked(t, "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0)
	checkChunked(t, "0000000000000001\r\nx\r\n0\r\n\r\n", "x", 0)
	checkChunked(t, strings.Repeat("1\r\nx\r\n", 1000)+"0\r\n\r\n", strings.Repeat("x", 1000), 0)
}

func TestSM14ChunkSize(t *testing.T) {
	for _, size := range []string{
		"", "0x5", "+5", "-5", "5_0", " 5", "5 ", "\t5", "5\t", "5 ;a", "g", "5g", "00000000000000005", "8000000000000000", "ffffffffffffffff",
		"10000000000000000", "5.0", "\"5\"", "5,", "\x005", "5\x00", "٥", "\r", "５",
	} {
		checkChunked(t, size+"\r\nhello\r\n0\r\n\r\n", "", 400)
	}
	var c Chunked
	if data, n, err := c.Next([]byte("7fffffffffffffff\r\nabc")); string(data) != "abc" || n != 21 || err != nil {
		t.Errorf("Next of the largest size = %q, %d, %v, want abc, 21", data, n, err)
	}
}

func TestSM15ChunkLineEnds(t *testing.T) {
	for _, in := range []string{
		"5\nhello\r\n0\r\n\r\n",
		"5\rhello\r\n0\r\n\r\n",
		"5\rXhello\r\n0\r\n\r\n",
		"5 \nhello\r\n0\r\n\r\n",
		"5\r\nhello\rX0\r\n\r\n",
		"5\r\nhello0\r\n\r\n",
		"5\r\nhello\n0\r\n\r\n",
		"5\r\nhello\r0\r\n\r\n",
		"5\r\nhelloXX0\r\n\r\n",
		"5\r\nhello\r\n\r\n0\r\n\r\n",
		"\r\n5\r\nhello\r\n0\r\n\r\n",
		"5\r\n\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello!\r\n0\r\n\r\n",
		"0\n\r\n",
		"0\r\n\n",
		"0\r\nA: b\n\r\n",
		"0\r\n\rX\r\n\r\n",
		"5;a\nhello\r\n0\r\n\r\n",
		"5;a\rX\nhello\r\n0\r\n\r\n",
		"5;\nhello\r\n0\r\n\r\n",
		"5\r\r\nhello\r\n0\r\n\r\n",
	} {
		checkChunked(t, in, "", 400)
	}
}

func TestSM16ChunkExtensions(t *testing.T) {
	for ext, status := range map[string]int{
		";a": 0, ";a=b": 0, ";a;b=c;d": 0, `;a="b c;\"\\` + "\t\xe9" + `"`: 0, `;a="";b`: 0,
		";": 400, ";;": 400, ";a=": 400, ";=b": 400, ";a b": 400, "; a": 400, ";a ": 400, ";a =b": 400, ";a= b": 400,
		`;a="b`: 400, `;a="b"c`: 400, `;a=b"c"`: 400, ";a\x00": 400, ";a=\x01": 400, `;a="` + "\x00" + `"`: 400, `;a="` + "\r" + `"`: 400,
		`;a="` + "\n" + `"`: 400, `;a="\` + "\x7f" + `"`: 400, `;a="\` + "\r" + `"`: 400, ";a\xe9": 400, ";a\r;b": 400,
		";" + strings.Repeat("a", maxExtension-1): 0,
		";" + strings.Repeat("a", maxExtension):   400,
		";" + strings.Repeat("a", 64<<10):         400,
	} {
		checkChunked(t, "5"+ext+"\r\nhello\r\n0\r\n\r\n", "hello", status)
		checkChunked(t, "0"+ext+"\r\n\r\n", "", status)
	}
	// The limit is the body's, not the chunk's.
	one := "1;" + strings.Repeat("a", 1023) + "\r\nx\r\n"
	checkChunked(t, strings.Repeat(one, 4)+"0\r\n\r\n", "xxxx", 0)
	checkChunked(t, strings.Repeat(one, 5)+"0\r\n\r\n", "", 400)
}

func TestSM17Trailers(t *testing.T) {
	in := "0\r\n" + joined([]string{
		"Grpc-Status: 0", "Content-Length: 5", "Transfer-Encoding: chunked", "Host: x", "Authorization: x", "Cookie: x", "Set-Cookie: x",
		"X-Forwarded-For: x", "X-Forwarded-Anything: x", "Connection: close", "Trailer: x", "Keep-Alive: x", "TE: x", "Upgrade: x",
		"content_length: 5", "If-Match: x", "Content-Type: x", "Cache-Control: x", "X-Client-Cert-Dn: x", "ETag: \"1\"", "Digest:",
	})
	for size := 1; size < len(in); size++ {
		var c Chunked
		if _, rest, err := decode(&c, in+"GET", size); err != nil || rest != "GET" || !c.Done() {
			t.Fatalf("decode(%q) by %d: rest %q, done %t, %v", in, size, rest, c.Done(), err)
		}
		got := ""
		for _, f := range c.Trailers {
			got += fmt.Sprintf("%s=%s ", f.Name, f.Value)
		}
		if want := `Grpc-Status=0 ETag="1" Digest= `; got != want {
			t.Errorf("trailers = %s, want %s", got, want)
		}
	}
	field := "A: b\r\n"
	for _, c := range []struct {
		name, section string
		status        int
	}{
		{"many", strings.Repeat(field, maxTrailers), 0},
		{"too many", strings.Repeat(field, maxTrailers+1), 400},
		{"long", "A: " + strings.Repeat("b", maxTrailer-7) + "\r\n", 0},
		{"too long", "A: " + strings.Repeat("b", maxTrailer-6) + "\r\n", 400},
		{"endless line", "A: " + strings.Repeat("b", 64<<10), 400},
		{"no name", ": b\r\n", 400},
		{"space before the colon", "A : b\r\n", 400},
		{"folded", "A: b\r\n c\r\n", 400},
		{"folded first", " c\r\n", 400},
		{"NUL", "A: \x00\r\n", 400},
		{"CR", "A: b\rc\r\n", 400},
		{"LF", "A: b\nC: d\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) { checkChunked(t, "0\r\n"+c.section+"\r\n", "", c.status) })
	}
}

func TestChunkedReset(t *testing.T) {
	var c Chunked
	for _, in := range []string{"5\r\nhello\r\n0\r\nA: b\r\n\r\n", "5;x\r\nhello\r\n0\r\n\r\n", "5\r\nhel"} {
		c.Reset()
		if len(c.Trailers) != 0 || c.Done() {
			t.Errorf("after Reset: Trailers %v, Done %t", c.Trailers, c.Done())
		}
		if got, _, err := decode(&c, in, len(in)); !strings.HasPrefix("hello", got) || err != nil {
			t.Errorf("decode(%q) = %q, %v", in, got, err)
		}
	}
}

func TestChunkedRoundTrip(t *testing.T) {
	var wire []byte
	for _, chunk := range []string{"a", strings.Repeat("b", 15), strings.Repeat("c", 16), strings.Repeat("d", 70000)} {
		wire = AppendChunkHeader(wire, len(chunk))
		wire = append(append(wire, chunk...), CRLF...)
	}
	wire, err := AppendTrailers(wire, msg.Fields{{Name: []byte("X-Sum"), Value: []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	var c Chunked
	got, _, err := decode(&c, string(wire), 4096)
	if len(got) != 1+15+16+70000 || err != nil || !c.Done() || len(c.Trailers) != 1 {
		t.Errorf("decode of what was appended = %d bytes, done %t, trailers %v, %v", len(got), c.Done(), c.Trailers, err)
	}
}
