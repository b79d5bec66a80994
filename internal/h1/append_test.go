package h1

import (
	"errors"
	"testing"

	"poise/internal/msg"
)

func field(name, value string) msg.Fields {
	return msg.Fields{{Name: []byte(name), Value: []byte(value), ID: msg.Lookup([]byte(name))}}
}

func TestAppendRequestHead(t *testing.T) {
	base := msg.RequestHead{Method: []byte("GET"), Path: []byte("/a"), Query: []byte("?b"), Authority: []byte("h:1"), Fields: field("X", "y")}
	for _, c := range []struct {
		name   string
		change func(*msg.RequestHead)
		want   string
	}{
		{"plain", func(*msg.RequestHead) {}, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\r\n"},
		{"length", func(h *msg.RequestHead) { h.Length = 12 }, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\nContent-Length: 12\r\n\r\n"},
		{"length 0", func(h *msg.RequestHead) { h.HasLength = true }, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\nContent-Length: 0\r\n\r\n"},
		{"chunked", func(h *msg.RequestHead) { h.Length = msg.Chunked }, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"close", func(h *msg.RequestHead) { h.Close = true }, "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\nConnection: close\r\n\r\n"},
		{
			"upgrade", func(h *msg.RequestHead) { h.Upgrade = []byte("websocket") },
			"GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		},
		{
			"asterisk, no authority", func(h *msg.RequestHead) { h.Path, h.Query, h.Authority = []byte("*"), nil, nil },
			"GET * HTTP/1.1\r\nHost: \r\nX: y\r\n\r\n",
		},
	} {
		h := base
		c.change(&h)
		if got, err := AppendRequestHead([]byte("pre"), &h); string(got) != "pre"+c.want || err != nil {
			t.Errorf("%s: AppendRequestHead = %q, %v, want %q", c.name, got, err, "pre"+c.want)
		}
	}
}

func TestAppendResponseHead(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name string
		h    msg.ResponseHead
		want string
	}{
		{"length 0", msg.ResponseHead{Status: 200}, ok + "Content-Length: 0\r\n\r\n"},
		{"length", msg.ResponseHead{Status: 200, Length: 5, Fields: field("X", "y")}, ok + "X: y\r\nContent-Length: 5\r\n\r\n"},
		{"chunked", msg.ResponseHead{Status: 200, Length: msg.Chunked}, ok + "Transfer-Encoding: chunked\r\n\r\n"},
		{"until close", msg.ResponseHead{Status: 200, Length: msg.UntilClose}, ok + "Connection: close\r\n\r\n"},
		{"HEAD without a length", msg.ResponseHead{Status: 200, NoLength: true}, ok + "\r\n"},
		{"304", msg.ResponseHead{Status: 304, NoLength: true}, "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"204", msg.ResponseHead{Status: 204}, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"100", msg.ResponseHead{Status: 100, Length: msg.Chunked}, "HTTP/1.1 100 Continue\r\n\r\n"},
		{
			"101",
			msg.ResponseHead{Status: 101, Length: msg.UntilClose, Upgrade: []byte("websocket")},
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		},
		{
			"426",
			msg.ResponseHead{Status: 426, Close: true, Upgrade: []byte("x/1")},
			"HTTP/1.1 426 Upgrade Required\r\nUpgrade: x/1\r\nConnection: upgrade, close\r\nContent-Length: 0\r\n\r\n",
		},
		{"close", msg.ResponseHead{Status: 200, Close: true, KeepAlive10: true}, ok + "Connection: close\r\nContent-Length: 0\r\n\r\n"},
		{"keep-alive", msg.ResponseHead{Status: 200, KeepAlive10: true}, ok + "Connection: keep-alive\r\nContent-Length: 0\r\n\r\n"},
		{"reason", msg.ResponseHead{Status: 200, Reason: []byte("Fine")}, "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n"},
		{"unknown status", msg.ResponseHead{Status: 999}, "HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n"},
	} {
		if got, err := AppendResponseHead([]byte("pre"), &c.h); string(got) != "pre"+c.want || err != nil {
			t.Errorf("%s: AppendResponseHead = %q, %v, want %q", c.name, got, err, "pre"+c.want)
		}
	}
}

func TestRS8ResponseSplitting(t *testing.T) {
	type pair struct{ name, value string }
	bad := []pair{{"", "x"}, {"a b", "x"}, {"a:", "x"}, {"a\r\nb", "x"}, {"a\x00", "x"}, {"\xe9", "x"}}
	for c := range 0x80 {
		if c < 0x20 && c != '\t' || c == 0x7f {
			bad = append(bad, pair{"Location", "a" + string(rune(c)) + "b"}, pair{"X", "0123456789abcdef" + string(rune(c))})
		}
	}
	bad = append(bad, pair{"Location", "/\r\nSet-Cookie: a=b"})
	for _, name := range []string{
		"Content-Length", "Transfer-Encoding", "connection", "KEEP-ALIVE", "Proxy-Connection", "TE", "Upgrade", "HTTP2-Settings",
	} {
		bad = append(bad, pair{name, "x"})
	}
	get := msg.RequestHead{Method: []byte("GET"), Path: []byte("/"), Authority: []byte("h")}
	for _, p := range bad {
		for _, f := range []msg.Fields{field(p.name, p.value), {{Name: []byte(p.name), Value: []byte(p.value)}}} {
			get.Fields = append(field("Good", "field"), f...)
			if got, err := AppendRequestHead([]byte("pre"), &get); !errors.Is(err, ErrField) || string(got) != "pre" {
				t.Errorf("AppendRequestHead with %q: %q = %q, %v, want ErrField", p.name, p.value, got, err)
			}
			h := msg.ResponseHead{Status: 200, Fields: get.Fields}
			if got, err := AppendResponseHead([]byte("pre"), &h); !errors.Is(err, ErrField) || string(got) != "pre" {
				t.Errorf("AppendResponseHead with %q: %q = %q, %v, want ErrField", p.name, p.value, got, err)
			}
			if got, err := AppendTrailers([]byte("pre"), get.Fields); !errors.Is(err, ErrField) || string(got) != "pre" {
				t.Errorf("AppendTrailers with %q: %q = %q, %v, want ErrField", p.name, p.value, got, err)
			}
		}
	}
	get.Fields = field("Host", "x")
	if _, err := AppendRequestHead(nil, &get); !errors.Is(err, ErrField) {
		t.Errorf("AppendRequestHead with a second Host: %v, want ErrField", err)
	}
	if _, err := AppendTrailers(nil, field("Content-Length", "1")); !errors.Is(err, ErrField) {
		t.Errorf("AppendTrailers with a length: %v, want ErrField", err)
	}
}

func TestRS8RequestLineSplitting(t *testing.T) {
	for _, c := range []struct{ method, path, query, authority string }{
		{"", "/", "", "h"},
		{"G T", "/", "", "h"},
		{"G\r\nT", "/", "", "h"},
		{"GET", "", "", "h"},
		{"GET", "x", "", "h"},
		{"GET", "/ ", "", "h"},
		{"GET", "/\r\n", "", "h"},
		{"GET", "/#", "", "h"},
		{"GET", "/\xe9", "", "h"},
		{"GET", "/", "x", "h"},
		{"GET", "/", "? x", "h"},
		{"GET", "/", "?\n", "h"},
		{"GET", "/", "", "h\r\nX: y"},
		{"GET", "/", "", "a b"},
	} {
		h := msg.RequestHead{Method: []byte(c.method), Path: []byte(c.path), Query: []byte(c.query), Authority: []byte(c.authority)}
		if got, err := AppendRequestHead(nil, &h); !errors.Is(err, ErrTarget) || len(got) > 0 {
			t.Errorf("AppendRequestHead(%+v) = %q, %v, want ErrTarget", c, got, err)
		}
	}
	for _, h := range []msg.ResponseHead{{Status: 99}, {Status: 1000}, {Status: 200, Reason: []byte("a\r\nb")}} {
		if got, err := AppendResponseHead(nil, &h); !errors.Is(err, ErrStatus) || len(got) > 0 {
			t.Errorf("AppendResponseHead(%+v) = %q, %v, want ErrStatus", h, got, err)
		}
	}
	for _, length := range []int64{-2, -3} {
		h := msg.RequestHead{Method: []byte("GET"), Path: []byte("/"), Length: length}
		if _, err := AppendRequestHead(nil, &h); !errors.Is(err, ErrLength) {
			t.Errorf("AppendRequestHead with Length %d: %v, want ErrLength", length, err)
		}
	}
	h := msg.ResponseHead{Status: 200, Upgrade: []byte("x\r\ny")}
	if _, err := AppendResponseHead(nil, &h); !errors.Is(err, ErrField) {
		t.Errorf("AppendResponseHead with a bad upgrade: %v, want ErrField", err)
	}
}

func TestAppendChunkHeader(t *testing.T) {
	if got := string(AppendChunkHeader(nil, 70000)); got != "11170\r\n" {
		t.Errorf("AppendChunkHeader(70000) = %q, want 11170", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("AppendChunkHeader(0) does not panic")
		}
	}()
	AppendChunkHeader(nil, 0)
}
