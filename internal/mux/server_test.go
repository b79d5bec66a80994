package mux_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/stats"
)

// echo answers with the body of the request, as it comes, and its trailers.
func echo(st *mux.Stream) {
	var r msg.Request
	if _, err := st.Request(&r, nil); err != nil {
		st.Finish(h2.ProtocolError)
		return
	}
	_ = st.PrintResponse(&msg.ResponseHead{Status: 200, Length: msg.Chunked, Fields: msg.Fields{{Name: []byte("X-Path"), Value: r.Path}}})
	_, err := st.Send(true, nil, 0, false, nil)
	for err == nil {
		if err = st.Next(); err != nil {
			break
		}
		b := st.Buffered()
		if _, err = st.Send(false, [][]byte{b}, len(b), false, nil); err == nil {
			st.Discard(len(b))
		}
	}
	if err == io.EOF {
		_, _ = st.Send(false, nil, 0, true, st.Trailers())
	}
	st.Finish(h2.InternalError)
}

func TestRequestsAndAnswers(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		s, p := asServer(t, l, config(echo))
		p.settings()
		p.request(1, true)
		p.wantHead(1, false, ":status: 200; x-path: /1")
		p.want("the end of 1", func(f frame) bool { return f.StreamID == 1 && f.end && f.data == "" })

		p.request(3, false)
		p.request(5, false)
		p.wantHead(3, false, ":status: 200; x-path: /3")
		p.wantHead(5, false, ":status: 200; x-path: /5")
		p.data(5, false, "five")
		p.want("five", func(f frame) bool { return f.StreamID == 5 && f.data == "five" && !f.end })
		p.data(3, true, "three")
		p.want("three", func(f frame) bool { return f.StreamID == 3 && f.data == "three" })
		p.want("the end of 3", func(f frame) bool { return f.StreamID == 3 && f.end })
		_ = p.fr.WriteDataPadded(5, false, []byte("padded"), make([]byte, 200))
		p.want("padded", func(f frame) bool { return f.StreamID == 5 && f.data == "padded" })
		p.headers(5, true, "x-sum", "1", "authorization", "no trailer")
		p.wantHead(5, true, "x-sum: 1")

		p.open(7)
		p.window(0, 1<<24)
		p.window(7, 1<<24)
		for range 100 {
			piece := strings.Repeat("0123456789", 1600)
			p.data(7, false, piece)
			if body, ended := p.body(7, len(piece)); body != piece || ended {
				t.Fatalf("%d bytes came back, ended: %t, want %d", len(body), ended, len(piece))
			}
		}
		if given := p.windows[7]; given < 1_600_000-mux.MaxWindow || given > 1_600_000+mux.MaxWindow {
			t.Errorf("a stream that is read at once was given %d bytes for 1600000", given)
		}
		p.close()
		s.ended()
	})
}

// TestHeadsInPieces: a head may come in a few frames, and nothing else meanwhile.
func TestHeadsInPieces(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces int
		size   int
		code   http2.ErrCode
	}{
		{"two", 2, 10, http2.ErrCodeNo},
		{"as many as may be", mux.MaxPieces, 10, http2.ErrCodeNo},
		{"FL3: one more", mux.MaxPieces + 1, 10, http2.ErrCodeEnhanceYourCalm},
		{"FL3: of no bytes", 1000, 0, http2.ErrCodeEnhanceYourCalm},
		{"FL3: too many bytes", 10, 16000, http2.ErrCodeEnhanceYourCalm},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := asServer(t, one(t), config(echo))
			p.settings()
			block := p.block(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/1", "x", strings.Repeat("~", c.size*c.pieces)) // which no Huffman code makes shorter
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: block[:len(block)-c.size*(c.pieces-1)]})
			block = block[len(block)-c.size*(c.pieces-1):]
			for i := range c.pieces - 1 {
				_ = p.fr.WriteContinuation(1, i == c.pieces-2, block[:c.size])
				block = block[c.size:]
			}
			if c.code == http2.ErrCodeNo {
				p.wantHead(1, false, ":status: 200; x-path: /1")
				p.close()
			} else {
				p.wantGoAway(c.code)
			}
			s.ended()
		})
	}
}

