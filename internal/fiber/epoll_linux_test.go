package fiber

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"poise/internal/sys"
)

// startEpoll returns a loop with its driver, and the address at which it serves with h.
func startEpoll(t *testing.T, h Handler) (*Loop, *epoll, string) {
	t.Helper()
	l, _, err := Start(0, Config{Driver: "epoll", Poison: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, true)
	if err != nil {
		t.Fatal(err)
	}
	addr := sys.LocalAddr(fd).String()
	l.Call(func() { _, err = l.Listen(fd, Accepting{Accept: func(c *Conn) { c.Idle(h, 0) }}) })
	if err != nil {
		t.Fatal(err)
	}
	return l, l.driver.(*epoll), addr
}

type served func(c *Conn)

func (f served) Serve(c *Conn)     { f(c) }
func (f served) Gone(*Conn, error) {}

func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// Receives that find no buffer go on when some come back, the loop sleeps until then, and cancelling such a receive ends it.
func TestEpollReceivesWaitForBuffers(t *testing.T) {
	const buffers, clients = 2, 6
	arrived := make(chan *Conn, clients)
	l, d, addr := startEpoll(t, served(func(c *Conn) {
		arrived <- c // it keeps its buffer
	}))
	l.Call(func() { d.head.slab = sys.NewMappedSlab(headSize, buffers, true) })
	var conns []net.Conn
	for range clients {
		c := connect(t, addr)
		_, _ = c.Write([]byte("x"))
		_, _ = c.Write([]byte("y"))
		conns = append(conns, c)
	}
	for n := range clients - 1 {
		var c *Conn
		select {
		case c = <-arrived:
		case <-time.After(5 * time.Second):
			t.Fatalf("%d of %d connections were served with %d buffers that come back", n, clients, buffers)
		}
		if n == buffers-1 {
			before := turns(l)
			<-time.After(100 * time.Millisecond)
			if after := turns(l); after-before > 20 {
				t.Errorf("%d turns in 100 ms while receives wait for buffers", after-before)
			}
		}
		l.Call(c.Abort)
	}
	_ = conns
	l.Call(func() { l.Each((*Conn).Abort) })
	left := -1
	l.Call(func() { left = len(l.conns) })
	if left != 0 {
		t.Errorf("%d connections are left after an Abort of all", left)
	}
}

func turns(l *Loop) (n uint64) {
	l.Call(func() { n = l.count.Turns })
	return n
}

// An event that was fetched for a descriptor that was closed since does not reach the one that has its slot now.
func TestEpollEventOfAnEarlierOwnerIsDropped(t *testing.T) {
	var d epoll
	d.loop = &Loop{}
	earlier := d.slots.own(7, &Conn{}, nil)
	event := d.token(earlier)
	d.slots.disown(earlier)
	now := &Conn{}
	now.h = d.slots.own(7, now, nil)
	if now.h.slot != earlier.slot {
		t.Fatalf("slot %d, want %d again", now.h.slot, earlier.slot)
	}
	d.dispatch(sys.EventIn, event)
	if now.h.ready != 0 {
		t.Errorf("an event of an earlier owner was told to the present one")
	}
	d.dispatch(sys.EventIn, d.token(now.h))
	if now.h.ready != readable {
		t.Errorf("ready = %b after the owner's own event, want readable", now.h.ready)
	}
}

// A connection on which much waits lets others have their turn.
func TestEpollBusyConnectionLetsOthersBeServed(t *testing.T) {
	const most = receivesInARow * headSize
	taken, atOther := 0, make(chan int, 1)
	known := make(chan struct{}, 2)
	l, _, addr := startEpoll(t, served(func(c *Conn) {
		known <- struct{}{}
		c.Discard(1)
		for c.Next() == nil {
			if c.Buffered()[0] == 'o' {
				atOther <- taken
				break
			}
			taken += c.Unread()
			c.Discard(len(c.Buffered()))
		}
		c.Abort()
	}))
	busy, other := connect(t, addr), connect(t, addr)
	for _, c := range []net.Conn{busy, other} {
		_, _ = c.Write([]byte("x"))
		<-known
	}
	held, release := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(held); <-release })
	<-held
	_ = busy.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	queued, _ := busy.Write(make([]byte, 64<<20))
	_, _ = other.Write([]byte("o"))
	close(release)
	if queued < 2*most {
		t.Fatalf("the kernel's buffers take %d bytes, want at least %d", queued, 2*most)
	}
	if n := <-atOther; n > most || n == 0 {
		t.Errorf("%d bytes of one connection were taken before another was served, want at most %d and some", n, most)
	}
}
