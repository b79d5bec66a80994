package pool

// view is what requests see of a pool. It is immutable (pickers keep their loop's state inside) and replaced as a whole.
type view struct {
	primary, backup tier
}

// size is the number of servers that are up and have a weight.
func (v *view) size() int { return v.primary.size + v.backup.size }

// has tells whether there is a server that q has not tried, full or not.
func (v *view) has(q *Query) bool { return v.primary.has(q) || v.backup.has(q) }

// tier is the usable servers of one rank, with a picker for each loop and, where requests may wait, one for who hands slots over to them; none when there
// are no servers.
type tier struct {
	size    int
	servers []*Server
	pickers []Picker
}

func (t *tier) has(q *Query) bool {
	for _, s := range t.servers {
		if !q.Tried.Has(s) {
			return true
		}
	}
	return false
}

func newTier(servers []*Server, policy Policy, pickers int) tier {
	t := tier{size: len(servers), servers: servers}
	if t.size == 0 {
		return t
	}
	t.pickers = make([]Picker, pickers)
	for loop := range t.pickers {
		t.pickers[loop] = policy.Build(servers, loop)
	}
	return t
}

// pick asks the primaries, and the backups when no primary is left: none that is usable, untried and not full.
func (v *view) pick(q *Query, picker int) *Server {
	if picker < len(v.primary.pickers) {
		if s := v.primary.pickers[picker].Pick(q); s != nil {
			return s
		}
	}
	if picker < len(v.backup.pickers) {
		return v.backup.pickers[picker].Pick(q)
	}
	return nil
}