// conversation is what a peer sends, and what it gets.
type conversation struct {
	name   string
	send   func(p *peer)
	reset  uint32 // the stream that is reset with the code, or 0: the connection ends with it
	code   http2.ErrCode
	silent bool // nothing comes of it
}

// check has each conversation on a connection of its own, with stream 1 served and unfinished, and stream 3 finished.
func check(t *testing.T, cases []conversation) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Helper()
			s, p := asServer(t, one(t), config(echo))
			p.settings()
			p.request(1, false)
			p.wantHead(1, false, ":status: 200; x-path: /1")
			p.request(3, true)
			p.wantHead(3, false, ":status: 200; x-path: /3")
			p.want("the end of 3", func(f frame) bool { return f.end })
			c.send(p)
			switch {
			case c.silent:
				p.quiet()
			case c.reset != 0:
				p.wantReset(c.reset, c.code)
			default:
				p.wantGoAway(c.code)
				s.ended()
				return
			}
			p.request(9, true)
			p.wantHead(9, false, ":status: 200; x-path: /9")
			p.close()
			s.ended()
		})
	}
}

// TestStreamNumbers: which frames may come for which stream. [RFC 9113 section 5.1]
func TestStreamNumbers(t *testing.T) {
	check(t, []conversation{
		{"HEADERS of an even stream", func(p *peer) { p.request(6, true) }, 0, http2.ErrCodeProtocol, false},
		{"HEADERS of stream 0", func(p *peer) { p.request(0, true) }, 0, http2.ErrCodeProtocol, false},
		{"HEADERS of one that has ended", func(p *peer) { p.request(3, true) }, 0, http2.ErrCodeStreamClosed, false},
		{"HEADERS of one that was passed over", func(p *peer) { p.request(9, true); p.request(7, true) }, 0, http2.ErrCodeStreamClosed, false},
		{"HEADERS again, without its end", func(p *peer) { p.request(1, false) }, 1, http2.ErrCodeProtocol, false},
		{"HEADERS of one that we have reset", func(p *peer) { p.window(1, 1<<31-1); p.wantReset(1, http2.ErrCodeFlowControl); p.headers(1, true) }, 0, 0, true},
		{"DATA of stream 0", func(p *peer) { p.data(0, false, "x") }, 0, http2.ErrCodeProtocol, false},
		{"DATA of one that nobody has opened", func(p *peer) { p.data(5, false, "x") }, 0, http2.ErrCodeProtocol, false},
		{"DATA of an even one", func(p *peer) { p.data(2, false, "x") }, 0, http2.ErrCodeProtocol, false},
		{"DATA of one that has ended", func(p *peer) { p.data(3, false, "long enough") }, 3, http2.ErrCodeStreamClosed, false},
		{"DATA of one that we have reset", func(p *peer) {
			p.window(1, 1<<31-1)
			p.wantReset(1, http2.ErrCodeFlowControl)
			p.data(1, true, "long enough")
		}, 0, 0, true},
		{"WINDOW_UPDATE of one that nobody has opened", func(p *peer) { p.window(5, 1) }, 0, http2.ErrCodeProtocol, false},
		{"WINDOW_UPDATE by nothing of one that nobody has opened", func(p *peer) { p.window(5, 0) }, 0, http2.ErrCodeProtocol, false},
		{"WINDOW_UPDATE of one that has ended", func(p *peer) { p.window(3, 1) }, 0, 0, true},
		{"WINDOW_UPDATE by nothing", func(p *peer) { p.window(1, 0) }, 1, http2.ErrCodeProtocol, false},
		{"WINDOW_UPDATE of the connection by nothing", func(p *peer) { p.window(0, 0) }, 0, http2.ErrCodeProtocol, false},
		{"WINDOW_UPDATE beyond the largest window", func(p *peer) { p.window(1, 1<<31-65535) }, 1, http2.ErrCodeFlowControl, false},
		{"WINDOW_UPDATE up to the largest window", func(p *peer) { p.window(1, 1<<31-1-65535) }, 0, 0, true},
		{"WINDOW_UPDATE of the connection beyond the largest", func(p *peer) { p.window(0, 1<<31-1) }, 0, http2.ErrCodeFlowControl, false},
		{"RST_STREAM of stream 0", func(p *peer) { p.reset(0, http2.ErrCodeCancel) }, 0, http2.ErrCodeProtocol, false},
		{"RST_STREAM of one that nobody has opened", func(p *peer) { p.reset(5, http2.ErrCodeCancel) }, 0, http2.ErrCodeProtocol, false},
		{"RST_STREAM of one that has ended", func(p *peer) { p.reset(3, http2.ErrCodeCancel) }, 0, 0, true},
		{"RST_STREAM of one twice", func(p *peer) { p.reset(1, http2.ErrCodeCancel); p.reset(1, http2.ErrCodeCancel) }, 0, 0, true},
		{"PRIORITY of one that nobody has opened", func(p *peer) { p.priority(99, http2.PriorityParam{StreamDep: 1}) }, 0, 0, true},
		{"PRIORITY of one on itself", func(p *peer) { p.priority(1, http2.PriorityParam{StreamDep: 1}) }, 1, http2.ErrCodeProtocol, false},
		{"PRIORITY of one that nobody has opened, on itself", func(p *peer) { p.priority(5, http2.PriorityParam{StreamDep: 5}) }, 0, http2.ErrCodeProtocol, false},
		{"PRIORITY of half the length", func(p *peer) { p.frame(http2.FramePriority, 1, "ab") }, 1, http2.ErrCodeFrameSize, false},
		{"PUSH_PROMISE", func(p *peer) { p.frame(http2.FramePushPromise, 1, "\x00\x00\x00\x02") }, 0, http2.ErrCodeProtocol, false},
		{"CONTINUATION of no block", func(p *peer) { _ = p.fr.WriteContinuation(1, true, nil) }, 0, http2.ErrCodeProtocol, false},
		{"a frame of a type that nobody knows", func(p *peer) { p.frame(99, 1, "what") }, 0, 0, true},
		{"GOAWAY, which a client may send", func(p *peer) { p.goAway(0, http2.ErrCodeNo) }, 0, 0, true},
		{"a frame larger than may be", func(p *peer) { p.frame(http2.FrameData, 1, strings.Repeat("x", 16385)) }, 0, http2.ErrCodeFrameSize, false},
		{"a header block that cannot be decoded", func(p *peer) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, EndStream: true, EndHeaders: true, BlockFragment: []byte("\x80")})
		}, 0, http2.ErrCodeCompression, false},
		{"HEADERS that depend on themselves", func(p *peer) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, EndStream: true, EndHeaders: true, BlockFragment: p.block("x", "y"), Priority: http2.PriorityParam{StreamDep: 5}})
		}, 5, http2.ErrCodeProtocol, false},
	})
}

