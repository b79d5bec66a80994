package proxy

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// Limits bounds client connections, over all loops: in total, and per client address. It is asked when a connection is accepted and
// closed, never for a request.
type Limits struct {
	// Connections is the most client connections at a time; PerClient those of one address. 0: no bound.
	Connections, PerClient int
	// Spare is how many connections may be accepted at once, such as the listeners' queues can hold. With fewer places left than that, accepting goes one by
	// one, so that those for whom there is none stay in the queues and take no descriptors.
	Spare int

	total  atomic.Int64
	shards [64]limitShard
}

// limitShard counts the connections of a part of all addresses, so that loops seldom meet.
type limitShard struct {
	mu sync.Mutex // guards n; held for one map access
	n  map[netip.Addr]int32
	_  [48]byte
}

// clientOf is what counts as one client: an IPv6 network of 64 bits is one customer's (RFC 6177 section 2).
func clientOf(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		return netip.PrefixFrom(a.WithZone(""), 64).Masked().Addr()
	}
	return a
}

func (l *Limits) shard(a netip.Addr) *limitShard {
	b := a.As16()
	return &l.shards[(b[15]^b[14]^b[7]^b[6])%uint8(len(l.shards))]
}

// admit takes a place in the total, if there is one.
func (l *Limits) admit() bool {
	if l.total.Add(1) <= int64(l.Connections) || l.Connections == 0 {
		return true
	}
	l.total.Add(-1)
	return false
}

// sparing tells that there may be fewer places than connections in the queues.
func (l *Limits) sparing() bool {
	return l.Connections != 0 && l.total.Load()+int64(l.Spare) > int64(l.Connections)
}

// full tells that all places are taken.
func (l *Limits) full() bool { return l.Connections != 0 && l.total.Load() >= int64(l.Connections) }

// enter counts a connection of a client, and tells whether it may stay. leave follows in either case.
func (l *Limits) enter(a netip.Addr) bool {
	if l.PerClient == 0 || !a.IsValid() {
		return true
	}
	a = clientOf(a)
	s := l.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = make(map[netip.Addr]int32)
	}
	s.n[a]++
	return int(s.n[a]) <= l.PerClient
}

func (l *Limits) leave(a netip.Addr) {
	if l.PerClient == 0 || !a.IsValid() {
		return
	}
	a = clientOf(a)
	s := l.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[a]--; s.n[a] <= 0 {
		delete(s.n, a)
	}
}
