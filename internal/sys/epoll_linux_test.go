package sys

import (
	"testing"
	"time"
)

func TestMillisRoundsUp(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-1: -1, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, 1 << 62: 1 << 30,
	} {
		if got := millis(d); got != want {
			t.Errorf("millis(%v) = %d, want %d", d, got, want)
		}
	}
}

// Wait lasts as long as it is asked to, and ends with an event, also where epoll_pwait2 is missing.
func TestEpollWait(t *testing.T) {
	for name, fine := range map[string]bool{"nanoseconds": true, "milliseconds": false} {
		t.Run(name, func(t *testing.T) {
			p, err := NewEpoll(4)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if p.fine = p.fine && fine; p.fine != fine {
				t.Skip("the kernel has no epoll_pwait2")
			}
			begun := time.Now()
			const d = 1500 * time.Microsecond
			if n, err := p.Wait(d); n != 0 || err != nil || time.Since(begun) < d {
				t.Errorf("Wait(%v) = %d, %v after %v", d, n, err, time.Since(begun))
			}
			fd, err := NewEventFD()
			if err != nil {
				t.Fatal(err)
			}
			defer Close(fd)
			const token = 0xfedcba9876543210
			if err := p.AddSource(fd, token); err != nil {
				t.Fatal(err)
			}
			Signal(fd)
			n, err := p.Wait(-1)
			if what, got := p.Event(0); n != 1 || err != nil || got != token || what != EventIn {
				t.Errorf("Wait(-1) = %d, %v with event %x of %x; want 1 with %x of %x", n, err, what, got, EventIn, uint64(token))
			}
			if n, err := p.Look(); n != 0 || err != nil {
				t.Errorf("Look after the event = %d, %v; want 0, an event is told once", n, err)
			}
			Signal(fd)
			if n, err := p.Look(); n != 1 || err != nil {
				t.Errorf("Look after the next signal = %d, %v; want 1", n, err)
			}
		})
	}
}
