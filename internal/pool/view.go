package pool

import "math/bits"

// view is what requests see of a pool. It is immutable (pickers and turns keep their loop's state) and replaced as a whole.
type view struct {
	first   []Picker // of the first level where that takes all; else nil
	levels  []level  // those that have servers, in the order in which requests turn to them
	pickers int      // of each level: one for each loop and, where requests may wait, one for who hands slots over to them
	list    []Level  // what is told of levels: also of those that have no servers at present
	opened  bool     // servers that are down are among them

	// A hundred requests' levels: evenly mixed, for one request after the other, and in order, for keys. nil: the first level takes all.
	cycle, sorted []uint8
	turns         []turn // by picker; they outlast the view
	keyed         Keyed  // the policy, if it goes by keys
}

// level is usable servers that are alike to a request.
type level struct {
	share   int // of the requests, in hundredths
	servers []*Server
	pickers []Picker
}

// turn is a loop's place in the cycle. Only that loop touches it; the queue's is guarded by the queue's mutex.
type turn struct {
	next int
	_    [128 - 8]byte
}

func newTurns(n int) []turn {
	turns := make([]turn, n)
	for i := range turns {
		turns[i].next = i * whole / n // so that loops do not march in step
	}
	return turns
}

func newView(levels []level, policy Policy, pickers int) *view {
	v := &view{levels: levels, pickers: pickers}
	for i := range levels {
		l := &levels[i]
		l.pickers = make([]Picker, pickers)
		for loop := range l.pickers {
			l.pickers[loop] = policy.Build(l.servers, loop)
		}
	}
	switch {
	case len(levels) == 0:
	case levels[0].share == whole:
		v.first = levels[0].pickers
	default:
		v.mix()
		v.keyed, _ = policy.(Keyed)
	}
	return v
}

// mix lays out the cycle: at every step each level is owed its share, and the one that is owed most has its turn.
func (v *view) mix() {
	owed := make([]int, len(v.levels))
	for range whole {
		most := 0
		for i := range v.levels {
			if owed[i] += v.levels[i].share; owed[i] > owed[most] {
				most = i
			}
		}
		owed[most] -= whole
		v.cycle = append(v.cycle, uint8(most))
	}
	for i := range v.levels {
		for range v.levels[i].share {
			v.sorted = append(v.sorted, uint8(i))
		}
	}
}

// size is the number of usable servers.
func (v *view) size() (n int) {
	for i := range v.levels {
		n += len(v.levels[i].servers)
	}
	return n
}

// has tells whether there is a server that q has not tried, full or not. One on trial is worth no wait.
func (v *view) has(q *Query) bool {
	for i := range v.levels {
		for _, s := range v.levels[i].servers {
			if !q.Tried.Has(s) && !s.trial.Load() {
				return true
			}
		}
	}
	return false
}

// pick asks the level whose turn it is and then the others in their order, until one has a server that is untried and not full.
func (v *view) pick(q *Query, picker int) *Server {
	if picker < len(v.first) {
		if s := v.first[picker].Pick(q); s != nil {
			return s
		}
	}
	return v.pickOn(q, picker)
}

// pickOn is pick where the first level does not take all, or has none.
func (v *view) pickOn(q *Query, picker int) *Server {
	if picker >= v.pickers {
		return nil // requests could not wait when it was built
	}
	asked := 0
	if v.cycle != nil {
		asked = v.choose(q, picker)
		if s := v.levels[asked].pickers[picker].Pick(q); s != nil {
			return s
		}
	}
	for i := range v.levels {
		if i == asked {
			continue
		}
		if s := v.levels[i].pickers[picker].Pick(q); s != nil {
			return s
		}
	}
	return nil
}

// choose is the level whose turn it is. A key has its place among the levels' shares, so that few keys move when shares change.
func (v *view) choose(q *Query, picker int) int {
	if v.keyed != nil {
		if key := v.keyed.Key(q); key != 0 {
			at, _ := bits.Mul64(key, whole)
			return int(v.sorted[at])
		}
	}
	t := &v.turns[picker]
	at := t.next
	if t.next++; t.next == whole {
		t.next = 0
	}
	return int(v.cycle[at])
}
