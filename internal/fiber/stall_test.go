package fiber

import (
	"testing"
	"time"

	"poise/internal/clock"
)

// counting is a driver that only counts what a peer has taken.
type counting struct {
	driver
	n uint64
}

func (d *counting) acked(*Conn) uint64 { return d.n }

// A loop that stood still for longer than the bound finds no stall in its first look: nothing shows that the peer could have taken anything meanwhile.
func TestStallIsSeenInSeveralLooks(t *testing.T) {
	const bound = 200 * time.Millisecond
	tests := []struct {
		name  string
		takes []int           // looks before which the peer took something
		late  map[int]float64 // looks that come so many bounds late
		want  int             // the look that finds the stall
	}{
		{name: "takes nothing", want: 5},
		{name: "the first look is late", late: map[int]float64{1: 5}, want: 5},
		{name: "another one is late", late: map[int]float64{3: 5}, want: 5},
		{name: "takes something in between", takes: []int{4}, want: 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &counting{}
			c := &Conn{loop: &Loop{driver: d}}
			c.StallAfter(bound)
			now := clock.Instant(1000)
			begun := now
			c.stall.begin(now)
			for look := 1; look <= 20; look++ {
				now = c.stall.check
				if c.stalled(now - 1) {
					t.Fatal("a stall before it was time to look")
				}
				now = now.Add(time.Duration(tt.late[look] * float64(bound)))
				for _, l := range tt.takes {
					if l == look {
						d.n++
					}
				}
				if !c.stalled(now) {
					continue
				}
				if look != tt.want || now.Sub(begun) < bound {
					t.Errorf("a stall is found in look %d after %v, want look %d, after %v at least", look, now.Sub(begun), tt.want, bound)
				}
				return
			}
			t.Error("no stall is found")
		})
	}
}
