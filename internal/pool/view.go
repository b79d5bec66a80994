package pool

// view is what requests see of a pool. It is immutable (pickers keep their loop's state inside) and replaced as a whole.
type view struct {
	primary, backup tier
}

// size is the number of servers that are up and have a weight.
func (v *view) size() int { return v.primary.size + v.backup.size }

// tier is the usable servers of one rank, with a picker for each loop; none when there are no servers.
type tier struct {
	size    int
	pickers []Picker
}

func newTier(servers []*Server, policy Policy, loops int) tier {
	t := tier{size: len(servers)}
	if t.size == 0 {
		return t
	}
	t.pickers = make([]Picker, loops)
	for loop := range t.pickers {
		t.pickers[loop] = policy.Build(servers, loop)
	}
	return t
}

// pick asks the primaries, and the backups when no primary is left.
func (v *view) pick(q *Query) *Server {
	if q.Loop < len(v.primary.pickers) {
		if s := v.primary.pickers[q.Loop].Pick(q); s != nil {
			return s
		}
	}
	if q.Loop < len(v.backup.pickers) {
		return v.backup.pickers[q.Loop].Pick(q)
	}
	return nil
}
