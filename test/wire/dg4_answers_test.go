package wire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// badAnswer is what a server of HTTP/2 does instead of answering as it must.
type badAnswer struct {
	name   string
	method string // of the request, if not GET
	send   func(f *testkit.Frames, id uint32)
	// begun: the head may have gone on before it is known that the rest is bad.
	begun bool
	// enough: what was announced came before it was bad. A client of HTTP/1 has nothing but that, and its connection ends.
	enough bool
	// ends: the connection does not outlive it.
	ends bool
}

// answers2 makes one of a head, and DATA of which the last part ends the stream.
func answers2(name string, fields []string, parts ...string) badAnswer {
	return badAnswer{name: name, begun: len(parts) > 0, send: func(f *testkit.Frames, id uint32) {
		f.Head(id, len(parts) == 0, fields...)
		for i, part := range parts {
			if part == inTrailers {
				f.Head(id, true, "x-sum", "1")
			} else {
				f.Data(id, i == len(parts)-1, part)
			}
		}
	}}
}

// of is the same answer to a request with another method.
func (a badAnswer) of(method string) badAnswer {
	a.method = method
	return a
}

// afterAll is the same answer, where what is bad follows all that was announced.
func (a badAnswer) afterAll() badAnswer {
	a.enough = true
	return a
}

// endsBy is the same answer, whose last part ends nothing, with what comes then.
func (a badAnswer) endsBy(then func(f *testkit.Frames, id uint32)) badAnswer {
	return badAnswer{name: a.name, method: a.method, begun: true, send: func(f *testkit.Frames, id uint32) {
		f.Head(id, false, ":status", "200")
		f.Data(id, false, "12345")
		then(f, id)
	}}
}

func fields200(more ...string) []string { return append([]string{":status", "200"}, more...) }

// spoilt is a server that answers what is below /bad as its table says, in Poise's three ways of being asked.
func spoilt(t *testing.T, answers []badAnswer) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t) // it has peers of its own
		server := testkit.ServeFrames(t, func(f *testkit.Frames) {
			f.Settings()
			held := uint32(0)
			for {
				id, h, ok := f.Request()
				if !ok {
					return
				}
				path := h.All(":path")[0]
				switch i, err := strconv.Atoi(path[strings.LastIndexByte(path, '/')+1:]); {
				case path == "/held":
					held = id
				case err != nil:
					testkit.OKFrames(f, id, h)
					if path == "/release" && held != 0 {
						testkit.OKFrames(f, held, h)
					}
				default:
					answers[i].send(f, id)
					if answers[i].ends {
						_ = f.Close()
						return
					}
				}
			}
		})
		p := short(t, s, server.Server, "http_version: 2", "eject: { enabled: false }", "retry: { attempts: 1 }")
		sibling := testkit.DialFrames(t, p.Addr)
		sibling.Head(1, true, changed(ask2(), ":path", "/held")...)
		testkit.Eventually(t, "neighbour at the server", func() bool { return len(server.Asked()) == 1 })
		ends := 0
		for i, a := range answers {
			if a.method == "" {
				a.method = "GET"
			}
			if a.ends {
				ends += 3
			}
			for version, ask := range map[string]func(t *testing.T, p *testkit.Poise, a *badAnswer, path string){"1.1": spoilt1, "1.0": spoilt1, "2": spoilt2} {
				path := fmt.Sprintf("/bad/%s/%d", version, i)
				t.Run(fmt.Sprintf("%s, to a client of HTTP/%s", a.name, version), func(t *testing.T) { ask(t, p, &a, path) })
			}
		}
		if ends == 0 {
			sibling.Head(3, true, changed(ask2(), ":path", "/release")...)
			wantHeard(t, "a neighbour's answer", sibling.Await(3), 200, "ok")
			if s.Loops == 1 { // else it may be another connection's
				wantHeard(t, "the answer that was held", sibling.Await(1), 200, "ok")
				if n := server.Connections(); n != 1 {
					t.Errorf("%d connections to the server, want 1: only streams were bad", n)
				}
			}
		}
		for path, records := range p.ParsedAtLeast(t, 3*len(answers)) {
			for _, r := range records {
				cut := r.Status == 502 && r.End == "SH--" || r.Status < 400 && r.End == "SD--"
				if strings.HasPrefix(path, "/bad") && (!cut || r.Reason == "" || len(records) > 1) {
					t.Errorf("%s: record %d %s %q, want one with 502 SH-- or SD--, and why", path, r.Status, r.End, r.Reason)
				}
			}
		}
	})
}

// spoilt1 is a client of HTTP/1, which is told of the fault, or sees that its answer is not whole.
func spoilt1(t *testing.T, p *testkit.Poise, a *badAnswer, path string) {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	c.Send(a.method + " " + path + " HTTP/" + strings.Split(path, "/")[2] + "\r\nHost: example.test\r\n\r\n")
	r, err := c.TryRead(a.method)
	if err != nil {
		if !a.begun {
			t.Errorf("no answer: %v, want 502", err)
		}
		return
	}
	if r.StatusCode == 502 && strings.HasPrefix(r.Header.Get("Proxy-Status"), "poise") {
		if a.method != "HEAD" && r.Body != badGateway && !strings.HasPrefix(r.Body, "502 Bad Gateway: the server closed") {
			t.Errorf("502 with %q", r.Body)
		}
		return
	}
	if a.enough && r.Err == nil && len(r.Body) <= 5 {
		if rest, _ := c.Closed(); rest != "" {
			t.Errorf("behind the answer came %q, want the end", rest)
		}
		return
	}
	if !a.begun || r.StatusCode != 200 || r.Err == nil {
		t.Fatalf("answer %d %v %q (%v), want 502, or one that is cut", r.StatusCode, r.Header, r.Body, r.Err)
	}
	if !errors.Is(r.Err, io.ErrUnexpectedEOF) && !isReset(r.Err) {
		t.Errorf("the body ended with %v, want a cut that can be seen", r.Err)
	}
}

