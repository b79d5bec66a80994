package fiber

// slot ties what the kernel tells to its owner. The generation tells news of an earlier owner.
type slot struct {
	conn *Conn
	ln   *Listener
	gen  uint32
}

// slots are a driver's owners of descriptors.
type slots struct {
	all  []slot
	free []uint32
}

// own gives the owner of a new descriptor a slot.
func (s *slots) own(fd int, c *Conn, ln *Listener) handle {
	if len(s.free) == 0 {
		s.free = append(s.free, uint32(len(s.all)))
		s.all = append(s.all, slot{})
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.all[i].conn, s.all[i].ln = c, ln
	return handle{fd: fd, slot: i}
}

func (s *slots) disown(h handle) {
	e := &s.all[h.slot]
	e.conn, e.ln = nil, nil
	e.gen++
	s.free = append(s.free, h.slot)
}
