package wire

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// lie is a request whose content-length is not what its DATA frames have. [RFC 9113 section 8.1.1]
type lie struct {
	name, length string
	// parts are DATA frames, the last of which ends the stream; a part "trailers" is a head that does.
	parts []string
	// first: the head ends the stream.
	first bool
	// padding is how much is behind each part.
	padding int
	// enough: what was announced came before the lie, so that it may have gone on as a whole.
	enough bool
}

const inTrailers = "trailers"

var lies = []lie{
	{name: "the head ends it", length: "5", first: true},
	{name: "the head ends it, one byte", length: "1", first: true},
	{name: "an empty DATA ends it", length: "5", parts: []string{""}},
	{name: "empty DATA, and no more", length: "5", parts: []string{"", "", ""}},
	{name: "too short", length: "5", parts: []string{"abcd"}},
	{name: "too short, in parts", length: "5", parts: []string{"ab", "cd"}},
	{name: "too short, and an empty DATA ends it", length: "5", parts: []string{"abcd", ""}},
	{name: "too short, and trailers end it", length: "5", parts: []string{"abcd", inTrailers}},
	{name: "trailers and nothing else", length: "5", parts: []string{inTrailers}},
	{name: "too short but for padding", length: "5", parts: []string{"abc"}, padding: 2},
	{name: "too long", length: "5", parts: []string{"abcdefGET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"}},
	{name: "too long, in parts", length: "5", parts: []string{"abc", "defGET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"}},
	{name: "too long, in a further part", length: "5", parts: []string{"abcde", "GET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"}, enough: true},
	{name: "length 0", length: "0", parts: []string{"GET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"}, enough: true},
	{name: "length 0, one byte and trailers", length: "0", parts: []string{"x", inTrailers}, enough: true},
	{name: "far too short", length: "200000", parts: []string{strings.Repeat("a", 16000), strings.Repeat("b", 16000), strings.Repeat("c", 16000)}},
	{name: "far too long", length: "20000", parts: []string{strings.Repeat("a", 16000), strings.Repeat("b", 16000)}},
	{name: "far from what was said", length: "2000000", parts: []string{"x"}},
}

// send sends the request; told, where not nil, is waited for behind the head.
func (l *lie) send(f *testkit.Frames, id uint32, path string, told func()) {
	f.Head(id, l.first, changed(post2("content-length", l.length), ":path", path)...)
	if told != nil {
		told()
	}
	for i, part := range l.parts {
		switch last := i == len(l.parts)-1; {
		case part == inTrailers:
			f.Head(id, true, "x-sum", "1")
		case l.padding > 0:
			flags := http2.FlagDataPadded
			if last {
				flags |= http2.FlagDataEndStream
			}
			f.Frame(http2.FrameData, flags, id, string(rune(l.padding))+part+strings.Repeat("\x00", l.padding))
		default:
			f.Data(id, last, part)
		}
	}
}

// lied are servers that answer nobody but neighbours, behind one Poise.
type lied struct {
	p   *testkit.Poise
	one *reader
	two *testkit.FramesServer

	mu    sync.Mutex // guards heard
	heard map[string]testkit.Heard
}

func startLied(t *testing.T, s testkit.Setup) *lied {
	t.Helper()
	l := &lied{heard: map[string]testkit.Heard{}}
	l.one = serveReader(t, func(f *forwarded) string {
		if strings.Contains(f.line, "/neighbour") {
			return testkit.OK
		}
		return ""
	})
	l.one.silent = true
	l.two = testkit.ServeFrames(t, func(f *testkit.Frames) {
		f.Settings()
		for {
			id, h, ok := f.Request()
			if !ok {
				return
			}
			f.Await(id)
			path := h.All(":path")[0]
			if path == "/neighbour" {
				testkit.OKFrames(f, id, h)
				continue
			}
			f.Until(func() bool { return h.Reset }) // even if it came whole, it is taken back
			l.mu.Lock()
			l.heard[path] = *h
			l.mu.Unlock()
		}
	})
	l.p = testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ name: one, address: "127.0.0.1:0", pool: one }, { name: two, address: "127.0.0.1:0", pool: two }]
