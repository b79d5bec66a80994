package fiber

import (
	"io"
	"log/slog"
	"net"
	"sync/atomic"
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

// hold keeps the loop busy until the returned function is called, so that what comes meanwhile comes in one turn.
func hold(l *Loop) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(held); <-free })
	<-held
	return func() { close(free) }
}

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
	release := hold(l)
	var queued atomic.Int64
	go func() {
		for piece := make([]byte, 4096); ; {
			n, err := busy.Write(piece)
			if queued.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	for until := time.Now().Add(5 * time.Second); queued.Load() < 2*most && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	_, _ = other.Write([]byte("o"))
	release()
	if n := queued.Load(); n < 2*most {
		t.Fatalf("the kernel's buffers take %d bytes, want at least %d", n, 2*most)
	}
	if n := <-atOther; n > most || n == 0 {
		t.Errorf("%d bytes of one connection were taken before another was served, want at most %d and some", n, most)
	}
}

// Sends that could all end at once do not keep a fiber running: small ones wait for the turn's end, and of large ones only a few are made in a row.
func TestEpollSendsLetOthersBeServed(t *testing.T) {
	for name, size := range map[string]int{"small": 6, "large": 2 * largeSend} {
		t.Run(name, func(t *testing.T) {
			const many, most = 100, 5
			sent, atOther := 0, make(chan int, 1)
			known := make(chan struct{}, 2)
			piece := make([]byte, size)
			l, _, addr := startEpoll(t, served(func(c *Conn) {
				known <- struct{}{}
				c.Discard(1)
				if c.Next() == nil && c.Buffered()[0] == 'o' {
					atOther <- sent
					c.Abort()
					return
				}
				for range many {
					if c.Send(piece) != nil {
						break
					}
					sent++
				}
				_ = c.Close()
			}))
			talker, other := connect(t, addr), connect(t, addr)
			for _, c := range []net.Conn{talker, other} {
				_, _ = c.Write([]byte("x"))
				<-known
			}
			release := hold(l)
			_, _ = talker.Write([]byte("t"))
			_, _ = other.Write([]byte("o"))
			release()
			if n := <-atOther; n > most {
				t.Errorf("%d pieces were sent on one connection before another was served, want at most %d", n, most)
			}
			if got, err := io.ReadAll(talker); len(got) != many*size {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, many*size)
			}
		})
	}
}
