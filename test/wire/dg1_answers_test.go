package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// What a server of HTTP/2 answers can neither split the answer that a client of HTTP/1 gets, nor change its framing.
func TestDG1Answers(t *testing.T) {
	t.Parallel()
	var answers []badAnswer
	add := func(name string, fields ...string) { answers = append(answers, answers2(name, fields)) }
	for _, c := range []string{"\r", "\n", "\x00", "\r\n", "\x0b", "\x7f"} {
		add(fmt.Sprintf("%q in a value", c), fields200("x", "a"+c+"b")...)
		add(fmt.Sprintf("%q in a name", c), fields200("x"+c+"y", "a")...)
		add(fmt.Sprintf("%q in location", c), ":status", "302", "location", "/"+c+"x")
		add(fmt.Sprintf("%q in set-cookie", c), fields200("set-cookie", "a=b"+c+"; Path=/")...)
		add(fmt.Sprintf("%q in the status", c), ":status", "20"+c)
	}
	add("an answer within a value", fields200("x", "y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")...)
	for _, status := range []string{
		"", "0", "1", "20", "99", "099", "1000", "2000", "101", "+20", "-20", "2 0", " 200", "200 ", "200 OK", "2xx", "0x1", "\xd9\xa2\xd9\xa0\xd9\xa0",
	} {
		add(fmt.Sprintf("status %q", status), ":status", status)
	}
	add("no status", "x", "y")
	add("nothing")
	add("two statuses", ":status", "200", ":status", "404")
	add("two statuses alike", ":status", "200", ":status", "200")
	add("status behind a field", "x", "y", ":status", "200")
	for _, pseudo := range []string{":method", ":path", ":scheme", ":authority", ":protocol", ":x", ":"} {
		add(pseudo+" in an answer", fields200(pseudo, "GET")...)
	}
	for _, field := range [][2]string{
		{"transfer-encoding", "chunked"},
		{"transfer-encoding", "identity"},
		{"connection", "close"},
		{"connection", "keep-alive, x"},
		{"keep-alive", "timeout=5"},
		{"proxy-connection", "close"},
		{"upgrade", "h2c"},
		{"te", "gzip"},
	} {
		add(field[0]+": "+field[1], fields200(field[:]...)...)
	}
	for _, name := range []string{"X", "Content-Length", "x y", "x:", "x:y", "", "x\x80", "x\"", " x"} {
		add(fmt.Sprintf("name %q", name), fields200(name, "5")...)
	}
	for _, blank := range []string{" ", "\t"} {
		add(fmt.Sprintf("%q before a value", blank), fields200("x", blank+"y")...)
		add(fmt.Sprintf("%q behind a value", blank), fields200("x", "y"+blank)...)
	}
	many := fields200()
	for i := range 200 {
		many = append(many, "set-cookie", fmt.Sprintf("a%d=b", i))
	}
	add("more fields than there may be", many...)
	add("a head that is too large", fields200("x", strings.Repeat("y", 64<<10))...)
	answers = append(answers, badAnswer{name: "an interim answer that ends it", send: func(f *testkit.Frames, id uint32) { f.Head(id, true, ":status", "103") }})
	answers = append(answers, badAnswer{name: "an interim answer that is malformed", send: func(f *testkit.Frames, id uint32) {
		f.Head(id, false, ":status", "103", "link", "a\r\nb: c")
		testkit.OKFrames(f, id, nil)
	}})
	answers = append(answers, badAnswer{name: "101 before the answer", send: func(f *testkit.Frames, id uint32) {
		f.Head(id, false, ":status", "101")
		testkit.OKFrames(f, id, nil)
	}})
	spoilt(t, answers)
}

// What of an answer concerns the connection to the server, or would be read as framing, ends at Poise.
func TestDG3AnswersAsTheyGoOn(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.ServeFrames(t, testkit.Answers(func(f *testkit.Frames, id uint32, _ *testkit.Heard) {
			f.Head(id, false, ":status", "103", "link", "</a>", "content-length", "7")
			fields := fields200("host", "evil.test", "proxy-authenticate", "Basic", "x", "\x80\xff", "trailer", "x-sum")
			for i := range 60 {
				fields = append(fields, "set-cookie", fmt.Sprintf("a%d=b", i))
			}
			f.Head(id, false, fields...)
			f.Data(id, false, "0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
			f.Head(id, true, "x-sum", "1", "content-length", "5", "host", "evil.test", "set-cookie", "t=1", "authorization", "x", "trailer", "x")
		}))
		p := short(t, s, server.Server, "http_version: 2")

		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/"))
		if r := c.Read("GET"); r.StatusCode != 103 || r.Header.Get("Content-Length") != "" || r.Header.Get("Link") != "</a>" {
			t.Errorf("interim answer %d %v, want 103 without a length", r.StatusCode, r.Header)
		}
		r := c.Read("GET")
		if r.StatusCode != 200 || r.Body != "0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" || r.Err != nil || !slices.Equal(r.TransferEncoding, []string{"chunked"}) {
			t.Errorf("answer %+v %q (%v), want the body in chunks of our own", r, r.Body, r.Err)
		}
		if n := len(r.Header["Set-Cookie"]); n != 60 || r.Header["Set-Cookie"][59] != "a59=b" {
			t.Errorf("%d cookies, want 60 in order", n)
		}
		for _, name := range []string{"Host", "Proxy-Authenticate", "Content-Length"} {
			if v := r.Header.Values(name); len(v) > 0 {
				t.Errorf("%s: %q came through", name, v)
			}
		}
		if len(r.Trailer) != 1 || r.Trailer.Get("X-Sum") != "1" {
			t.Errorf("trailers %v, want X-Sum alone", r.Trailer)
		}

		f := testkit.DialFrames(t, p.Addr)
		f.Head(1, true, ask2()...)
		h := f.Await(1)
		if !h.Ended || len(h.Heads) != 3 || len(h.Heads[2]) != 1 || len(h.All("content-length"))+len(h.All("host"))+len(h.All("proxy-authenticate")) > 0 {
			t.Errorf("answer %+v, want three heads, of which the last has one field", h)
		}
	})
}