// TestBodiesAndTheirEnds: what may come on a stream that is open, or is ended by the client.
func TestBodiesAndTheirEnds(t *testing.T) {
	ended := func(p *peer) { // whose answer waits for a window
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.open(5)
		p.data(5, true, "echoed")
		p.sync()
	}
	check(t, []conversation{
		{"DG4: more than content-length", func(p *peer) { p.open(5, "content-length", "3"); p.data(5, false, "four") }, 5, http2.ErrCodeProtocol, false},
		{"DG4: less than content-length", func(p *peer) { p.open(5, "content-length", "9"); p.data(5, true, "") }, 5, http2.ErrCodeProtocol, false},
		{"DG4: less than content-length, ended by trailers", func(p *peer) { p.open(5, "content-length", "9"); p.headers(5, true, "x", "y") }, 5, http2.ErrCodeProtocol, false},
		{"trailers that do not end the stream", func(p *peer) { p.headers(1, false, "x", "y") }, 1, http2.ErrCodeProtocol, false},
		{"DG6: trailers with a pseudo-field", func(p *peer) { p.headers(1, true, ":path", "/") }, 1, http2.ErrCodeProtocol, false},
		{"DG9: trailers that are too large", func(p *peer) { p.headers(1, true, "x", strings.Repeat("y", 10_000)) }, 1, http2.ErrCodeProtocol, false},
		{"DATA after the end", func(p *peer) { ended(p); p.data(5, false, "long enough") }, 5, http2.ErrCodeStreamClosed, false},
		{"DATA that ends again", func(p *peer) { ended(p); p.data(5, true, "") }, 5, http2.ErrCodeStreamClosed, false},
		{"HEADERS after the end", func(p *peer) { ended(p); p.headers(5, true, "x", "y") }, 5, http2.ErrCodeStreamClosed, false},
		{"padding as long as the frame", func(p *peer) {
			_ = p.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte("\x03abc"))
			p.sync()
		}, 0, 0, true},
		{"padding longer than the frame", func(p *peer) { _ = p.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte("\x04abc")) }, 0, http2.ErrCodeProtocol, false},
		{"padding without its length", func(p *peer) { _ = p.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, nil) }, 0, http2.ErrCodeProtocol, false},
	})
}

