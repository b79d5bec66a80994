package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// Cookies come in parts, and go on as one field. [RFC 9113 section 8.2.3]
func TestDG8CookiesAreJoined(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one := serveReader(t, ok)
		heard := make(chan []string, 1)
		two := testkit.ServeFrames(t, testkit.Answers(func(f *testkit.Frames, id uint32, h *testkit.Heard) {
			heard <- h.All("cookie")
			testkit.OKFrames(f, id, h)
		}))
		fields, want := ask2(), []string{}
		for i := range 60 {
			crumb := fmt.Sprintf("a%d=%d", i, i)
			fields, want = append(fields, "cookie", crumb), append(want, crumb)
		}
		fields = slices.Insert(fields, 20, "x", "y")
		for server, more := range map[*testkit.Server]string{one.Server: "", two.Server: "http_version: 2"} {
			f := testkit.DialFrames(t, short(t, s, server, more).Addr)
			f.Head(1, true, fields...)
			wantHeard(t, "the answer", f.Await(1), 200, "ok")
		}
		r := one.requests(t, 1)[0]
		for _, got := range [][]string{r.all("Cookie"), <-heard} {
			if len(got) != 1 || got[0] != strings.Join(want, "; ") {
				t.Errorf("cookies %q, want one of all parts", got)
			}
		}
	})
}

// repeated is a GET with a field that the table remembers, and many references to it.
func repeated(name, value string, n int) string {
	literal := "\x40" + testkit.Block(name, value)[1:] // with incremental indexing
	return testkit.Block(ask2()...) + literal + strings.Repeat("\xbe", n)
}

// Every field counts as it is decoded, with its share of bookkeeping, however few bytes it came in. [RFC 9113 section 10.5.1]
func TestDG9LargeHeads(t *testing.T) {
	t.Parallel()
	var attacks []malformed2
	add := func(name, block string) {
		attacks = append(attacks, malformed2{name: name, status: 431, send: func(f *testkit.Frames, id uint32) { f.HeadOf(id, true, block) }})
	}
	many := func(name, value string, n int) string {
		fields := ask2()
		for range n {
			fields = append(fields, name, value)
		}
		return testkit.Block(fields...)
	}
	add("a value over the limit", testkit.Block(ask2("x", strings.Repeat("y", 65<<10))...))
	add("a name over the limit", testkit.Block(ask2(strings.Repeat("x", 65<<10), "y")...))
	add("values over the limit together", many("x", strings.Repeat("y", 1<<10), 64))
	add("too many fields", many("x", "y", 101))
	add("too many empty ones", many("x", "", 101))
	add("too many parts of a cookie", many("cookie", "a=b", 101))
	add("parts of a cookie over the limit together", many("cookie", "a="+strings.Repeat("b", 1<<10), 64))
	add("a bomb of references", repeated("x", strings.Repeat("y", 4000), 1000))
	add("a bomb of small references", repeated("x", "y", 10_000))
	add("a bomb of cookies", repeated("cookie", "a=b", 10_000))
	add("a bomb of empty names", repeated("x", "", 10_000))
	refuse2(t, attacks)
}

// One who goes on is not listened to any more.
func TestDG9WhoGoesOn(t *testing.T) {
	t.Parallel()
	head := func(f *testkit.Frames, n int, more func(i int)) {
		f.Frame(http2.FrameHeaders, http2.FlagHeadersEndStream, 3, testkit.Block(ask2()...))
		for i := range n {
			more(i)
		}
	}
	piece := testkit.Block("x", strings.Repeat("y", 16000))
	rows := []struct {
		name string
		send func(f *testkit.Frames)
		want http2.ErrCode
	}{
		{"heads that are too large, one after the other", func(f *testkit.Frames) {
			for i := range 40 {
				f.HeadOf(uint32(2*i+3), true, repeated("x", strings.Repeat("y", 4000), 100))
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"requests that are none, one after the other", func(f *testkit.Frames) {
			for i := range 60 {
				f.Head(uint32(2*i+3), true, ask2("x", "a\r\nb")...)
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"a head without an end, in large pieces", func(f *testkit.Frames) {
			head(f, 8, func(int) { f.Frame(http2.FrameContinuation, 0, 3, piece) })
		}, http2.ErrCodeEnhanceYourCalm},
		{"a head without an end, in small pieces", func(f *testkit.Frames) {
			head(f, 100, func(int) { f.Frame(http2.FrameContinuation, 0, 3, "\x00\x01x\x01y") })
		}, http2.ErrCodeEnhanceYourCalm},
		{"a head without an end, in empty pieces", func(f *testkit.Frames) {
			head(f, 100, func(int) { f.Frame(http2.FrameContinuation, 0, 3, "") })
		}, http2.ErrCodeEnhanceYourCalm},
		{"a head that another frame interrupts", func(f *testkit.Frames) {
			head(f, 1, func(int) { f.Frame(http2.FramePing, 0, 0, "in order") })
		}, http2.ErrCodeProtocol},
		{"a head that another stream's interrupts", func(f *testkit.Frames) {
			head(f, 1, func(int) { f.Head(5, true, ask2()...) })
		}, http2.ErrCodeProtocol},
		{"the rest of another stream's head", func(f *testkit.Frames) {
			head(f, 1, func(int) { f.Frame(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 5, "") })
		}, http2.ErrCodeProtocol},
		{"the rest of no head", func(f *testkit.Frames) {
			f.Frame(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 3, testkit.Block(ask2()...))
		}, http2.ErrCodeProtocol},
		{"a frame that is too large", func(f *testkit.Frames) {
			f.Frame(http2.FrameHeaders, http2.FlagHeadersEndStream|http2.FlagHeadersEndHeaders, 3, testkit.Block(ask2("x", strings.Repeat("y", 17000))...))
		}, http2.ErrCodeFrameSize},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		other := testkit.DialFrames(t, front.addrs[0])
		for i, row := range rows {
			for version, addr := range front.addrs {
				t.Run(fmt.Sprintf("%s, to HTTP/%d", row.name, version+1), func(t *testing.T) {
					f := testkit.DialFrames(t, addr)
					row.send(f)
					if code, told := f.End(); !told || code != row.want {
						t.Errorf("the connection ended with %v (told %v), want %v", code, told, row.want)
					}
				})
			}
			neighbour2(t, other, uint32(2*i+1))()
		}
		front.untouched(t, 0)
	})
}
