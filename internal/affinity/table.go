package affinity

import (
	"math/bits"
	"sync/atomic"
	"time"

	"poise/internal/clock"
)

// Table remembers, for a bounded number of keys, the number of the server that each belongs to. A key is a hash that clients
// cannot aim at. All loops share the table without a lock: what two change at once only one changes, and the other's client
// is given a server anew.
//
// It is made of sets of 8 words, which lie in one cache line. A key's place is in one set, and a new key takes that of the
// set's one that was used least recently. So the memory is what it was at the start, whatever clients do.
type Table struct {
	unit time.Duration // of the times in words
	sets [][ways]atomic.Uint64
}

// ways is how many keys share a set: 8 words are a cache line.
const ways = 8

// NewTable returns a table for about size keys, each forgotten when it was not used for idle.
func NewTable(size int, idle time.Duration) *Table {
	return &Table{unit: max(idle/idleUnits, 1), sets: make([][ways]atomic.Uint64, max(1, (size+ways-1)/ways))}
}

// word is what a table holds of a key: 24 bits of it, the server's number and 1 in 18, and when it was used last in 22. 0: nothing.
// Of keys that share a set one in 2 million is taken for another one, and follows that one's server.
type word uint64

const (
	tagBits    = 24
	serverBits = 18
	timeBits   = 22

	timeMask   = 1<<timeBits - 1
	serverMask = 1<<serverBits - 1
	maxServer  = serverMask - 1 // the greatest number of a server that is remembered

	// Times are counted in units of idle/4096. After 1024 times idle the count begins anew, and what was never overwritten may be
	// taken for fresh once: its client goes to the server where it was then.
	idleUnits = 1 << 12
)

func newWord(key uint64, server int, at uint64) word {
	return word(key&(1<<tagBits-1)<<(serverBits+timeBits) | uint64(server+1)<<timeBits | at)
}

func (w word) is(key uint64) bool {
	return w != 0 && uint64(w)>>(serverBits+timeBits) == key&(1<<tagBits-1)
}

// server is the server's number; -1: w is empty.
func (w word) server() int { return int(w>>timeBits&serverMask) - 1 }

// age is how many units ago w was used. The turns of two loops differ a little: what was used by another one later than now was
// used just now.
func (w word) age(at uint64) uint64 {
	age := (at - uint64(w)) & timeMask
	if age > timeMask-idleUnits {
		return 0
	}
	return age
}

func (t *Table) time(now clock.Instant) uint64 { return uint64(now) / uint64(t.unit) & timeMask }

// set is where a key may be. It depends on the key's upper bits, as what is kept of the key does on its lower ones.
func (t *Table) set(key uint64) *[ways]atomic.Uint64 {
	i, _ := bits.Mul64(key, uint64(len(t.sets)))
	return &t.sets[i]
}

// get returns the number of the server that a key belongs to, -1 for none, and whether the key was not used for too long.
func (t *Table) get(now clock.Instant, key uint64) (server int, expired bool) {
	set := t.set(key)
	for i := range set {
		if w := word(set[i].Load()); w.is(key) {
			return w.server(), w.age(t.time(now)) > idleUnits
		}
	}
	return -1, false
}

// put notes that a key, which belonged to server was (-1: none), belongs to server is and is in use now. It does not when the
// key has come to another server meanwhile: of requests that a new client sends at once the first that is answered decides.
func (t *Table) put(now clock.Instant, key uint64, was, is int) bool {
	if is > maxServer {
		return false
	}
	at := t.time(now)
	place, old := t.place(key, at)
	if old.is(key) && old.server() != was {
		return false
	}
	fresh := newWord(key, is, at)
	return fresh == old || place.CompareAndSwap(uint64(old), uint64(fresh))
}

// place is where a key is, or else where it would go.
func (t *Table) place(key, at uint64) (place *atomic.Uint64, holds word) {
	set := t.set(key)
	var most uint64
	for i := range set {
		w := word(set[i].Load())
		if w.is(key) {
			return &set[i], w
		}
		age := w.age(at)
		if w == 0 {
			age = timeMask + 1
		}
		if place == nil || age > most {
			place, holds, most = &set[i], w, age
		}
	}
	return place, holds
}
