package h2

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"poise/internal/h1"
	"poise/internal/msg"
)

// TestFramesLikeTheTwins prints every kind of frame and has x/net print the same.
func TestFramesLikeTheTwins(t *testing.T) {
	ping := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, c := range []struct {
		name string
		got  []byte
		want func(fr *http2.Framer) error
	}{
		{"DATA", append(AppendFrame(nil, DataFrame, EndStream, 1<<31-1, 3), "abc"...), func(fr *http2.Framer) error { return fr.WriteData(1<<31-1, true, []byte("abc")) }},
		{"SETTINGS", AppendSettings(nil), func(fr *http2.Framer) error { return fr.WriteSettings() }},
		{
			"SETTINGS, some", AppendSettings(nil, Setting{SettingPush, 0}, Setting{SettingWindow, 1<<32 - 1}),
			func(fr *http2.Framer) error {
				return fr.WriteSettings(http2.Setting{ID: 2}, http2.Setting{ID: 4, Val: 1<<32 - 1})
			},
		},
		{"SETTINGS, acknowledged", AppendSettingsAck(nil), func(fr *http2.Framer) error { return fr.WriteSettingsAck() }},
		{"PING", AppendPing(nil, false, ping), func(fr *http2.Framer) error { return fr.WritePing(false, ping) }},
		{"PING, acknowledged", AppendPing(nil, true, ping), func(fr *http2.Framer) error { return fr.WritePing(true, ping) }},
		{
			"GOAWAY", AppendGoAway(nil, 1<<31-1, EnhanceYourCalm, "why"),
			func(fr *http2.Framer) error {
				return fr.WriteGoAway(1<<31-1, http2.ErrCodeEnhanceYourCalm, []byte("why"))
			},
		},
		{"RST_STREAM", AppendReset(nil, 5, HTTP11Required), func(fr *http2.Framer) error { return fr.WriteRSTStream(5, http2.ErrCodeHTTP11Required) }},
		{"WINDOW_UPDATE", AppendWindow(nil, 5, 1<<31-1), func(fr *http2.Framer) error { return fr.WriteWindowUpdate(5, 1<<31-1) }},
		{"HEADERS", AppendBlock(nil, 5, false, []byte("block"), 5), func(fr *http2.Framer) error {
			return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte("block"), EndHeaders: true})
		}},
		{"HEADERS, empty", AppendBlock(nil, 5, true, nil, 5), func(fr *http2.Framer) error {
			return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, EndStream: true, EndHeaders: true})
		}},
		{"HEADERS in three", AppendBlock(nil, 5, true, []byte("long block!"), 5), func(fr *http2.Framer) error {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, EndStream: true, BlockFragment: []byte("long ")})
			_ = fr.WriteContinuation(5, false, []byte("block"))
			return fr.WriteContinuation(5, true, []byte("!"))
		}},
		{"HEADERS in two whole ones", AppendBlock(nil, 5, false, []byte("longblocks"), 5), func(fr *http2.Framer) error {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte("longb")})
			return fr.WriteContinuation(5, true, []byte("locks"))
		}},
	} {
		var want bytes.Buffer
		if err := c.want(http2.NewFramer(&want, nil)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.got, want.Bytes()) {
			t.Errorf("%s = %x, want %x", c.name, c.got, want.Bytes())
		}
	}
}

// TestIntegers holds the printer of integers and strings to their reader, around each number of bytes.
func TestIntegers(t *testing.T) {
	for _, n := range []int{0, 1, 14, 15, 16, 126, 127, 128, 254, 255, 256, 15 + 128, 127 + 127, 127 + 128, 127 + 16383, 127 + 16384, 1 << 20} {
		name, value := "x"+strings.Repeat("n", n), strings.Repeat("v", n)
		block := appendField(nil, &msg.Field{Name: []byte(name), Value: []byte(value)})
		if got := decoded(t, block); len(got) != 2 || got[0] != name || got[1] != value {
			t.Errorf("a field with %d bytes is read otherwise", n)
		}
	}
}

// TestStaticTable: what is printed by its place is what has that place. [RFC 7541 appendix A]
func TestStaticTable(t *testing.T) {
	for id, place := range tableNames {
		if place == 0 {
			continue
		}
		got := decoded(t, appendNamed(nil, withoutIndex, int(place), nil))
		if want := msg.ID(id).String(); got[0] != want {
			t.Errorf("place %d is %s, want %s", place, got[0], want)
		}
	}
	for status := 100; status <= 999; status++ {
		block, err := AppendResponse(nil, &msg.ResponseHead{Status: status, NoLength: true})
		if err != nil {
			t.Fatal(err)
		}
		got := decoded(t, block)
		if want := (pairs{":status", string(rune('0'+status/100)) + string(rune('0'+status/10%10)) + string(rune('0'+status%10))}); !cmp.Equal(got, want) {
			t.Errorf("AppendResponse(%d) = %q, want %q", status, got, want)
		}
	}
}

