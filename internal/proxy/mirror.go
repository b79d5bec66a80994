package proxy

import (
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/msg"
	"poise/internal/route"
	"poise/internal/stats"
)

// A copy of a request is served as the request is, in a fiber and memory of its own, and for a client that is nobody: the request never waits for it.

// copyTo makes a copy of the request whose head was printed last, and was sent. Where the rest of its body is still to come, the copy begins once it has.
func (e *serving) copyTo(m *route.Mirror) {
	s := e.s
	body := e.whole()
	switch {
	case max(s.ask.Length, int64(len(body))) > int64(m.MaxBody):
		e.p.stats.Mirrored(m.Route.ID, stats.CopyTooLarge)
		return
	case !m.Enter():
		e.p.stats.Mirrored(m.Route.ID, stats.CopyRefused)
		return
	}
	t := e.p.takeScratch()
	c := &t.e
	c.p, c.l, c.c, c.s, c.mirrors = e.p, e.l, nobody{}, t, m
	t.ask = s.ask.Clone()
	t.in = append(t.in[:0], body...)
	t.req = msg.Request{Method: t.ask.Method, Fields: t.ask.Fields, Version: msg.HTTP11, KeepAlive: true}
	t.x.BeginCopy(e.now(), &s.x, &t.req, m)
	e.copy = c
	if !e.streams() {
		e.sendCopy()
	}
}

// addToCopy takes a piece of the body, which was found last.
func (e *serving) addToCopy(b *source) {
	c := e.copy
	if c == nil {
		return
	}
	if len(c.s.in)+b.size > c.mirrors.MaxBody {
		e.endCopy(stats.CopyTooLarge)
		return
	}
	for _, span := range b.spans[:b.n] {
		c.s.in = append(c.s.in, span...)
	}
}

// sendCopy lets the copy go, which is whole.
func (e *serving) sendCopy() {
	c := e.copy
	if c == nil {
		return
	}
	e.copy = nil
	t := c.s
	if len(t.in) > 0 || t.ask.Length != 0 {
		// What its body was announced by is of a body that came in pieces.
		t.ask.Length, t.ask.HasLength = int64(len(t.in)), true
		t.ask.Fields = withoutAnnouncement(t.ask.Fields)
	}
	c.body, t.upload.body = bodyWhole, t.in
	c.p.loop.Go(c.serveCopy)
}

func withoutAnnouncement(fields msg.Fields) msg.Fields {
	kept := fields[:0]
	for _, f := range fields {
		if f.ID != msg.Expect && f.ID != msg.Trailer {
			kept = append(kept, f)
		}
	}
	return kept
}

// dropCopy gives a copy up whose body has not come.
func (e *serving) dropCopy() {
	if e.copy != nil {
		e.endCopy(stats.CopyFailed)
	}
}

func (e *serving) endCopy(how stats.CopyEnd) {
	c := e.copy
	e.copy = nil
	c.countCopy(how)
	c.release()
}

// serveCopy is the copy's fiber.
func (e *serving) serveCopy() {
	defer e.unwind()
	e.busy = true
	e.p.loop.StandBack()
	e.s.x.Times.Head = e.now()
	e.limitTime()
	e.carryOut(e.s.x.StartCopy(e.now()))
	e.release()
}

// reportCopy counts a copy that has ended: it has no client, and so no record.
func (e *serving) reportCopy() {
	x, how := &e.s.x, stats.CopyAnswered
	if x.Own || x.Cut {
		how = stats.CopyFailed
	}
	e.countFor(x.Route.Pool)
	e.countCopy(how)
}

func (e *serving) countCopy(how stats.CopyEnd) {
	e.p.stats.Mirrored(e.mirrors.Route.ID, how)
	e.mirrors.Leave()
}

// nobody is the client of a copy. It never leaves, says nothing, and takes all.
type nobody struct{}

func (nobody) Guard(fiber.Guarded)           {}
func (nobody) Broken() error                 { return nil }
func (nobody) Left(error)                    {}
func (nobody) Interrupt(error)               {}
func (nobody) Buffered() []byte              { return nil }
func (nobody) Unread() int                   { return 0 }
func (nobody) Discard(int)                   {}
func (nobody) Next() error                   { return fiber.ErrStopped }
func (nobody) ReadBy(clock.Instant)          {}
func (nobody) Receive(fiber.Intake)          {}
func (nobody) body(src *source, _ int64)     { src.reset(0) }
func (nobody) WriteBy(clock.Instant)         {}
func (nobody) StallAfter(time.Duration)      {}
func (nobody) begin(bool)                    {}
func (nobody) send(*piece) (int, error)      { return 0, nil }
func (nobody) CloseWrite() error             { return nil }
func (nobody) socket() *fiber.Conn           { return nil }
func (nobody) Listen()                       {}
func (nobody) print(*msg.ResponseHead) error { return nil }
func (nobody) over(outcome) bool             { return false }
func (nobody) detach() client                { return nobody{} }