// spoilt2 is one of HTTP/2.
func spoilt2(t *testing.T, p *testkit.Poise, a *badAnswer, path string) {
	t.Helper()
	f := testkit.DialFrames(t, p.Addr)
	f.Head(1, true, changed(changed(ask2(), ":path", path), ":method", a.method)...)
	h := f.Await(1)
	if h.Status() == 502 && h.Ended && strings.HasPrefix(strings.Join(h.All("proxy-status"), ""), "poise") {
		return
	}
	if !a.begun || h.Ended || !h.Reset || h.Code != http2.ErrCodeInternal {
		t.Errorf("answer %+v, want 502, or a reset with INTERNAL_ERROR", h)
	}
	f.Head(3, true, changed(ask2(), ":path", "/neighbour")...)
	wantHeard(t, "the next answer", f.Await(3), 200, "ok")
}

// A body that is not as long as the server says never looks whole to a client.
func TestDG4LengthsOfAnswers(t *testing.T) {
	t.Parallel()
	reset := func(code http2.ErrCode) func(f *testkit.Frames, id uint32) {
		return func(f *testkit.Frames, id uint32) { f.Reset(id, code) }
	}
	long := func(n string) []string { return fields200("content-length", n) }
	spoilt(t, []badAnswer{
		answers2("the head ends it", long("10")),
		answers2("an empty DATA ends it", long("10"), ""),
		answers2("too short", long("10"), "12345"),
		answers2("too short, in parts", long("10"), "123", "45", ""),
		answers2("too short, and trailers end it", long("10"), "12345", inTrailers),
		answers2("trailers and no body", long("10"), inTrailers),
		answers2("too long", long("5"), "1234567890"),
		answers2("too long, in parts", long("5"), "12345", "6").afterAll(),
		answers2("length 0", long("0"), "1").afterAll(),
		answers2("much too long", long("20000"), strings.Repeat("a", 16000), strings.Repeat("b", 16000)),
		answers2("much too short", long("200000"), strings.Repeat("a", 16000), strings.Repeat("b", 16000)),
		answers2("no number", long("+5"), "12345"),
		answers2("no decimal number", long("0x5"), "12345"),
		answers2("empty", long(""), "12345"),
		answers2("a list", long("5, 5"), "12345"),
		answers2("twice", fields200("content-length", "5", "content-length", "5"), "12345"),
		answers2("twice, different", fields200("content-length", "5", "content-length", "10"), "12345"),
		answers2("more than there can be", long("9223372036854775808"), "12345"),
		answers2("204 with a body", []string{":status", "204"}, "12345").afterAll(),
		answers2("304 with a body", []string{":status", "304", "content-length", "5"}, "12345").afterAll(),
		answers2("HEAD with a body", long("5"), "12345").of("HEAD").afterAll(),
		answers2("reset, no length", nil).endsBy(reset(http2.ErrCodeInternal)),
		answers2("reset as if all were well", nil).endsBy(reset(http2.ErrCodeNo)),
		answers2("refused behind the head", nil).endsBy(reset(http2.ErrCodeRefusedStream)),
		answers2("trailers that end nothing", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Head(id, false, "x-sum", "1") }),
		answers2("a second head", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Head(id, true, ":status", "200") }),
		answers2("trailers with a pseudo-field", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Head(id, true, "x-sum", "1", ":path", "/") }),
		answers2("trailers with a line end", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Head(id, true, "x-sum", "1\r\n\r\nHTTP/1.1 200 OK") }),
		answers2("trailers with a bad name", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Head(id, true, "X-Sum", "1") }),
		answers2("trailers with transfer-encoding", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Head(id, true, "transfer-encoding", "chunked") }),
		answers2("a window that grows by nothing", nil).endsBy(func(f *testkit.Frames, id uint32) { f.Frame(http2.FrameWindowUpdate, 0, id, "\x00\x00\x00\x00") }),
	})
}

// The same where the connection ends too.
func TestDG4AnswersCutByTheConnection(t *testing.T) {
	t.Parallel()
	cut := func(name string, fields []string, then func(f *testkit.Frames, id uint32)) badAnswer {
		return badAnswer{name: name, begun: true, ends: true, send: func(f *testkit.Frames, id uint32) {
			if fields != nil {
				f.Head(id, false, fields...)
				f.Data(id, false, "12345")
			}
			then(f, id)
		}}
	}
	closes := func(*testkit.Frames, uint32) {}
	spoilt(t, []badAnswer{
		cut("closed before the head", nil, closes),
		cut("closed, no length", fields200(), closes),
		cut("closed, all of the length", fields200("content-length", "6"), closes),
		cut("GOAWAY and closed", fields200(), func(f *testkit.Frames, id uint32) { f.GoAway(id, http2.ErrCodeNo) }),
		cut("GOAWAY for all and closed", fields200(), func(f *testkit.Frames, _ uint32) { f.GoAway(0, http2.ErrCodeNo) }),
		cut("closed within a frame", fields200(), func(f *testkit.Frames, id uint32) {
			f.Raw("\x00\x00\x05\x00\x01\x00\x00\x00" + string(rune(id)) + "12")
		}),
		cut("closed within a head", fields200(), func(f *testkit.Frames, id uint32) {
			f.Frame(http2.FrameHeaders, http2.FlagHeadersEndStream, id, "\x00\x01x\x01y")
		}),
	})
}