func TestAppendRequest(t *testing.T) {
	base := msg.RequestHead{Method: []byte("GET"), Path: []byte("/a"), Query: []byte("?b"), Authority: []byte("h:1"), Fields: msg.Fields{field("X-Y", "z")}}
	for _, c := range []struct {
		name   string
		change func(*msg.RequestHead)
		want   pairs
	}{
		{"plain", func(*msg.RequestHead) {}, pairs{":method", "GET", ":scheme", "http", ":authority", "h:1", ":path", "/a?b", "x-y", "z"}},
		{
			"all in the table", func(h *msg.RequestHead) {
				*h = msg.RequestHead{Method: []byte("POST"), Path: []byte("/"), Secure: true}
			},
			pairs{":method", "POST", ":scheme", "https", ":path", "/"},
		},
		{
			"another method, the root with a query", func(h *msg.RequestHead) { h.Method, h.Path = []byte("PATCH"), []byte("/") },
			pairs{":method", "PATCH", ":scheme", "http", ":authority", "h:1", ":path", "/?b", "x-y", "z"},
		},
		{
			"length", func(h *msg.RequestHead) { h.Length = 12 },
			pairs{":method", "GET", ":scheme", "http", ":authority", "h:1", ":path", "/a?b", "x-y", "z", "content-length", "12"},
		},
		{
			"length 0, and trailers", func(h *msg.RequestHead) { h.HasLength, h.Trailers = true, true },
			pairs{":method", "GET", ":scheme", "http", ":authority", "h:1", ":path", "/a?b", "x-y", "z", "te", "trailers", "content-length", "0"},
		},
		{
			"chunked has no length", func(h *msg.RequestHead) { h.Length, h.HasLength = msg.Chunked, true },
			pairs{":method", "GET", ":scheme", "http", ":authority", "h:1", ":path", "/a?b", "x-y", "z"},
		},
		{
			"asterisk", func(h *msg.RequestHead) { h.Method, h.Path, h.Query = []byte("OPTIONS"), []byte("*"), nil },
			pairs{":method", "OPTIONS", ":scheme", "http", ":authority", "h:1", ":path", "*", "x-y", "z"},
		},
		{
			"WebSocket, without the key", func(h *msg.RequestHead) {
				h.Upgrade = []byte("websocket")
				h.Fields = msg.Fields{field("Sec-WebSocket-Key", "k"), field("Sec-WebSocket-Version", "13")}
			},
			pairs{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "h:1", ":path", "/a?b", "sec-websocket-version", "13"},
		},
	} {
		h := base
		c.change(&h)
		got, err := AppendRequest([]byte("pre"), &h)
		if err != nil || !bytes.HasPrefix(got, []byte("pre")) {
			t.Errorf("%s: AppendRequest = %q, %v", c.name, got, err)
			continue
		}
		if got := decoded(t, got[3:]); !cmp.Equal(got, c.want) {
			t.Errorf("%s: AppendRequest = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAppendResponse(t *testing.T) {
	for _, c := range []struct {
		name string
		h    msg.ResponseHead
		want pairs
	}{
		{"length 0", msg.ResponseHead{Status: 200}, pairs{":status", "200", "content-length", "0"}},
		{"length, fields", msg.ResponseHead{Status: 404, Length: 5, Fields: msg.Fields{field("Server", "x"), field("Host", "y")}}, pairs{":status", "404", "server", "x", "host", "y", "content-length", "5"}},
		{"chunked", msg.ResponseHead{Status: 200, Length: msg.Chunked}, pairs{":status", "200"}},
		{"until close", msg.ResponseHead{Status: 200, Length: msg.UntilClose, Close: true}, pairs{":status", "200"}},
		{"no length", msg.ResponseHead{Status: 304, NoLength: true}, pairs{":status", "304"}},
		{"204 has none", msg.ResponseHead{Status: 204, Length: 5}, pairs{":status", "204"}},
		{"1xx has none", msg.ResponseHead{Status: 103, Length: 5}, pairs{":status", "103"}},
		{"the reason has no place", msg.ResponseHead{Status: 299, NoLength: true, Reason: []byte("Fine")}, pairs{":status", "299"}},
	} {
		got, err := AppendResponse(nil, &c.h)
		if err != nil {
			t.Errorf("%s: AppendResponse: %v", c.name, err)
			continue
		}
		if got := decoded(t, got); !cmp.Equal(got, c.want) {
			t.Errorf("%s: AppendResponse = %q, want %q", c.name, got, c.want)
		}
	}
}

// TestRS8NothingUnfitIsPrinted: whatever is unfit has nothing printed, on each way out.
func TestRS8NothingUnfitIsPrinted(t *testing.T) {
	request := func(change func(*msg.RequestHead)) func([]byte) ([]byte, error) {
		h := msg.RequestHead{Method: []byte("GET"), Path: []byte("/"), Authority: []byte("a")}
		change(&h)
		return func(dst []byte) ([]byte, error) { return AppendRequest(dst, &h) }
	}
	response := func(h msg.ResponseHead) func([]byte) ([]byte, error) {
		return func(dst []byte) ([]byte, error) { return AppendResponse(dst, &h) }
	}
	trailers := func(f msg.Field) func([]byte) ([]byte, error) {
		return func(dst []byte) ([]byte, error) { return AppendTrailers(dst, msg.Fields{field("fit", "x"), f}) }
	}
	type row struct {
		name string
		f    func([]byte) ([]byte, error)
		want error
	}
	rows := []row{
		{"method", request(func(h *msg.RequestHead) { h.Method = []byte("G T") }), h1.ErrTarget},
		{"no method", request(func(h *msg.RequestHead) { h.Method = nil }), h1.ErrTarget},
		{"path", request(func(h *msg.RequestHead) { h.Path = []byte("/\r\n") }), h1.ErrTarget},
		{"no path", request(func(h *msg.RequestHead) { h.Path = nil }), h1.ErrTarget},
		{"query", request(func(h *msg.RequestHead) { h.Query = []byte("b") }), h1.ErrTarget},
		{"authority", request(func(h *msg.RequestHead) { h.Authority = []byte("a\n") }), h1.ErrTarget},
		{"length", request(func(h *msg.RequestHead) { h.Length = msg.UntilClose }), h1.ErrLength},
		{"upgrade", request(func(h *msg.RequestHead) { h.Upgrade = []byte("a\r\nb") }), h1.ErrField},
		{"status 99", response(msg.ResponseHead{Status: 99}), h1.ErrStatus},
		{"status 1000", response(msg.ResponseHead{Status: 1000}), h1.ErrStatus},
		{"length of a response", response(msg.ResponseHead{Status: 200, Length: -3}), h1.ErrLength},
		{"a trailer that may not be one", trailers(field("Authorization", "x")), h1.ErrField},
		{"the same without its ID", trailers(msg.Field{Name: []byte("Authorization"), Value: []byte("x")}), h1.ErrField},
	}
	for _, f := range []msg.Field{
		field("", "x"), field("a b", "x"), field("a:", "x"), field("\u00e9", "x"), field("x", "a\rb"), field("x", "a\nb"), field("x", "\x00"),
		field("Content-Length", "1"), field("Transfer-Encoding", "chunked"), field("Connection", "x"), field("Keep-Alive", "x"), field("TE", "trailers"),
		field("Upgrade", "h2c"), field("HTTP2-Settings", "x"), field("Proxy-Connection", "x"),
		{Name: []byte("Connection"), Value: []byte("x")},
	} {
		name := string(f.Name) + ": " + string(f.Value)
		rows = append(
			rows, row{name, request(func(h *msg.RequestHead) { h.Fields = msg.Fields{field("fit", "x"), f} }), h1.ErrField},
			row{name, response(msg.ResponseHead{Status: 200, Fields: msg.Fields{field("fit", "x"), f}}), h1.ErrField}, row{name, trailers(f), h1.ErrField},
		)
	}
	rows = append(rows, row{"host", request(func(h *msg.RequestHead) { h.Fields = msg.Fields{field("Host", "b")} }), h1.ErrField})
	for _, c := range rows {
		if got, err := c.f([]byte("pre")); string(got) != "pre" || err != c.want { //nolint:errorlint // it is the very error
			t.Errorf("%q: got %q, %v, want nothing, %v", c.name, got, err, c.want)
		}
	}
}

// TestSecretsAreNeverIndexed: whoever prints them further may not put them into a table. [RFC 7541 section 7.1.3]
func TestSecretsAreNeverIndexed(t *testing.T) {
	for _, name := range []string{"Authorization", "Cookie", "Set-Cookie", "Proxy-Authorization", "X-Other"} {
		f := field(name, "secret")
		fields, err := hpack.NewDecoder(tableSize, nil).DecodeFull(appendField(nil, &f))
		if err != nil || len(fields) != 1 || fields[0].Name != strings.ToLower(name) || fields[0].Value != "secret" || fields[0].Sensitive != (name != "X-Other") {
			t.Errorf("appendField(%s) = %+v, %v", name, fields, err)
		}
	}
}

func TestAppendTrailers(t *testing.T) {
	block, err := AppendTrailers([]byte("pre"), msg.Fields{field("Grpc-Status", "0"), field("Via", "2 a")})
	if err != nil || !bytes.HasPrefix(block, []byte("pre")) {
		t.Fatalf("AppendTrailers = %q, %v", block, err)
	}
	if got, want := decoded(t, block[3:]), (pairs{"grpc-status", "0", "via", "2 a"}); !cmp.Equal(got, want) {
		t.Errorf("AppendTrailers = %q, want %q", got, want)
	}
}
