package wire

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// A request's line is made of pseudo-fields: each there once, in front, and each but one thing. [RFC 9113 section 8.3]
func TestDG6PseudoFields(t *testing.T) {
	t.Parallel()
	var attacks []malformed2
	add := func(name string, fields []string) { attacks = append(attacks, malformed2{name: name, fields: fields}) }
	for _, name := range []string{":method", ":scheme", ":path", ":authority"} {
		fields := ask2()
		i := slices.Index(fields, name)
		add(name+" is missing", lacking(ask2(), name))
		add(name+" is there twice", append(slices.Clone(fields[i:i+2]), fields...))
		add(name+" is there twice, with another value", append([]string{name, fields[i+1] + "x"}, fields...))
		add(name+" behind a field", append(lacking(ask2("x", "y"), name), fields[i:i+2]...))
		add(name+" is empty", changed(ask2(), name, ""))
	}
	for _, name := range []string{":", ":x", ":host", ":version", ":path2", ":content-length", ":status", ":authority:", "::path"} {
		add("an unknown "+name, append([]string{name, "200"}, ask2()...))
	}
	add(":protocol of a GET", append([]string{":protocol", "websocket"}, ask2()...))
	add("nothing", nil)
	add("nothing but a field", []string{"x", "y"})
	add("an answer", []string{":status", "200", "x", "y"})
	for _, path := range []string{
		"hello", "*", "?a=b", "http://example.test/smuggled", "//example.test\\smuggled", "/smuggled#x",
		"/a b", "/%00", "/\x80", "example.test:80",
	} {
		add(fmt.Sprintf(":path %q", path), changed(ask2(), ":path", path))
	}
	for _, scheme := range []string{"http://example.test/?", "ftp", "https:", "http,https", "ws", "javascript", "HTTP "} {
		add(fmt.Sprintf(":scheme %q", scheme), changed(ask2(), ":scheme", scheme))
	}
	for _, method := range []string{"GET /x HTTP/1.1", "GET ", " GET", "G:T", "G\"T", "GET,POST", "G\x80T", "GET?"} {
		add(fmt.Sprintf(":method %q", method), changed(ask2(), ":method", method))
	}
	refuse2(t, attacks)
}

// Whom a request is for is said once, or twice alike. [RFC 9113 section 8.3.1]
func TestDG7Authority(t *testing.T) {
	t.Parallel()
	var attacks []malformed2
	add := func(name string, fields []string) { attacks = append(attacks, malformed2{name: name, fields: fields}) }
	for _, host := range []string{"other.test", "example.test:80", "example.test.", "example.tes", "", "example.test,other.test"} {
		add(fmt.Sprintf("host %q beside :authority", host), ask2("host", host))
	}
	add("two hosts alike", ask2("host", "example.test", "host", "example.test"))
	add("two hosts, the second another", ask2("host", "example.test", "host", "other.test"))
	add("two hosts and no :authority", lacking(ask2("host", "example.test", "host", "example.test"), ":authority"))
	add("an empty :authority beside host", changed(ask2("host", "example.test"), ":authority", ""))
	for _, authority := range []string{
		"user@example.test", "user:pass@example.test", "example.test/smuggled", "example.test?x", "example.test#x", "example.test:x", "example.test:99999",
		"example.test:80:80", "[::1", "::1", "example.test\\x", "example.test, other.test", "example..test:+80", "http://example.test",
		"exa\xc3\xa4mple.test", "[::1%25lo]",
	} {
		add(fmt.Sprintf(":authority %q", authority), changed(ask2(), ":authority", authority))
		add(fmt.Sprintf("host %q alone", authority), lacking(ask2("host", authority), ":authority"))
	}
	refuse2(t, attacks)
}

// Servers of either version hear it in one place, however the client has said it.
func TestDG7AuthorityGoesOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"of :authority", changed(ask2(), ":authority", "one.test:81"), "one.test:81"},
		{"of host", lacking(ask2("host", "two.test"), ":authority"), "two.test"},
		{"of both", ask2("host", "EXAMPLE.test"), "example.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				one := serveReader(t, ok)
				heard := make(chan []string, 1)
				two := testkit.ServeFrames(t, testkit.Answers(func(f *testkit.Frames, id uint32, h *testkit.Heard) {
					heard <- append(h.All(":authority"), h.All("host")...)
					testkit.OKFrames(f, id, h)
				}))
				for server, more := range map[*testkit.Server]string{one.Server: "", two.Server: "http_version: 2"} {
					f := testkit.DialFrames(t, short(t, s, server, more).Addr)
					f.Head(1, true, tt.fields...)
					wantHeard(t, "the answer", f.Await(1), 200, "ok")
				}
				r := one.requests(t, 1)[0]
				if got := r.all("Host"); len(got) != 1 || got[0] != tt.want {
					t.Errorf("Host: %q, want %q", got, tt.want)
				}
				if got := <-heard; len(got) != 1 || got[0] != tt.want {
					t.Errorf(":authority and host: %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// CONNECT makes no tunnel, and what is not offered is refused. [RFC 9113 section 8.5, RFC 8441 section 4]
func TestDG12ConnectIsRefused(t *testing.T) {
	t.Parallel()
	connect := func(more ...string) []string { return changed(ask2(more...), ":method", "CONNECT") }
	protocol := func(name string) []string { return append([]string{":protocol", name}, connect()...) }
	attacks := []malformed2{
		{name: "CONNECT as RFC 9113 has it", fields: []string{":method", "CONNECT", ":authority", "example.test:443"}},
		{name: "CONNECT with a path", fields: connect(), status: 501},
		{name: "an unknown protocol", fields: protocol("connect-tcp"), status: 501},
		{name: "a protocol that is no token", fields: protocol("web socket")},
		{name: "an empty protocol", fields: protocol("")},
		{name: "a protocol with a line end", fields: protocol("websocket\r\nx: y")},
		{name: "two protocols", fields: append([]string{":protocol", "websocket"}, protocol("websocket")...)},
		{name: "a protocol without a path", fields: lacking(protocol("websocket"), ":path")},
		{name: "a protocol without a scheme", fields: lacking(protocol("websocket"), ":scheme")},
		{name: "a protocol without an authority", fields: lacking(protocol("websocket"), ":authority")},
		{name: "a WebSocket without its version", fields: protocol("websocket"), status: 501},
		{name: "a WebSocket of another version", fields: append(protocol("websocket"), "sec-websocket-version", "8"), status: 501},
		{name: "a protocol beside upgrade", fields: append(protocol("websocket"), "upgrade", "websocket", "connection", "upgrade")},
	}
	refuse2(t, attacks)
}

// The client has nothing to offer to Poise: what it pushes or promises is no frame of a client's.
func TestDG12FramesOfServers(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		for _, addr := range front.addrs {
			f := testkit.DialFrames(t, addr)
			end := neighbour2(t, f, 1)
			end()
			f.Frame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, "\x00\x00\x00\x02"+testkit.Block(ask2()...))
			if code, told := f.End(); !told || code != http2.ErrCodeProtocol {
				t.Errorf("the connection ended with %v (told %v), want PROTOCOL_ERROR", code, told)
			}
		}
		front.untouched(t, 0)
	})
}
