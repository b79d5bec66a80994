// Package limit bounds what one client, or one of anything that has a name, may ask for: so many requests in a time, and so many at once.
//
// All loops share a table of fixed size without a lock. A key is a hash that clients cannot aim at. The package never waits, knows no request, and is told the
// time. Start reading at Rate.Take.
package limit

import (
	"math/bits"
	"sync/atomic"
)

// ways is how many keys share a set: 8 words are a cache line.
const ways = 8

// table is words, each with a key's tag in its upper bits. A key's place is in one set.
type table struct {
	sets  [][ways]atomic.Uint64
	shift uint // of the tag
}

func newTable(size int, shift uint) table {
	return table{sets: make([][ways]atomic.Uint64, max(1, (size+ways-1)/ways)), shift: shift}
}

// set is where a key may be. It depends on the key's upper bits, as the tag does on its lower ones.
func (t *table) set(key uint64) *[ways]atomic.Uint64 {
	i, _ := bits.Mul64(key, uint64(len(t.sets)))
	return &t.sets[i]
}

// word is what is kept of a key with a value.
func (t *table) word(key, value uint64) uint64 { return key<<t.shift | value }

// is tells whether a word is the key's.
func (t *table) is(word, key uint64) bool { return word != 0 && word>>t.shift == key<<t.shift>>t.shift }

// value is a word's without its tag.
func (t *table) value(word uint64) uint64 { return word & (1<<t.shift - 1) }

// alone tells whether no other place has the key: two loops that put a new one in at once may take two.
func (t *table) alone(set *[ways]atomic.Uint64, place *atomic.Uint64, key uint64) bool {
	for i := range set {
		if &set[i] != place && t.is(set[i].Load(), key) {
			return false
		}
	}
	return true
}
