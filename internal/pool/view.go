package pool

// view is what requests see of a pool. It is immutable (pickers keep their loop's state inside) and replaced as a whole.
type view struct {
	levels  []level // those that have servers, in the order in which requests turn to them
	pickers int     // of each level: one for each loop and, where requests may wait, one for who hands slots over to them
}

// level is usable servers that are alike to a request.
type level struct {
	servers []*Server
	pickers []Picker
}

func newView(groups [][]*Server, policy Policy, pickers int) *view {
	v := &view{pickers: pickers}
	for _, servers := range groups {
		if len(servers) == 0 {
			continue
		}
		l := level{servers: servers, pickers: make([]Picker, pickers)}
		for loop := range l.pickers {
			l.pickers[loop] = policy.Build(servers, loop)
		}
		v.levels = append(v.levels, l)
	}
	return v
}

// size is the number of usable servers.
func (v *view) size() (n int) {
	for i := range v.levels {
		n += len(v.levels[i].servers)
	}
	return n
}

// has tells whether there is a server that q has not tried, full or not.
func (v *view) has(q *Query) bool {
	for i := range v.levels {
		for _, s := range v.levels[i].servers {
			if !q.Tried.Has(s) {
				return true
			}
		}
	}
	return false
}

// pick asks one level after the other, until one has a server that is untried and not full.
func (v *view) pick(q *Query, picker int) *Server {
	if picker >= v.pickers {
		return nil // requests could not wait when it was built
	}
	for i := range v.levels {
		if s := v.levels[i].pickers[picker].Pick(q); s != nil {
			return s
		}
	}
	return nil
}
