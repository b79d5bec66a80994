// Package fault holds the error that crosses the seam between movers and deciders: which side broke, doing what,
// and whether the request may have had an effect.
//
// It never decides what follows from a fault: that is exchange's job.
package fault

import "strconv"

// Side tells whose connection a fault came from.
type Side uint8

// The sides of an exchange.
const (
	Internal Side = iota // Poise itself
	Client
	Server
)

func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Server:
		return "server"
	}
	return "internal"
}

// Op is what was being done when the fault came.
type Op uint8

// The phases in which an exchange can break, in the order in which they come.
const (
	Accept         Op = iota
	ReadHead          // the client's request head
	ReadBody          // the client's request body
	Queue             // waiting for a server's slot
	Connect           // a connection to a server
	WriteHead         // the request towards the server
	WriteBody         // the request's body towards the server
	ReadAnswer        // the server's response head
	ReadAnswerBody    // the server's response body
	WriteAnswer       // the response towards the client
	Relay             // bytes either way after an upgrade
)

var opNames = [...]string{
	"accept", "read the request", "read the request body", "wait in the queue", "connect", "send the request",
	"send the request body", "read the response", "read the response body", "send the response", "relay",
}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "op " + strconv.Itoa(int(o))
}

// Kind says how it broke.
type Kind uint8

// The ways in which a side breaks.
const (
	Other       Kind = iota
	Refused          // no connection could be had
	Closed           // the peer closed before it was time
	Reset            // the peer reset the connection
	Timeout          // a deadline passed
	Malformed        // the peer sent what has no single reading
	Limit            // one of our limits was reached
	Cancelled        // the other side of the exchange went away
	Certificate      // the peer has no certificate that we accept
	Alert            // the peer ended TLS with an alert
	Handshake        // TLS did not begin for another reason
)

var kindNames = [...]string{
	"failed", "refused", "closed", "reset", "timed out", "malformed", "over a limit", "cancelled", "certificate refused", "ended with an alert",
	"no TLS",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error is one failure of one side.
type Error struct {
	Side Side
	Op   Op
	Kind Kind
	// Safe: nothing of the request can have reached the server's application, so any method may be sent again.
	Safe bool
	// Status is what a codec says that the client is answered with; 0: it follows from the rest.
	Status int
	// By is the rule that a client has broken; NoRule: none of a route's.
	By  Rule
	Err error // what the socket, codec or resolver said; may be nil
}

func (e *Error) Error() string {
	s := e.Side.String() + ": " + e.Op.String() + ": " + e.Kind.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
