package pool

// Lease is a server's slot, from the choice to the outcome. It is a value with one owner: a copy that is ended too would
// count twice. The zero Lease holds nothing.
type Lease struct{ server *Server }

// Server is the server that was chosen; nil after End.
func (l *Lease) Server() *Server { return l.server }

// End gives the slot back. A second End does nothing.
func (l *Lease) End() {
	if l.server != nil {
		l.server.inFlight.Add(-1)
		l.server = nil
	}
}