// open opens a stream, whose answer's head it passes over.
func (p *peer) open(id uint32, fields ...string) {
	p.t.Helper()
	p.request(id, false, fields...)
	p.wantHead(id, false, fmt.Sprint(":status: 200; x-path: /", id))
}

func TestBeginnings(t *testing.T) {
	for _, c := range []struct {
		name string
		sent string
		code http2.ErrCode
	}{
		{"HEADERS before SETTINGS", string(h2.AppendBlock(nil, 1, true, []byte("\x82"), 100)), http2.ErrCodeProtocol},
		{"an acknowledgement before SETTINGS", string(h2.AppendSettingsAck(nil)), http2.ErrCodeProtocol},
		{"DATA before SETTINGS", string(h2.AppendFrame(nil, h2.DataFrame, 0, 1, 0)), http2.ErrCodeProtocol},
		{"SETTINGS of a stream", string(h2.AppendFrame(nil, h2.SettingsFrame, 0, 1, 0)), http2.ErrCodeProtocol},
		{"SETTINGS that cannot be", string(h2.AppendSettings(nil, h2.Setting{ID: h2.SettingWindow, Value: 1 << 31})), http2.ErrCodeFlowControl},
		{"no SETTINGS at all", "GET / HTTP/1.1\r\n\r\n", http2.ErrCodeFrameSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := asServer(t, one(t), config(echo))
			p.raw(c.sent)
			p.wantGoAway(c.code)
			s.ended()
		})
	}
}

// held serves streams that wait, each for its test, and tells what has ended the wait.
type held struct {
	streams chan *mux.Stream
	errs    chan error
}

func newHeld() *held {
	return &held{streams: make(chan *mux.Stream, 1000), errs: make(chan error, 1000)}
}

// serve waits for the whole body.
func (h *held) serve(st *mux.Stream) {
	h.streams <- st
	for {
		if err := st.Fill(); err != nil {
			h.errs <- err
			break
		}
	}
	st.Finish(h2.Cancel)
}

// got is what has ended a wait.
func got(t *testing.T, errs chan error) error {
	t.Helper()
	select {
	case err := <-errs:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the fiber still waits")
		return nil
	}
}

// TestRefusedStreams: what is beyond the number is refused, and a stream that is reset keeps its place until its fiber has ended.
func TestRefusedStreams(t *testing.T) {
	h := newHeld()
	cfg := config(nil)
	release := make(chan *fiber.Wait, 10)
	cfg.Streams, cfg.Serve = 2, func(st *mux.Stream) {
		_ = st.Fill()
		w := st.Conn().Socket().Loop().NewWait() // its work is not over
		release <- w
		h.errs <- w.Until(0, nil)
		st.Finish(h2.Cancel)
	}
	s, p := asServer(t, one(t), cfg)
	p.settings()
	p.request(1, false)
	p.request(3, false)
	p.request(5, true)
	p.wantReset(5, http2.ErrCodeRefusedStream)
	p.reset(1, http2.ErrCodeCancel)
	p.request(7, true)
	p.wantReset(7, http2.ErrCodeRefusedStream)
	if n := look(s, func() int { return s.owner.events[stats.StreamRefused] }); n != 2 {
		t.Errorf("%d streams are counted as refused, want 2", n)
	}
	(<-release).Tell()
	if err := got(t, h.errs); err != nil {
		t.Fatal(err)
	}
	s.eventually("end of the first", func() bool { return s.c.Active() == 1 })
	p.request(9, false)
	p.quiet()
	if n := look(s, s.c.Active); n != 2 {
		t.Errorf("%d streams are active, want 2", n)
	}
	p.close()
	(<-release).Tell()
	(<-release).Tell()
	s.ended()
}

