package mux_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
)

const asked = ":method: GET; :scheme: http; :authority: a; :path: /"

// open opens streams that were not sent yet.
func (s *side) open(n int) (all []*mux.Stream) {
	s.t.Helper()
	s.on(func() {
		for range n {
			all = append(all, s.c.Open())
		}
	})
	return all
}

// settled has the server's first SETTINGS known.
func settled(t testing.TB, l *fiber.Loop, settings ...http2.Setting) (*side, *peer) {
	t.Helper()
	s, p := asClient(t, l, config(nil))
	p.settings(settings...)
	p.sync()
	return s, p
}

// exchange asks, and tells the answer: statuses and body, or the error.
func exchange(st *mux.Stream) (answers []string, err error) {
	defer st.Finish(h2.Cancel)
	if err = ask(st, true); err != nil {
		return nil, err
	}
	var r msg.Response
	var mem []byte
	for r.Status < 200 {
		if mem, err = st.Answer(&r, mem[:0]); err != nil {
			return answers, err
		}
		text := string(rune('0'+r.Status/100)) + string(rune('0'+r.Status/10%10)) + string(rune('0'+r.Status%10))
		for _, f := range r.Fields {
			text += " " + string(f.Name) + ": " + string(f.Value)
		}
		answers = append(answers, text)
	}
	body, err := readAll(st)
	if err == nil && body != "" {
		answers = append(answers, body)
	}
	for _, f := range st.Trailers() {
		answers = append(answers, string(f.Name)+": "+string(f.Value))
	}
	return answers, err
}

