package wire

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// Streams are numbered by odd numbers that rise, and one that has ended is not begun again. [RFC 9113 section 5.1.1]
func TestFL9StreamNumbers(t *testing.T) {
	t.Parallel()
	ask := func(f *testkit.Frames, id uint32) { f.Head(id, true, ask2()...) }
	rows := []struct {
		name string
		send func(f *testkit.Frames)
		want []http2.ErrCode // one of these ends the connection
	}{
		{"0", func(f *testkit.Frames) { ask(f, 0) }, []http2.ErrCode{http2.ErrCodeProtocol}},
		{"even", func(f *testkit.Frames) { ask(f, 2) }, []http2.ErrCode{http2.ErrCodeProtocol}},
		{"even and large", func(f *testkit.Frames) { ask(f, 1<<31-2) }, []http2.ErrCode{http2.ErrCodeProtocol}},
		{"falling", func(f *testkit.Frames) {
			f.Head(5, true, changed(ask2(), ":path", "/neighbour")...)
			ask(f, 3)
		}, []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeStreamClosed}},
		{"of an answered stream", func(f *testkit.Frames) {
			neighbour2(t, f, 1)()
			ask(f, 1)
		}, []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeStreamClosed}},
		{"DATA of an unopened stream", func(f *testkit.Frames) { f.Data(7, true, "x") }, []http2.ErrCode{http2.ErrCodeProtocol}},
		{"a reset of an unopened stream", func(f *testkit.Frames) { f.Reset(7, http2.ErrCodeCancel) }, []http2.ErrCode{http2.ErrCodeProtocol}},
		{"a window of an unopened stream", func(f *testkit.Frames) { f.Frame(http2.FrameWindowUpdate, 0, 7, "\x00\x00\x00\x01") }, []http2.ErrCode{http2.ErrCodeProtocol}},
		{"DATA of ended streams, again and again", func(f *testkit.Frames) {
			neighbour2(t, f, 1)()
			for range 3000 {
				f.Data(1, false, "abcdef")
			}
		}, []http2.ErrCode{http2.ErrCodeEnhanceYourCalm, http2.ErrCodeStreamClosed}},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		for _, row := range rows {
			for version, addr := range front.addrs {
				f := testkit.DialFrames(t, addr)
				row.send(f)
				code, told := f.End()
				ok := false
				for _, want := range row.want {
					ok = ok || told && code == want
				}
				if !ok {
					t.Errorf("%s, to HTTP/%d: the connection ended with %v (told %v), want one of %v", row.name, version+1, code, told, row.want)
				}
			}
		}
		front.untouched(t, 0)
	})
}

// A connection whose numbers run out is ended in good order: its client goes on over another one.
func TestFL9NumbersRunOut(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		for _, id := range []uint32{1<<30 - 1, 1<<30 + 1, 1<<31 - 1} {
			f := testkit.DialFrames(t, front.addrs[0])
			neighbour2(t, f, 1)()
			f.Head(id, true, changed(ask2(), ":path", "/neighbour")...)
			if h := f.Await(id); (h.Status() != 200 || !h.Ended) && (!h.Reset || h.Code != http2.ErrCodeRefusedStream) {
				t.Errorf("stream %d: %+v, want it served or refused", id, h)
			}
			if code, told := f.End(); !told || code != http2.ErrCodeNo {
				t.Errorf("stream %d: the connection ended with %v (told %v), want NO_ERROR", id, code, told)
			}
		}
	})
}

// Who opens streams and never ends them holds no more than may be open at once, and not for ever.
func TestFL9HalfOpenStreams(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s, "limits: { streams: 10 }", "timeouts: { body_idle: 500ms }")
		f := testkit.DialFrames(t, front.addrs[0])
		for i := range 10 {
			f.Head(uint32(2*i+1), false, changed(post2(), ":path", "/neighbour")...)
		}
		f.Head(21, true, changed(ask2(), ":path", "/neighbour")...)
		wantReset(t, "one stream more", f.Await(21), http2.ErrCodeRefusedStream)
		neighbour2(t, testkit.DialFrames(t, front.addrs[0]), 1)()
		for i := range 10 {
			if h := f.Await(uint32(2*i + 1)); h.Status() != 408 {
				t.Errorf("a stream that never ends: %+v, want 408", h)
			}
		}
		testkit.Eventually(t, "room for another stream", func() bool {
			id := uint32(23 + 2*len(f.Set)) // unused yet
			f.Set[http2.SettingID(1000+id)] = 1
			f.Head(id, true, changed(ask2(), ":path", "/neighbour")...)
			return f.Await(id).Status() == 200
		})
		for _, r := range p408(t, front.p) {
			if r.End[0] != 'c' {
				t.Errorf("record %d %s %q, want c", r.Status, r.End, r.Reason)
			}
		}
	})
}

// p408 waits for the records of what came too slowly.
func p408(t *testing.T, p *testkit.Poise) (slow []testkit.Record) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%d records with 408", 10), func() bool {
		slow = slow[:0]
		for _, line := range p.Records(t, 0) {
			if r := testkit.ParseRecord(t, line); r.Status == 408 {
				slow = append(slow, r)
			}
		}
		return len(slow) == 10
	})
	return slow
}