// TestTrailersAfterTheReset: what a client sends of a request that was answered before its end is passed over, but not what no request may have.
func TestTrailersAfterTheReset(t *testing.T) {
	s, p := asServer(t, one(t), config(func(st *mux.Stream) {
		_ = respond(st, "early")
		st.Finish(h2.NoError)
	}))
	p.settings()
	for id := range uint32(3) {
		p.request(2*id+1, false)
		p.wantHead(2*id+1, false, ":status: 200; content-length: 5")
		p.body(2*id+1, len("early"))
		p.wantReset(2*id+1, http2.ErrCodeNo)
	}
	p.data(1, false, "on its way")
	p.headers(1, true, "x", "y")
	p.quiet()
	p.headers(3, false, "x", "y")
	p.wantReset(3, http2.ErrCodeProtocol)
	p.headers(5, true, "x", "y") // the tables are still equal
	p.quiet()
	p.close()
	s.ended()
}

// TestResetsWakeWhoWaits: whatever the fiber waits for, it hears of the reset, and of the connection's end.
func TestResetsWakeWhoWaits(t *testing.T) {
	large := make([]byte, 1<<20)
	for _, c := range []struct {
		name  string
		serve func(st *mux.Stream) error
		end   bool // the request has ended
	}{
		{"the body, by Next", func(st *mux.Stream) error { return st.Next() }, false},
		{"the body, by Fill", func(st *mux.Stream) error { return st.Fill() }, false},
		{"the body or a nudge", func(st *mux.Stream) error { never := false; return st.NextOr(&never) }, false},
		{"room to send", func(st *mux.Stream) error {
			_ = st.PrintResponse(&msg.ResponseHead{Status: 200, Length: msg.Chunked})
			_, err := st.Send(true, [][]byte{large}, len(large), true, nil)
			return err
		}, true},
		{"room to send, with the request unfinished", func(st *mux.Stream) error {
			_ = st.PrintResponse(&msg.ResponseHead{Status: 200, Length: msg.Chunked})
			_, err := st.Send(true, [][]byte{large}, len(large), false, nil)
			return err
		}, false},
		{"something else, as its client", func(st *mux.Stream) error { return st.Conn().Socket().Loop().NewWait().Until(0, st) }, true},
		{"something else, as its client, until a reset", func(st *mux.Stream) error { return st.Conn().Socket().Loop().NewWait().UntilReset(0, st) }, false},
	} {
		for _, end := range []struct {
			name string
			of   func(s *side, p *peer)
			is   func(error) bool
		}{
			{"reset", func(_ *side, p *peer) { p.reset(1, http2.ErrCodeCancel) }, func(err error) bool {
				var re *mux.ResetError
				return errors.As(err, &re) && re.Code == h2.Cancel
			}},
			{"a violation of the stream", func(_ *side, p *peer) { p.window(1, 0) }, isViolation},
			{"a violation of the connection", func(_ *side, p *peer) { p.window(0, 0) }, isViolation},
			{"the client's end", func(_ *side, p *peer) { _ = p.conn.(*net.TCPConn).CloseWrite() }, func(err error) bool { return errors.Is(err, mux.ErrGone) }},
			{"a reset of the connection", func(_ *side, p *peer) { _ = p.conn.(*net.TCPConn).SetLinger(0); p.close() }, func(err error) bool { return err != nil }},
			{"our end of the connection", func(s *side, _ *peer) { s.on(s.c.Close) }, func(err error) bool { return errors.Is(err, mux.ErrGone) }},
			{"an interrupt", func(s *side, _ *peer) { s.on(func() { s.c.Socket().Interrupt(os.ErrClosed) }) }, func(err error) bool { return errors.Is(err, os.ErrClosed) }},
		} {
			t.Run(c.name+", "+end.name, func(t *testing.T) {
				errs := make(chan error, 1)
				s, p := asServer(t, one(t), config(func(st *mux.Stream) {
					errs <- c.serve(st)
					st.Finish(h2.InternalError)
				}))
				p.settings()
				p.request(1, c.end)
				p.sync()
				end.of(s, p)
				if err := got(t, errs); !end.is(err) {
					t.Errorf("the wait has ended with %v", err)
				}
				p.close()
				s.ended()
			})
		}
	}
}

func isViolation(err error) bool {
	var e *h2.Error
	return errors.As(err, &e)
}

