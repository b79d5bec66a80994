package sys

// Slab hands out buffers of one size. It grows in steps, up to a bound, and takes back what it gave, last in, first out.
// It is used by one loop only and has no lock.
type Slab struct {
	size, limit int
	grow        func(bytes int) ([]byte, error)
	bufs        [][]byte
	free        []int32
	unmap       func([]byte) error // nil for the Go heap
	mapped      [][]byte
	poison      bool
}

// slabStep is how many buffers are added at a time: few enough that a small process stays small.
const slabStep = 32

// NewHeapSlab makes a slab in the Go heap, where the race detector sees its buffers.
func NewHeapSlab(size, limit int, poison bool) *Slab {
	return &Slab{size: size, limit: limit, poison: poison, grow: func(n int) ([]byte, error) { return make([]byte, n), nil }}
}

// Get returns a buffer and its id, or ok == false when the bound is reached or memory is out.
func (s *Slab) Get() (b []byte, id int32, ok bool) {
	if len(s.free) == 0 && !s.more() {
		return nil, 0, false
	}
	id = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return s.bufs[id], id, true
}

func (s *Slab) more() bool {
	n := min(slabStep, s.limit-len(s.bufs))
	if n <= 0 {
		return false
	}
	mem, err := s.grow(n * s.size)
	if err != nil {
		return false
	}
	s.mapped = append(s.mapped, mem)
	for i := n - 1; i >= 0; i-- {
		s.free = append(s.free, int32(len(s.bufs)+i))
	}
	for i := range n {
		s.bufs = append(s.bufs, mem[i*s.size:(i+1)*s.size:(i+1)*s.size])
	}
	return true
}

// Put takes the buffer back. A poisoning slab overwrites it, so that a test sees a use after it.
func (s *Slab) Put(id int32) {
	if s.poison {
		b := s.bufs[id]
		for i := range b {
			b[i] = 0xdb
		}
	}
	s.free = append(s.free, id)
}

// Buf returns the buffer with the id that Get gave.
func (s *Slab) Buf(id int32) []byte { return s.bufs[id] }

// InUse is the number of buffers that are out.
func (s *Slab) InUse() int { return len(s.bufs) - len(s.free) }

// Size is the bytes of one buffer.
func (s *Slab) Size() int { return s.size }

// Close gives the slab's memory back. No buffer may be in use.
func (s *Slab) Close() {
	if s.unmap != nil {
		for _, m := range s.mapped {
			_ = s.unmap(m)
		}
	}
	s.bufs, s.free, s.mapped, s.limit = nil, nil, nil, 0
}
