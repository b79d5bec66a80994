package limit

// InFlight bounds the requests of each key that are under way at once.
type InFlight struct {
	table
	most uint64
}

// countBits is how much of a word is the count.
const countBits = 24

// NewInFlight returns a limit of most requests at once for each of about size keys.
func NewInFlight(most, size int) *InFlight {
	return &InFlight{newTable(size, countBits), uint64(min(most, 1<<countBits-1))}
}

// Enter counts a request, if there may be another one of its key; then Leave must follow. A key for which the table has no room has none.
func (f *InFlight) Enter(key uint64) bool {
	set := f.set(key)
	for {
		free, found := -1, -1
		var word uint64
		for i := range set {
			w := set[i].Load()
			if f.value(w) == 0 {
				if free < 0 {
					free = i
				}
			} else if f.is(w, key) {
				found, word = i, w
				break
			}
		}
		if found >= 0 {
			if f.value(word) >= f.most {
				return false
			}
			if set[found].CompareAndSwap(word, word+1) {
				return true
			}
			continue
		}
		if free < 0 {
			return false
		}
		place, fresh := &set[free], f.word(key, 1)
		if old := place.Load(); f.value(old) != 0 || !place.CompareAndSwap(old, fresh) {
			continue
		}
		if f.alone(set, place, key) {
			return true
		}
		f.Leave(key)
	}
}

// Leave ends a request that Enter has counted.
func (f *InFlight) Leave(key uint64) {
	set := f.set(key)
	for i := 0; i < len(set); {
		w := set[i].Load()
		switch {
		case f.value(w) == 0 || !f.is(w, key):
			i++
		case f.value(w) == 1 && set[i].CompareAndSwap(w, 0), f.value(w) > 1 && set[i].CompareAndSwap(w, w-1):
			return
		}
	}
}
