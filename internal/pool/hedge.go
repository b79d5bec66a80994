package pool

import (
	"math/bits"
	"time"
)

// Hedge says when a second server is asked for the same, since the first takes unusually long. The zero Hedge never does.
//
// [Dean and Barroso, The Tail at Scale: after the 95th percentile of the expected latency; gRFC A6: under the same throttle as repeats]
type Hedge struct {
	Quantile int           // of the times that recent answers took, in hundredths
	Least    time.Duration // never sooner
}

const (
	// hedgeRecent is how many answers of a loop count as recent: when there are so many, each counts half.
	hedgeRecent = 2000
	// hedgeEvery is after how many answers the quantile is looked up anew, and without how many there is none.
	hedgeEvery = 64
	// Times are counted by eighths of the octave that they are in, in microseconds: up to 12 % too long, up to 2^27 µs.
	eighths = 8
	octaves = 25
)

// recent is how long one loop's recent answers of a pool took. Only that loop touches it.
type recent struct {
	delay  time.Duration // the quantile, as a time; 0: too few answers yet
	since  int           // answers since it was looked up
	total  int
	counts [octaves * eighths]uint32
	_      [64]byte
}

// Answered takes how long the client has waited for an answer's head.
func (p *Pool) Answered(loop int, took time.Duration) {
	h := &p.settings.Load().hedge
	if *h == (Hedge{}) {
		return
	}
	r := &p.recent[loop]
	r.counts[placeOf(took)]++
	r.total++
	r.since++
	if r.since < hedgeEvery {
		return
	}
	r.since = 0
	r.delay = r.quantile(h.Quantile)
	if r.total >= hedgeRecent {
		r.total = 0
		for i := range r.counts {
			r.counts[i] /= 2
			r.total += int(r.counts[i])
		}
	}
}

// HedgeAfter is how long an answer may take until a second server is asked too; 0: none is.
func (p *Pool) HedgeAfter(loop int) time.Duration {
	h := &p.settings.Load().hedge
	if *h == (Hedge{}) || p.recent[loop].delay == 0 {
		return 0
	}
	return max(h.Least, p.recent[loop].delay)
}

// quantile is how long so many hundredths of the answers took at most.
func (r *recent) quantile(hundredths int) time.Duration {
	below := 0
	for i, n := range r.counts {
		if below += int(n); below*100 >= r.total*hundredths {
			return endOf(i)
		}
	}
	return 0
}

// placeOf is the count that a time belongs to.
func placeOf(d time.Duration) int {
	us := uint64(max(0, d.Microseconds()))
	if us < eighths {
		return int(us)
	}
	octave := bits.Len64(us) - 4 // from 8 µs on
	return min((octave+1)*eighths+int(us>>octave&(eighths-1)), octaves*eighths-1)
}

// endOf is the time above those that a count is of.
func endOf(place int) time.Duration {
	if place < eighths {
		return time.Duration(place+1) * time.Microsecond
	}
	octave := place/eighths - 1
	return time.Duration((eighths+place%eighths+1)<<octave) * time.Microsecond
}