// asking runs an exchange in a fiber; its end comes by the channels.
func (s *side) asking(st *mux.Stream) (chan string, chan error) {
	texts, errs := make(chan string, 1), make(chan error, 1)
	s.fiber(func() {
		answers, err := exchange(st)
		texts <- strings.Join(answers, " | ")
		errs <- err
	})
	return texts, errs
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(p *peer)
		want string
		is   func(error) bool // nil: there is none
		over bool             // the connection is over
	}{
		{"a head alone", func(p *peer) { p.answer(1, true, "204") }, "204", nil, false},
		{"with a body", func(p *peer) { p.answer(1, false, "200"); p.data(1, false, "bo"); p.data(1, true, "dy") }, "200 | body", nil, false},
		{"with a padded body", func(p *peer) {
			p.answer(1, false, "200")
			_ = p.fr.WriteDataPadded(1, true, []byte("body"), make([]byte, 255))
		}, "200 | body", nil, false},
		{"with trailers", func(p *peer) {
			p.answer(1, false, "200")
			p.data(1, false, "body")
			p.headers(1, true, "grpc-status", "0", "cookie", "no")
		}, "200 | body | grpc-status: 0", nil, false},
		{"trailers alone", func(p *peer) { p.answer(1, false, "200"); p.headers(1, true, "grpc-status", "0") }, "200 | grpc-status: 0", nil, false},
		{"1xx before it", func(p *peer) {
			p.answer(1, false, "100")
			p.answer(1, false, "103", "link", "x")
			p.answer(1, true, "200")
		}, "100 | 103 link: x | 200", nil, false},
		{"many 1xx, read as they come", func(p *peer) {
			for range 100 {
				p.answer(1, false, "103")
				p.sync()
			}
			p.answer(1, true, "200")
		}, strings.Repeat("103 | ", 100) + "200", nil, false},
		{"1xx that ends the stream", func(p *peer) { p.answer(1, true, "100") }, "", isViolation, false},
		{"101", func(p *peer) { p.answer(1, false, "101") }, "", isViolation, false},
		{"1xx after it", func(p *peer) { p.answer(1, false, "200"); p.answer(1, false, "100") }, "200", isViolation, false},
		{"malformed", func(p *peer) { p.answer(1, true, "200", "X", "y") }, "", isViolation, false},
		{"no status", func(p *peer) { p.headers(1, true, "x", "y") }, "", isViolation, false},
		{"DATA before it", func(p *peer) { p.data(1, true, "body") }, "", isViolation, false},
		{"DATA after 1xx alone", func(p *peer) { p.answer(1, false, "100"); p.data(1, true, "body") }, "100", isViolation, false},
		{"RS3: a body shorter than its content-length", func(p *peer) { p.answer(1, false, "200", "content-length", "9"); p.data(1, true, "body") }, "200 content-length: 9", isViolation, false},
		{"a body longer than its content-length", func(p *peer) { p.answer(1, false, "200", "content-length", "3"); p.data(1, true, "body") }, "200 content-length: 3", isViolation, false},
		{"a body of 204", func(p *peer) { p.answer(1, false, "204"); p.data(1, true, "body") }, "204", isViolation, false},
		{"trailers that do not end it", func(p *peer) { p.answer(1, false, "200"); p.headers(1, false, "x", "y") }, "200", isViolation, false},
		{"reset", func(p *peer) { p.reset(1, http2.ErrCodeInternal) }, "", isReset(h2.InternalError), false},
		{"reset after the head", func(p *peer) { p.answer(1, false, "200"); p.sync(); p.reset(1, http2.ErrCodeNo) }, "200", isReset(h2.NoError), false},
		{"refused", func(p *peer) { p.reset(1, http2.ErrCodeRefusedStream) }, "", isRefused, false},
		{"GOAWAY that leaves it out", func(p *peer) { p.goAway(0, http2.ErrCodeNo) }, "", isRefused, true},
		{"GOAWAY that counts it", func(p *peer) { p.goAway(1, http2.ErrCodeNo); p.answer(1, true, "200") }, "200", nil, true},
		{"GOAWAY that counts it, and the end", func(p *peer) { p.goAway(1, http2.ErrCodeNo); p.close() }, "", func(err error) bool { return err != nil && !isRefused(err) }, true},
		{"the end", func(p *peer) { p.close() }, "", func(err error) bool { return errors.Is(err, mux.ErrGone) }, true},
		{"PUSH_PROMISE", func(p *peer) { p.frame(http2.FramePushPromise, 1, "\x00\x00\x00\x02\x88") }, "", isViolation, true},
		{"HEADERS of a stream that nobody has opened", func(p *peer) { p.answer(3, true, "200") }, "", isViolation, true},
		{"HEADERS of an even stream", func(p *peer) { p.answer(2, true, "200") }, "", isViolation, true},
		{"HEADERS of a stream that nobody has opened, on itself", func(p *peer) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 99, EndHeaders: true, BlockFragment: p.block(":status", "200"), Priority: http2.PriorityParam{StreamDep: 99}})
		}, "", isViolation, true},
		{"FL10: 1xx without end", func(p *peer) {
			var b []byte
			for range mux.MaxAnswers + 1 {
				b = h2.AppendBlock(b, 1, false, []byte("\x08\x03103"), 100)
			}
			p.raw(string(b))
		}, "103", isViolation, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := settled(t, one(t))
			texts, errs := s.asking(s.open(1)[0])
			p.wantHead(1, true, asked)
			c.send(p)
			text, err := <-texts, got(t, errs)
			if !strings.HasPrefix(text, c.want) || (c.is == nil && (err != nil || text != c.want)) || (c.is != nil && !c.is(err)) {
				t.Errorf("got %s, %v, want %s", text, err, c.want)
			}
			if over := look(s, s.c.Over); over != c.over {
				t.Errorf("Over() = %t, want %t", over, c.over)
			}
			if !c.over {
				texts, errs = s.asking(s.open(1)[0])
				for f := p.want("the next request", func(f frame) bool { return true }); f.Type != http2.FrameHeaders; f = p.want("the next request", func(f frame) bool { return true }) {
				}
				p.answer(3, true, "299")
				if text, err := <-texts, got(t, errs); text != "299" || err != nil {
					t.Errorf("the next answer is %s, %v, want 299", text, err)
				}
			}
			p.close()
			s.ended()
		})
	}
}

func isRefused(err error) bool { return errors.Is(err, mux.ErrRefused) }

func isReset(code h2.Code) func(error) bool {
	return func(err error) bool {
		var re *mux.ResetError
		return errors.As(err, &re) && re.Code == code
	}
}

// TestResetAfterTheAnswer: a server that has answered takes no more of the request, and the answer stays whole.
func TestResetAfterTheAnswer(t *testing.T) {
	s, p := settled(t, one(t))
	st := s.open(1)[0]
	sent, body := make(chan error, 1), make(chan string, 1)
	large := make([]byte, 1<<20)
	s.fiber(func() {
		_ = ask(st, false)
		_, err := st.Send(false, [][]byte{large}, len(large), true, nil)
		sent <- err
		var r msg.Response
		_, err = st.Answer(&r, nil)
		text, _ := readAll(st)
		if err != nil {
			text = err.Error()
		}
		body <- text
		st.Finish(h2.NoError)
	})
	p.wantHead(1, false, asked)
	p.answer(1, false, "413")
	p.data(1, true, "too much")
	p.reset(1, http2.ErrCodeNo)
	if err := got(t, sent); !isReset(h2.NoError)(err) {
		t.Errorf("Send = %v, want a reset", err)
	}
	if text := <-body; text != "too much" {
		t.Errorf("the answer is %q, want too much", text)
	}
	p.close()
	s.ended()
}

