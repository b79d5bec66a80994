package stats

// Streams counts what happens on connections of HTTP/2.
type Streams struct {
	Open   int64
	Events [numStreamEvents]uint64
}

// StreamEvent is what happens there.
type StreamEvent uint8

// The events. StreamEnded follows each StreamOpened.
const (
	StreamOpened    StreamEvent = iota
	StreamEnded                 // for us: what it has caused is over
	StreamRefused               // there were too many
	StreamReset                 // by the peer
	StreamViolation             // reset by us: the peer has violated the protocol
	Glitch                      // a frame that brings nothing
	ConnViolation               // a connection that we have ended: the peer has violated the protocol
	ConnFlood                   // likewise: it has had us do too much for nothing
	numStreamEvents
)

func (s *Streams) note(e StreamEvent) {
	s.Events[e]++
	switch e {
	case StreamOpened:
		s.Open++
	case StreamEnded:
		s.Open--
	}
}

func (s *Streams) add(o *Streams) {
	s.Open += o.Open
	addAll(s.Events[:], o.Events[:])
}

// ClientStream counts what happens on a listener's connections.
func (l *Loop) ClientStream(listener int, e StreamEvent) {
	if li := slot(&l.s.Listeners, listener); li != nil {
		li.Streams.note(e)
	}
}

// ServerStream counts what happens on connections to a server.
func (l *Loop) ServerStream(server int, e StreamEvent) {
	if s := slot(&l.s.Servers, server); s != nil {
		s.Streams.note(e)
	}
}