// Trailers of a request are passed on without what would change it. [RFC 9110 section 6.5.1]
func TestDG6TrailersOfRequests(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one := serveReader(t, ok)
		heard := make(chan *testkit.Heard, 1)
		two := testkit.ServeFrames(t, testkit.Answers(func(f *testkit.Frames, id uint32, h *testkit.Heard) {
			heard <- h
			testkit.OKFrames(f, id, h)
		}))
		for server, more := range map[*testkit.Server]string{one.Server: "", two.Server: "http_version: 2"} {
			f := testkit.DialFrames(t, short(t, s, server, more).Addr)
			f.Head(1, false, post2()...)
			f.Data(1, false, "body")
			f.Head(1, true, "x-sum", "1", "content-length", "5", "host", "evil.test", "authorization", "x", "cookie", "a=b", "x-forwarded-for", "1.2.3.4")
			wantHeard(t, "the answer", f.Await(1), 200, "ok")
		}
		r := one.find(t, "/smuggled", "body")
		if !r.whole || len(r.trailers) != 1 || !strings.EqualFold(r.trailers[0], "x-sum: 1") || len(r.all("Content-Length")) > 0 {
			t.Errorf("the server of HTTP/1.1 got %+v, want chunks and one trailer", r)
		}
		if h := <-heard; h.Body != "body" || len(h.Heads) != 2 || len(h.Heads[1]) != 1 || h.Heads[1][0].Name != "x-sum" {
			t.Errorf("the server of HTTP/2 got %+v, want one trailer", h)
		}
	})
}

// Trailers that are none break the request off, and what a server has got of it is never whole.
func TestDG6MalformedTrailers(t *testing.T) {
	t.Parallel()
	trailers := map[string][]string{
		"a pseudo-field":         {":path", "/smuggled"},
		"a method":               {"x", "y", ":method", "GET"},
		"a status":               {":status", "200"},
		"a line end":             {"x", "y\r\n\r\nGET /smuggled HTTP/1.1"},
		"a bad name":             {"x y", "z"},
		"capitals":               {"X", "y"},
		"transfer-encoding":      {"transfer-encoding", "chunked"},
		"connection":             {"connection", "close"},
		"more than there may be": {"x", strings.Repeat("y", 20<<10)},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := startLied(t, s)
		for name, fields := range trailers {
			for version := 1; version <= 2; version++ {
				path := fmt.Sprintf("/smuggled/%d/%s", version, strings.ReplaceAll(name, " ", "-"))
				f := testkit.DialFrames(t, servers.p.App.Status().Listeners[version-1].Addresses[0])
				neighbour2(t, f, 1)()
				f.Head(3, false, changed(post2(), ":path", path)...)
				f.Data(3, false, "body")
				testkit.Eventually(t, "request at the server", func() bool { return servers.reached(path) })
				f.Head(3, true, fields...)
				wantReset(t, name, f.Await(3), http2.ErrCodeProtocol)
				neighbour2(t, f, 5)()
				if version == 1 {
					servers.wantCut(t, &lie{}, path)
				} else {
					servers.wantReset2(t, &lie{}, path)
				}
				if r := servers.p.Await(t, path); r.Status != 400 || r.End[0] != 'P' {
					t.Errorf("%s: record %+v, want 400 and P", name, r)
				}
			}
		}
	})
}

// A client sees where trailers that do not end a stream, or a second head, break its request off.
func TestDG6HeadsThatEndNothing(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := startLied(t, s)
		for version := 1; version <= 2; version++ {
			path := fmt.Sprintf("/smuggled/%d", version)
			f := testkit.DialFrames(t, servers.p.App.Status().Listeners[version-1].Addresses[0])
			neighbour2(t, f, 1)()
			f.Head(3, false, changed(post2(), ":path", path)...)
			f.Data(3, false, "body")
			testkit.Eventually(t, "request at the server", func() bool { return servers.reached(path) })
			f.Head(3, false, changed(post2(), ":path", "/smuggled/second")...)
			wantReset(t, "the answer", f.Await(3), http2.ErrCodeProtocol)
			neighbour2(t, f, 5)()
			if version == 1 {
				servers.wantCut(t, &lie{}, path)
			} else {
				servers.wantReset2(t, &lie{}, path)
			}
		}
		if servers.reached("/smuggled/second") {
			t.Error("a second head of a stream has become a request")
		}
	})
}