// TestRoom: how many streams can be opened follows the server's settings.
func TestRoom(t *testing.T) {
	s, p := asClient(t, one(t), config(nil))
	room := func(want int) {
		t.Helper()
		if got := look(s, s.c.Room); got != want {
			t.Errorf("Room() = %d, want %d", got, want)
		}
	}
	room(1)
	all := s.open(1)
	room(0)
	p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 3})
	p.sync()
	room(2)
	if got := look(s, func() int { return s.owner.room }); got != 2 { // who waits for a stream is told
		t.Errorf("with the first SETTINGS, room for %d was told, want 2", got)
	}
	all = append(all, s.open(2)...)
	room(0)
	p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
	p.sync()
	room(0)
	s.on(func() { all[0].Finish(h2.Cancel) })
	room(0)
	p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1<<32 - 1})
	p.sync()
	room(1<<32 - 1 - 2)
	p.goAway(1<<31-1, http2.ErrCodeNo)
	p.sync()
	room(0)
	s.on(func() { all[1].Finish(h2.Cancel); all[2].Finish(h2.Cancel) })
	p.wantEnd()
	s.ended()
}

// TestCalm: a server that refuses a stream for the load gets fewer at once from then on, so that others go over another connection.
func TestCalm(t *testing.T) {
	s, p := settled(t, one(t), http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 10})
	all := s.open(4)
	texts, _ := s.asking(all[0])
	p.wantHead(1, true, asked)
	_, errs := s.asking(all[1])
	p.wantHead(3, true, asked)
	if got := look(s, s.c.Room); got != 6 {
		t.Errorf("Room() = %d, want 6", got)
	}
	p.reset(3, http2.ErrCodeEnhanceYourCalm)
	if err := got(t, errs); !isReset(h2.EnhanceYourCalm)(err) || isRefused(err) { // which does not say that nothing was done
		t.Errorf("the stream ended by %v", err)
	}
	s.on(func() { all[1].Finish(h2.Cancel) })
	if got := look(s, s.c.Room); got != 0 {
		t.Errorf("Room() = %d with three streams, want none for a fourth", got)
	}
	s.on(func() { all[2].Finish(h2.Cancel); all[3].Finish(h2.Cancel) })
	p.answer(1, true, "200")
	if text := <-texts; text != "200" {
		t.Errorf("the other stream got %s, want 200", text)
	}
	if got := look(s, s.c.Room); got != 3 {
		t.Errorf("Room() = %d, want 3", got)
	}
	p.close()
	s.ended()
}

// TestOpenedButNotSent: a stream that has not been sent when the connection takes no more is refused at once, since nobody would ever answer it.
func TestOpenedButNotSent(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *side, p *peer)
	}{
		{"GOAWAY", func(_ *side, p *peer) { p.goAway(1, http2.ErrCodeNo) }},
		{"the server's end", func(_ *side, p *peer) { _ = p.conn.(*net.TCPConn).CloseWrite() }},
		{"a violation", func(_ *side, p *peer) { p.window(0, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := settled(t, one(t))
			all := s.open(2)
			_, errs := s.asking(all[0])
			p.wantHead(1, true, asked)
			c.end(s, p)
			s.eventually("knowledge of it", s.c.Over)
			_, late := s.asking(all[1])
			if err := got(t, late); !isRefused(err) {
				t.Errorf("asking = %v, want %v", err, mux.ErrRefused)
			}
			p.close()
			if err := got(t, errs); err == nil {
				t.Error("the stream that was sent has ended in good order")
			}
			s.ended()
		})
	}
}

// TestRetireWithOneToCome: a stream that has been opened when the connection is retired is still sent.
func TestRetireWithOneToCome(t *testing.T) {
	s, p := settled(t, one(t))
	st := s.open(1)[0]
	s.on(s.c.Retire)
	texts, errs := s.asking(st)
	p.want("GOAWAY", func(f frame) bool { return f.Type == http2.FrameGoAway })
	p.wantHead(1, true, asked)
	p.answer(1, true, "200")
	if text, err := <-texts, got(t, errs); text != "200" || err != nil {
		t.Errorf("got %s, %v, want 200", text, err)
	}
	p.wantEnd()
	s.ended()
}

