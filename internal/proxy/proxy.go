// Package proxy serves client connections: it reads requests, asks exchange what to do, carries it out, and answers.
//
// A connection is served by straight-line code in a fiber. One exchange is nine steps, and each is in one place:
// listen (accept), conn.go (a fiber reads), head.go (bytes become a request), exchange.Start, upstream.Get and attempt.go (the request goes
// out), attempt.go (the answer's head comes), exchange.Responded or Failed, relay.go (the body flows), report.go (the end). The package
// never chooses a server, a status or a retry: exchange does.
package proxy

import (
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"poise/internal/accesslog"
	"poise/internal/encode"
	"poise/internal/exchange"
	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/mux"
	"poise/internal/route"
	"poise/internal/secure"
	"poise/internal/stats"
	"poise/internal/upstream"
)

// Listener is what a listener's connections have in common. It never changes.
type Listener struct {
	Index    int // the number by which the table and the statistics know it
	Name     string
	Trust    exchange.Trust
	TLS      *tls.Config     // nil: clear text
	Clients  *secure.Clients // whose certificates TLS asks for; nil: nobody's
	HTTP2    bool            // it is spoken where a client asks for it
	Timeouts route.Timeouts  // Handshake, Head, Idle and Write count here; the others are a route's
	Pages    []Page          // what clients get as the body of Poise's own answers; the first for a status counts
}

// Page is the body of Poise's own answers with some statuses, both ends included.
type Page struct {
	From, To int
	Reply    *route.Reply
}

// Config is what the loops of a process share.
type Config struct {
	Table  *atomic.Pointer[route.Table]
	Heads  h1.Limits
	Limits *Limits
	Spread *Spread
	// Handshakes bounds TLS handshakes that wait for their clients, over all loops; each loop has its share.
	Handshakes int
	// Streams is how many requests a client may have under way on one connection of HTTP/2.
	Streams int
	// Compressions bounds the answers that are compressed at once, over all loops; each loop has its share. Others stay as they are.
	Compressions int
	// IdlePerServer bounds idle connections to a server over all loops; each loop has its share.
	IdlePerServer int
	Loops         int
	Upstream      *upstream.Peers
}

// Loop serves the clients of one loop. Its methods are called on the loop.
type Loop struct {
	cfg      *Config
	loop     *fiber.Loop
	up       *upstream.Loop
	stats    *stats.Loop
	log      *accesslog.Shard // nil: no log
	random   *rand.ChaCha8
	scratch  []*scratch // free ones, the last used at the end
	secure   secure.Memory
	mux      mux.Memory
	encoders encode.Stock
	muxes    map[*Listener]*mux.Config
	shaking  handshakes
	accepts  []*accepter
	draining bool
	load     *atomic.Int64 // client connections: this loop's in cfg.Spread
	flush    bool          // the log has records that were not handed over
}

// flushEvery is how long a log record may wait for others.
const flushEvery = 100 * time.Millisecond

// linkHead is how long a frame of a server's may be under way, linkIdle how long a connection of HTTP/2 to one may be idle that has served nothing yet, and
// linkWrite how long it may take nothing where no route's timeouts say less.
const linkHead, linkIdle, linkWrite = 10 * time.Second, time.Minute, time.Minute

// New returns what serves clients on l. s and log are the loop's own; log may be nil.
func New(l *fiber.Loop, cfg *Config, s *stats.Loop, log *accesslog.Shard) *Loop {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32()) // the runtime's generator is seeded by the system
	}
	p := &Loop{
		cfg: cfg, loop: l, stats: s, log: log, random: rand.NewChaCha8(seed), muxes: map[*Listener]*mux.Config{},
		up: upstream.New(l, s, share(cfg.IdlePerServer, cfg.Loops), cfg.Upstream), encoders: encode.NewStock(share(cfg.Compressions, cfg.Loops)),
	}
	p.up.Multiplex(mux.Config{Heads: &cfg.Heads, Idle: linkIdle, Head: linkHead, Write: linkWrite})
	p.shaking.most = share(cfg.Handshakes, cfg.Loops)
	mine := &cfg.Spread.loops[l.Index]
	mine.p, p.load = p, &mine.load
	l.Every(flushEvery, p.tick)
	return p
}

// share is a loop's part of n, and at least one of anything.
func share(n, loops int) int {
	if n == 0 {
		return 0
	}
	return max(1, n/max(1, loops))
}

// Upstream is the loop's connections to servers.
func (p *Loop) Upstream() *upstream.Loop { return p.up }