// TestResetInEveryState: a stream that is reset at any point is over, its window is given back, and others go on.
func TestResetInEveryState(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		s, p := asServer(t, l, config(echo))
		p.settings()
		id := uint32(1)
		for _, upTo := range []func(){
			func() { p.request(id, false) },
			func() { p.request(id, true) },
			func() { p.request(id, false); p.sync() },
			func() { p.request(id, true); p.sync() },
			func() { p.request(id, false); p.data(id, false, "some") },
			func() { p.request(id, false); p.data(id, false, "some"); p.sync() },
			func() { p.request(id, false); p.data(id, true, "all") },
			func() { p.request(id, false); p.data(id, true, "all"); p.sync() },
			func() { p.request(id, false); p.headers(id, true, "x", "y") },
			func() {
				p.request(id, false)
				p.raw("\x00\x00\x08\x00\x00\x00\x00\x00" + string(rune(id)) + "12345678")
			},
			func() {
				p.request(id, false)
				p.data(id, false, strings.Repeat("x", 16384))
				p.data(id, false, strings.Repeat("x", 16384))
			},
			func() { p.request(id, true); p.reset(id, http2.ErrCodeNo) },
		} {
			upTo()
			p.reset(id, http2.ErrCodeCancel)
			p.sync()
			p.kept = nil
			id += 2
		}
		s.eventually("end of all streams", func() bool { return s.c.Active() == 0 && s.c.Listed() == 0 })
		s.atRest()
		p.request(id, true)
		p.wantHead(id, false, fmt.Sprint(":status: 200; x-path: /", id))
		p.close()
		s.ended()
	})
}

// TestFinishInEveryState: what our end of a stream tells the peer.
func TestFinishInEveryState(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   bool // the request has ended
		serve func(st *mux.Stream)
		head  string // that comes before
		code  http2.ErrCode
		reset bool
	}{
		{"nothing was sent", true, func(*mux.Stream) {}, "", http2.ErrCodeInternal, true},
		{"nothing was sent, nor all received", false, func(*mux.Stream) {}, "", http2.ErrCodeInternal, true},
		{"a head was sent", true, func(st *mux.Stream) {
			_ = st.PrintResponse(&msg.ResponseHead{Status: 200, Length: 5})
			_, _ = st.Send(true, nil, 0, false, nil)
		}, ":status: 200; content-length: 5", http2.ErrCodeInternal, true},
		{"all was sent, not all received", false, func(st *mux.Stream) { _ = respond(st, ""); st.Finish(h2.NoError) }, ":status: 200; content-length: 0", http2.ErrCodeNo, true},
		{"all was sent and received", true, func(st *mux.Stream) { _ = respond(st, ""); st.Finish(h2.NoError); st.Finish(h2.Cancel) }, ":status: 200; content-length: 0", 0, false},
		{"it has a code of its own", true, func(st *mux.Stream) { st.Finish(h2.Cancel) }, "", http2.ErrCodeCancel, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := asServer(t, one(t), config(c.serve))
			p.settings()
			p.request(1, c.end)
			if !c.end {
				p.data(1, false, "some of it")
			}
			if c.head != "" {
				p.want(c.head, func(f frame) bool { return f.Type == http2.FrameHeaders && f.fields == c.head })
			}
			if c.reset {
				p.wantReset(1, c.code)
			}
			p.quiet()
			s.on(func() {
				if s.c.Active() != 0 || s.c.Listed() != 0 {
					t.Errorf("%d streams are active, %d listed, want none", s.c.Active(), s.c.Listed())
				}
			})
			s.atRest()
			p.close()
			s.ended()
		})
	}
}

// TestPanicOfAStream ends that stream alone.
func TestPanicOfAStream(t *testing.T) {
	l, _, err := fiber.Start(0, fiber.Config{Driver: "auto", Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	s, p := asServer(t, l, config(func(st *mux.Stream) {
		var r msg.Request
		if _, _ = st.Request(&r, nil); string(r.Path) == "/1" {
			panic("on purpose")
		}
		_ = respond(st, "")
	}))
	p.settings()
	p.request(1, false)
	p.wantReset(1, http2.ErrCodeInternal)
	p.request(3, true)
	p.wantHead(3, true, ":status: 200; content-length: 0")
	p.close()
	s.eventually("end", func() bool { return l.Counters().Active == 0 && l.Counters().Conns == 0 && s.c.Active() == 0 })
}