// TestTableThatShrinks: the first block after the server's table has become smaller says so, whichever stream's that is. [RFC 7541 section 4.2]
func TestTableThatShrinks(t *testing.T) {
	s, p := settled(t, one(t))
	p.dec = nil // blocks are looked at as they are
	all := s.open(3)
	head := func(st *mux.Stream) {
		_ = st.PrintRequest(&msg.RequestHead{Method: []byte("GET"), Path: []byte("/"), Authority: []byte("a")})
	}
	s.on(func() { head(all[0]) }) // printed before
	p.settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	_ = p.fr.WriteSettingsAck()
	p.sync()
	s.on(func() { head(all[1]) })
	s.on(func() { all[1].Finish(h2.Cancel) }) // printed, and never sent
	first := func() byte {
		for {
			f, err := p.fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if h, ok := f.(*http2.HeadersFrame); ok {
				return h.HeaderBlockFragment()[0]
			}
		}
	}
	send := func(st *mux.Stream) {
		s.fiber(func() { _, _ = st.Send(true, nil, 0, true, nil) })
	}
	send(all[0])
	if got := first(); got != 0x20 {
		t.Errorf("the first block begins with %#x, want 0x20: a table of 0", got)
	}
	s.on(func() { head(all[2]) })
	send(all[2])
	if got := first(); got == 0x20 {
		t.Error("the second block says it again")
	}
	p.close()
	s.on(func() { all[0].Finish(h2.Cancel); all[2].Finish(h2.Cancel) })
	s.ended()
}

// TestManyStreamsAreTakenBack: what the server has sent before it heard of it is no violation, however many streams it was for.
func TestManyStreamsAreTakenBack(t *testing.T) {
	const streams, frames = 100, 12
	s, p := settled(t, one(t))
	all := s.open(streams)
	for _, st := range all {
		s.fiber(func() { _ = ask(st, true) })
	}
	for range all {
		p.want("a request", func(f frame) bool { return f.Type == http2.FrameHeaders })
	}
	for i := range all {
		p.answer(uint32(2*i+1), false, "200")
	}
	p.sync()
	s.on(func() {
		for _, st := range all {
			st.Finish(h2.Cancel)
		}
	})
	for range frames { // a message of gRPC on each in turn
		for i := range all {
			p.data(uint32(2*i+1), false, "message")
		}
	}
	for range all {
		p.want("RST_STREAM", func(f frame) bool { return f.Type == http2.FrameRSTStream && f.code == http2.ErrCodeCancel })
	}
	p.quiet()
	if err := look(s, s.c.Err); err != nil {
		t.Errorf("the connection has ended: %v", err)
	}
	p.close()
	s.ended()
}

// TestRetire: a connection that takes no more streams ends with the last.
func TestRetire(t *testing.T) {
	s, p := settled(t, one(t))
	texts, errs := s.asking(s.open(1)[0])
	p.wantHead(1, true, asked)
	s.on(s.c.Retire)
	p.want("GOAWAY", func(f frame) bool { return f.Type == http2.FrameGoAway && f.code == http2.ErrCodeNo })
	p.answer(1, false, "200")
	p.data(1, true, "late")
	if text, err := <-texts, got(t, errs); text != "200 | late" || err != nil {
		t.Errorf("got %s, %v, want 200 | late", text, err)
	}
	p.wantEnd()
	s.ended()

	s, p = settled(t, one(t))
	s.on(s.c.Retire)
	p.wantGoAway(http2.ErrCodeNo)
	s.ended()
}

// TestBytesBeforeTheReset: bytes that came before a reset are still there to read.
func TestBytesBeforeTheReset(t *testing.T) {
	s, p := settled(t, one(t))
	st := s.open(1)[0]
	texts, errs := make(chan string, 1), make(chan error, 1)
	wait := make(chan *fiber.Wait, 1)
	s.fiber(func() {
		_ = ask(st, true)
		var r msg.Response
		_, err := st.Answer(&r, nil)
		w := s.l.NewWait()
		wait <- w
		_ = w.Until(0, nil)
		text := ""
		if err == nil {
			text, err = readAll(st)
		}
		texts <- text
		errs <- err
		st.Finish(h2.Cancel)
	})
	p.wantHead(1, true, asked)
	p.answer(1, false, "200")
	p.data(1, false, "half")
	p.reset(1, http2.ErrCodeInternal)
	p.sync()
	(<-wait).Tell()
	if text, err := <-texts, got(t, errs); text != "half" || !isReset(h2.InternalError)(err) || err == io.EOF {
		t.Errorf("got %q, %v, want half, and the reset", text, err)
	}
	p.close()
	s.ended()
}
