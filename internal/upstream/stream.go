package upstream

import (
	"errors"
	"os"
	"slices"
	"time"

	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/mux"
	"poise/internal/pool"
	"poise/internal/stats"
)

// link is a connection of HTTP/2 to a server. Many exchanges have streams on it at once.
type link struct {
	*mux.Conn
	owner  *Loop
	server *server
	used   bool // a stream has ended in good order
	since  clock.Instant
	of     *pool.Server
	base   Speech
}

// Stream is a request's way to a server and back.
type Stream struct {
	*mux.Stream
	// Reused tells whether the connection had served an exchange before.
	Reused bool
	link   *link
}

// Multiplex says how connections of HTTP/2 are used. It comes before the first.
func (l *Loop) Multiplex(cfg mux.Config) { l.links = cfg }

// link makes a connection of HTTP/2 of one that was dialled.
func (l *Loop) link(s *server, of *pool.Server, base Speech, fc *fiber.Conn) *link {
	k := &link{owner: l, server: s, of: of, base: base}
	s.links = append(s.links, k)
	k.Conn = mux.New(fc, &l.links, &l.mux, k, true)
	return k
}

func (k *link) open(reused bool) *Stream { return &Stream{Stream: k.Open(), Reused: reused, link: k} }

// Freed is mux.Owner's: who waits can have a stream now, or must look for another connection.
func (k *link) Freed(*mux.Conn) {
	s := k.server
	if k.Over() {
		if i := slices.Index(s.links, k); i >= 0 {
			s.links = slices.Delete(s.links, i, i+1)
		}
		s.tell(nil)
		return
	}
	if k.Settled() && k.Active() == 0 && k.Room() == 0 { // the server takes no streams: kept, it and its like would only grow in number
		k.Retire()
		return
	}
	for n := k.Room(); n > 0 && len(s.waiting) > 0; n-- {
		s.waiting[0].wait.Tell()
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
}

// Count is mux.Owner's.
func (k *link) Count(e stats.StreamEvent) { k.owner.stats.ServerStream(k.of.ID, e) }

// waiter waits for a stream.
type waiter struct {
	wait *fiber.Wait
	f    *fault.Error // why there will be none
}

// tell has all that wait look again, or fail with f.
func (s *server) tell(f *fault.Error) {
	for _, w := range s.waiting {
		w.f = f
		w.wait.Tell()
	}
	s.waiting = nil
}

var errNoUpgrade = errors.New("the server takes no upgrades over HTTP/2")

var errNoStream = errors.New("all streams to the server were taken, and none ended in time")

// stream opens a stream on a connection that has room, or dials. While one connection is being made, others wait for it, so that many requests at once do
// not make many connections.
func (l *Loop) stream(s *server, w *Want) (Lent, *fault.Error) {
	for {
		if s.http == HTTP1 { // as it turned out meanwhile
			return l.Get(w)
		}
		fresh := false // a connection will have room by itself
		for _, k := range s.links {
			switch {
			case w.MaxAge > 0 && k.Active() == 0 && k.used && l.loop.Now().Sub(k.since) >= w.MaxAge:
				continue
			case w.Upgrade && !k.Settled():
			case w.Upgrade && !k.Connects():
				k.Freed(nil) // others may have its room
				return Lent{}, &fault.Error{Side: fault.Client, Op: fault.WriteHead, Status: 501, Safe: true, Err: errNoUpgrade}
			case k.Room() > 0:
				l.stats.ServerReused(w.Server.ID)
				return Lent{Stream: k.open(k.used)}, nil
			}
			fresh = fresh || !k.Settled()
		}
		if !fresh && !s.dialing && w.Server.Opens() {
			lent, f := l.dialLink(s, w)
			if f != nil || lent.Stream == nil || !w.Upgrade {
				return lent, f
			}
			lent.Stream.Finish(h2.NoError) // what the server takes is still to be heard
			continue
		}
		if f := l.awaitStream(s, w); f != nil {
			return Lent{}, f
		}
	}
}

// dialLink makes a connection, and tells who waits for it.
func (l *Loop) dialLink(s *server, w *Want) (Lent, *fault.Error) {
	s.dialing = true
	of, made := w.Server, false
	lent, f := l.dial(s, w, func() {
		of.Closed()
		if made {
			s.open--
			l.stats.ServerClosed(of.ID)
		}
		s.tell(nil) // there may be room for another
	})
	made, s.dialing = f == nil && lent.Stream != nil, false
	switch {
	case f != nil && f.Side == fault.Server:
		s.tell(f)
	case f != nil || lent.Conn != nil:
		s.tell(nil)
	}
	return lent, f
}

func (l *Loop) awaitStream(s *server, w *Want) *fault.Error {
	wt := &waiter{wait: l.loop.NewWait()}
	s.waiting = append(s.waiting, wt)
	err := wt.wait.UntilReset(w.By, w.Client)
	if err == nil {
		return wt.f
	}
	if i := slices.Index(s.waiting, wt); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &fault.Error{Side: fault.Server, Op: fault.Connect, Kind: fault.Limit, Safe: true, Err: errNoStream}
	}
	return connectFault(err, w.Client)
}

// Keep ends the stream, whose connection may then be idle for so long.
func (s *Stream) Keep(idle time.Duration) {
	k := s.link
	k.used, k.since = true, k.owner.loop.Now()
	k.IdleAfter(idle)
	if k.of.Removed() || k.base != k.server.base || k.of.Crowded() {
		k.Retire()
	}
	s.Finish(h2.NoError)
}

// Close ends the stream at once.
func (s *Stream) Close() { s.Finish(h2.Cancel) }