// Drained tells whether, after Drain, nothing listens any more and no client is left.
func (p *Loop) Drained() bool {
	for _, a := range p.accepts {
		if !a.ln.Closed() {
			return false
		}
	}
	return p.load.Load() == 0
}

func (p *Loop) tick() {
	if p.log != nil && p.flush {
		p.log.Flush()
		p.flush = false
	}
	for _, a := range p.accepts {
		a.resume()
		a.ln.Recheck()
	}
}

// accepter is a listener on this loop.
type accepter struct {
	loop *Loop
	l    *Listener
	ln   *fiber.Listener
	// number is the accepter's in Loop.accepts, and the same on all loops.
	number int
	// waiting were accepted before this loop knew that the connection limit was reached. While there are any, accepting rests: who comes waits in the
	// kernel's queue.
	waiting []*fiber.Conn
}

// Listen serves the connections of a listening descriptor, which it takes over.
func (p *Loop) Listen(l *Listener, fd int) error {
	a := &accepter{loop: p, l: l, number: len(p.accepts)}
	ln, err := p.loop.Listen(fd, fiber.Accepting{Place: a.place, Sparing: p.cfg.Limits.sparing, Accept: a.accept, Closed: a.closed})
	if err != nil {
		return err
	}
	a.ln = ln
	p.accepts = append(p.accepts, a)
	return nil
}

// Change has the connections that come from now on be of l instead of the listener with its index.
func (p *Loop) Change(l *Listener) {
	for _, a := range p.accepts {
		if a.l.Index == l.Index {
			a.l = l
		}
	}
}

func (a *accepter) accept(fc *fiber.Conn) {
	p, limits := a.loop, a.loop.cfg.Limits
	p.stats.ClientOpened(a.l.Index)
	admitted := limits.admit()
	if !limits.enter(fc.Peer().IP.Addr()) {
		if !admitted {
			limits.total.Add(1) // closed takes it back
		}
		p.stats.ClientRefused(a.l.Index)
		fc.Abort()
		return
	}
	if admitted {
		newConn(p, a.l, fc)
		return
	}
	if len(a.waiting) == 0 {
		p.stats.AcceptPaused()
		a.ln.Pause()
	}
	a.waiting = append(a.waiting, fc)
}

func (a *accepter) closed(fc *fiber.Conn) {
	p, limits := a.loop, a.loop.cfg.Limits
	p.load.Add(-1)
	p.stats.ClientClosed(a.l.Index)
	limits.leave(fc.Peer().IP.Addr())
	if i := slices.Index(a.waiting, fc); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		a.acceptAgain()
		return
	}
	limits.total.Add(-1)
	a.resume()
}

// resume serves who waits once there is room.
func (a *accepter) resume() {
	if len(a.waiting) == 0 {
		return
	}
	for len(a.waiting) > 0 && a.loop.cfg.Limits.admit() {
		fc := a.waiting[0]
		a.waiting = slices.Delete(a.waiting, 0, 1)
		newConn(a.loop, a.l, fc)
	}
	a.acceptAgain()
}

// acceptAgain ends the rest of accepting when nobody waits any more.
func (a *accepter) acceptAgain() {
	if len(a.waiting) == 0 && !a.loop.draining {
		a.ln.Resume()
	}
}

// idleWhileDraining is how long a connection that is idle when the drain begins may still bring a request.
const idleWhileDraining = time.Second

// Drain accepts what is queued and nothing more; answers from now on close their connection, and idle connections are closed within a
// second.
func (p *Loop) Drain() {
	if p.draining {
		return
	}
	p.draining = true
	for _, a := range p.accepts {
		a.ln.Drain()
	}
	until := p.loop.Now().Add(idleWhileDraining)
	p.loop.Each(func(fc *fiber.Conn) {
		switch h := fc.Handler().(type) {
		case *conn:
			fc.IdleBy(until)
		case *mux.Conn:
			if !h.Dialled() {
				h.Drain()
			}
		}
	})
}

// Cut closes what a drain has left, and returns how many connections that were.
func (p *Loop) Cut() int {
	n := int(p.load.Load())
	for _, a := range p.accepts {
		for len(a.waiting) > 0 { // no fiber would close these
			a.waiting[0].Abort()
		}
	}
	p.loop.Each(func(fc *fiber.Conn) { fc.End(fiber.ErrStopped) })
	return n
}

// Flush hands the log's records over.
func (p *Loop) Flush() {
	if p.log != nil {
		p.log.Flush()
	}
}