pools:
  one: { servers: [%s], eject: { enabled: false } }
  two: { servers: [%s], http_version: 2, eject: { enabled: false } }
`, l.one.Addr, l.two.Addr))
	return l
}

// reached tells whether a server has heard of the path.
func (l *lied) reached(path string) bool {
	return strings.Contains(l.one.Got(), path+" ") || slices.Contains(l.two.Asked(), "POST "+path)
}

// A body that is not as long as was said is no body, and a server that has got some of it never takes anything for the rest.
func TestDG4LengthsOfRequests(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := startLied(t, s)
		for _, later := range []bool{false, true} {
			for version := 1; version <= 2; version++ {
				for i, l := range lies {
					if later && l.first {
						continue
					}
					name := fmt.Sprintf("%s, to HTTP/%d, once the head is there: %v", l.name, version, later)
					path := fmt.Sprintf("/smuggled/%d/%d/%v", i, version, later)
					t.Run(name, func(t *testing.T) { servers.testLie(t, &l, version, later, path) })
				}
			}
		}
		for _, records := range servers.p.Parsed(t, servers.records()) {
			for _, r := range records {
				lies := r.Path != "/neighbour"
				if lies && (r.Status != 400 || r.End[0] != 'P' || !strings.Contains(r.Reason, "content-length")) || !lies && r.Status != 200 {
					t.Errorf("%s: record %d %s %q, want 400, P and why, or of neighbours 200", r.Path, r.Status, r.End, r.Reason)
				}
			}
		}
	})
}

// records is how many the log must have: two neighbours' for each of the lies.
func (l *lied) records() int {
	n := 0
	for _, lie := range lies {
		n += 2 * 3
		if !lie.first {
			n += 2 * 3
		}
	}
	return n
}

func (l *lied) testLie(t *testing.T, lie *lie, version int, later bool, path string) {
	t.Helper()
	f := testkit.DialFrames(t, l.p.App.Status().Listeners[version-1].Addresses[0])
	neighbour2(t, f, 1)() // there is a kept connection
	var told func()
	if later {
		told = func() { testkit.Eventually(t, "request at the server", func() bool { return l.reached(path) }) }
	}
	lie.send(f, 3, path, told)
	wantReset(t, "the answer", f.Await(3), http2.ErrCodeProtocol)
	neighbour2(t, f, 5)()
	if l.reached(path) && lie.first {
		t.Error("a request whose head ends it has reached the server")
	}
	if !l.reached(path) {
		return
	}
	if version == 1 {
		l.wantCut(t, lie, path)
	} else {
		l.wantReset2(t, lie, path)
	}
}

// wantReset2 wants that a server of HTTP/2 has seen the end of what it got of the path by a reset.
func (l *lied) wantReset2(t *testing.T, lie *lie, path string) {
	t.Helper()
	var h testkit.Heard
	testkit.Eventually(t, "reset at the server", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		h = l.heard[path]
		return h.Reset
	})
	if h.Ended && !lie.enough || strings.Contains(h.Body, "GET") {
		t.Errorf("the server got %+v, want nothing that it could take for whole", h)
	}
}

// wantCut wants that what a server of HTTP/1.1 has got of the path was the last that came on its connection, which has ended.
func (l *lied) wantCut(t *testing.T, lie *lie, path string) {
	t.Helper()
	conn := 0
	for _, r := range l.one.requests(t, 0) {
		if conn != 0 && r.conn == conn {
			t.Errorf("behind it on the connection came %q", r.line)
		}
		if !strings.Contains(r.line, path+" ") {
			continue
		}
		conn = r.conn
		if r.whole && !lie.enough || strings.Contains(r.body, "GET") {
			t.Errorf("the server got %+v, want nothing that it could take for whole", r)
		}
	}
	if conn != 0 {
		l.one.waitEnd(t, conn)
	}
}
