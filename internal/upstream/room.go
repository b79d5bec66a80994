package upstream

import (
	"errors"
	"os"
	"slices"
	"sync/atomic"

	"poise/internal/fault"
	"poise/internal/pool"
)

// Peers are the loops of a process, each with its connections to servers.
type Peers struct {
	loops []*Loop
	// speeches are nil while no pool's servers are spoken to otherwise than in HTTP/1.1 and clear text.
	speeches atomic.Pointer[Speeches]
}

// NewPeers is for n loops.
func NewPeers(n int) *Peers { return &Peers{loops: make([]*Loop, n)} }

var errNoRoom = errors.New("the server has max_connections, and none ended in time")

// awaitRoom counts a connection that is to be opened. Where the server has as many as it may have, it has an idle one closed, and waits.
func (l *Loop) awaitRoom(w *Want) *fault.Error {
	if w.Server.Opens() {
		return nil
	}
	wait, d := l.loop.NewWait(), &pool.Dialer{}
	w.Server.AwaitRoom(d, wait.Tell)
	l.makeRoom(w.Server, 1, len(l.peers.loops))
	err := wait.UntilReset(w.By, w.Client)
	if served := w.Server.LeaveRoom(d); err != nil && served {
		w.Server.Closed()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Not the server's fault: it is ours to have no more.
		return &fault.Error{Side: fault.Server, Op: fault.Connect, Kind: fault.Limit, Safe: true, Err: errNoRoom}
	}
	if err != nil {
		return connectFault(err, w.Client)
	}
	return nil
}

// makeRoom closes up to n idle connections to ps, the ones that are idle for longest, as long as it is crowded. The rest it leaves to the next loop, until
// so many loops have been asked.
func (l *Loop) makeRoom(ps *pool.Server, n, loops int) {
	for s := l.serverOf(ps); n > 0 && s.last != nil && ps.Crowded(); n-- {
		c := s.last
		c.unlink()
		c.Close()
	}
	for _, k := range slices.Clone(l.serverOf(ps).links) {
		if n > 0 && k.Active() == 0 && ps.Crowded() {
			k.Retire()
			n--
		}
	}
	next := l.loop.Index
	for loops--; n > 0 && loops > 0 && ps.Crowded(); loops-- {
		next = (next + 1) % len(l.peers.loops)
		peer, left := l.peers.loops[next], loops
		if peer.loop.Post(func() { peer.makeRoom(ps, n, left) }) {
			return
		}
	}
}

// CloseSurplus closes idle connections to a server that has got a limit, or a lower one, as many as there are too many.
func (l *Loop) CloseSurplus(ps *pool.Server) { l.makeRoom(ps, ps.Surplus(), len(l.peers.loops)) }
