package limit

import (
	"math/bits"
	"sync/atomic"
	"time"

	"poise/internal/clock"
)

// Rate is a token bucket for each key: it holds burst tokens at most, gains one each interval, and each request takes one. What is kept of a bucket is when
// it will be full again. [generic cell rate algorithm, ITU-T I.371]
//
// A table that is full forgets the bucket that is nearest to being full: who has that gets a full one.
type Rate struct {
	table
	per   uint64 // ns
	scale uint64 // units in per
	burst uint64 // units
	lag   uint64 // units by which the times of two loops may differ
}

const (
	// token is how many units of time a bucket takes to gain a token.
	token = 1 << 10
	// timeBits is how much of a time is kept, in units: a thousand times what the largest bucket needs.
	timeBits = 40
	// most is the largest burst.
	most = 1 << 20
)

// NewRate returns a limit of so many requests in per, of which burst may come at once, for about size keys.
func NewRate(requests int, per time.Duration, burst, size int) *Rate {
	r := &Rate{table: newTable(size, timeBits), per: uint64(per), scale: uint64(requests) * token, burst: uint64(min(burst, most)) * token}
	r.lag = r.units(clock.Instant(time.Second))
	return r
}

// units is an instant in units of time; the count begins anew now and then.
func (r *Rate) units(at clock.Instant) uint64 {
	hi, lo := bits.Mul64(uint64(at), r.scale)
	n, _ := bits.Div64(hi%r.per, lo, r.per)
	return n
}

// time is so many units, rounded up.
func (r *Rate) time(units uint64) time.Duration {
	hi, lo := bits.Mul64(units, r.per)
	n, rest := bits.Div64(hi%r.scale, lo, r.scale)
	if rest > 0 {
		n++
	}
	return time.Duration(n)
}

// Taken is what has become of a request.
type Taken struct {
	OK   bool
	Left int           // how many may still come at once
	Wait time.Duration // until the next may come; 0 with OK
	Full time.Duration // until the bucket is full again
}

// Take takes a token from the key's bucket, if there is one.
func (r *Rate) Take(now clock.Instant, key uint64) Taken {
	at, set := r.units(now), r.set(key)
	for {
		place, old := r.place(set, key, at)
		var ahead uint64
		if r.is(old, key) {
			ahead = r.ahead(old, at)
		}
		if after := ahead + token; after > r.burst {
			return Taken{Wait: r.time(after - r.burst), Full: r.time(ahead)}
		}
		ahead += token
		fresh := r.word(key, (at+ahead)&(1<<timeBits-1))
		switch {
		case !place.CompareAndSwap(old, fresh): // another loop was there
		case !r.is(old, key) && !r.alone(set, place, key):
			place.CompareAndSwap(fresh, 0)
		default:
			return Taken{OK: true, Left: int((r.burst - ahead) / token), Full: r.time(ahead)}
		}
	}
}

// ahead is how long a word's bucket still takes to be full. A time before now is that of a full one; so is one that no bucket takes, which is of long ago.
func (r *Rate) ahead(word, at uint64) uint64 {
	ahead := (r.value(word) - at) & (1<<timeBits - 1)
	if ahead > r.burst+r.lag {
		return 0
	}
	return ahead
}

// place is where a key is, or else where it goes: in place of what is nearest to being full.
func (r *Rate) place(set *[ways]atomic.Uint64, key, at uint64) (place *atomic.Uint64, word uint64) {
	var least uint64
	for i := range set {
		w := set[i].Load()
		if r.is(w, key) {
			return &set[i], w
		}
		if ahead := r.ahead(w, at); place == nil || ahead < least || ahead == least && w == 0 && word != 0 {
			place, word, least = &set[i], w, ahead
		}
	}
	return place, word
}
