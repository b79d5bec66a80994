package wire

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// hiding sends a POST whose body holds a request, which whoever believed the fields would take for the next one.
func hiding(fields ...string) func(f *testkit.Frames, id uint32) {
	return func(f *testkit.Frames, id uint32) {
		f.Head(id, false, post2(fields...)...)
		f.Data(id, true, "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n")
	}
}

// What concerns a connection of HTTP/1 has no place in HTTP/2, and would change the framing behind. [RFC 9113 section 8.2.2]
func TestDG3FieldsOfConnections(t *testing.T) {
	t.Parallel()
	var attacks []malformed2
	for _, field := range [][2]string{
		{"transfer-encoding", "chunked"},
		{"transfer-encoding", "identity"},
		{"transfer-encoding", "gzip, chunked"},
		{"transfer-encoding", ""},
		{"connection", "close"},
		{"connection", "keep-alive"},
		{"connection", "x-forwarded-for"},
		{"connection", "upgrade"},
		{"connection", ""},
		{"keep-alive", "timeout=5"},
		{"proxy-connection", "keep-alive"},
		{"upgrade", "h2c"},
		{"upgrade", "websocket"},
		{"te", "gzip"},
		{"te", "chunked"},
		{"te", "trailers, deflate"},
		{"te", ""},
	} {
		name := fmt.Sprintf("%s: %q", field[0], field[1])
		attacks = append(attacks,
			malformed2{name: name, fields: ask2(field[:]...)},
			malformed2{name: name + " and a body", send: hiding(field[:]...)},
			malformed2{name: name + " and a length", send: hiding(append(field[:], "content-length", "52")...)})
	}
	attacks = append(attacks, malformed2{name: "te twice", fields: ask2("te", "trailers", "te", "gzip")})
	refuse2(t, attacks)
}

// What of HTTP/1's connections may come is not passed on as it came.
func TestDG3FieldsThatMayCome(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		for _, addr := range front.addrs {
			f := testkit.DialFrames(t, addr)
			f.Head(1, true, changed(ask2("te", "trailers", "http2-settings", "AAMAAABkAARAAAAAAAIAAAAA", "proxy-authorization", "Basic eDp5"), ":path", "/allowed")...)
			wantHeard(t, "the answer", f.Await(1), 200, "ok")
		}
		if got := testkit.FieldsOf(front.one.Got(), "HTTP2-Settings"); len(got) > 0 {
			t.Errorf("the server of HTTP/1.1 got HTTP2-Settings: %q, want none", got)
		}
		front.untouched(t, 1)
	})
}

// A length has one form, and comes once.
func TestDG5Lengths(t *testing.T) {
	t.Parallel()
	var attacks []malformed2
	for _, value := range []string{
		"", "+1", "-1", "-0", "0x1", "1_0", "1.0", "1e0", "1 0", "1,1", "1, 1", "1;1", "01", "000", "abc", "\xd9\xa5", "\xc2\xb9",
		"9223372036854775808", "18446744073709551616", "99999999999999999999999999999999999999",
	} {
		attacks = append(attacks,
			malformed2{name: fmt.Sprintf("%q", value), fields: ask2("content-length", value)},
			malformed2{name: fmt.Sprintf("%q and a body", value), send: hiding("content-length", value)})
	}
	attacks = append(attacks,
		malformed2{name: "twice, different", send: hiding("content-length", "0", "content-length", "52")},
		malformed2{name: "twice, alike", send: hiding("content-length", "52", "content-length", "52")},
		malformed2{name: "twice, without a body", fields: ask2("content-length", "0", "content-length", "0")},
		malformed2{name: "beside transfer-encoding", send: hiding("content-length", "52", "transfer-encoding", "chunked")},
		malformed2{name: "behind transfer-encoding", send: hiding("transfer-encoding", "chunked", "content-length", "52")})
	refuse2(t, attacks)
}

// A head that cannot be decoded leaves the tables of both sides unequal: nothing that follows could be read.
func TestDG1BlocksThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	blocks := map[string]string{
		"an index that nothing has":     "\xff\xff\x01",
		"index 0":                       "\x80",
		"an integer without end":        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"cut within a name":             "\x00\x05ab",
		"cut before a value":            "\x00\x01a",
		"a Huffman code of padding":     "\x00\x01a\x84\xff\xff\xff\xff",
		"a table that is too large":     "\x3f\xe2\x1f\x82\x86\x84",
		"a table's size behind a field": "\x40\x01a\x01b\x20\x82\x86\x84",
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		for name, block := range blocks {
			t.Run(name, func(t *testing.T) {
				for _, addr := range front.addrs {
					f := testkit.DialFrames(t, addr)
					f.HeadOf(1, true, block)
					if code, told := f.End(); !told || code != http2.ErrCodeCompression {
						t.Errorf("the connection ended with %v (told %v), want COMPRESSION_ERROR", code, told)
					}
				}
			})
		}
		front.untouched(t, 0)
	})
}
