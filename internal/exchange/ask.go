package exchange

import (
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// Before a request goes on, a server of another pool may be asked whether it may: forward authentication. That is an attempt like any other, with a request of
// its own. Where the answer says yes it is dropped, and the exchange begins anew with the pool that the route leads to; else it is the client's.

// question is what is known of it.
type question struct {
	of      *route.Route // that asks; nil: nobody is asked at present
	over    bool         // it may go on
	granted msg.Fields   // of the answer, for the server
	passed  msg.Fields   // and for the client
}

var (
	nameXFM   = []byte("X-Forwarded-Method")
	nameXFU   = []byte("X-Forwarded-Uri")
	methodGet = []byte("GET")
)

// Asking tells whether the present attempt asks whether the request may go on: it has no body.
func (x *Exchange) Asking() bool { return x.asking.of != nil }

// ask begins the question.
func (x *Exchange) ask(now clock.Instant, a *route.Ask) Step {
	x.expect()
	x.asking.of, x.Route = x.Route, a.Route
	return x.take(now)
}

// expect counts the request among those for which the pools that it may go to must have a server yet, although that is not known before something else is.
func (x *Exchange) expect() {
	if !x.expected {
		x.expected = true
		x.tellPools(1)
	}
}

// arrive ends expect: it gets a server now, or none.
func (x *Exchange) arrive() {
	if x.expected {
		x.expected = false
		x.tellPools(-1)
	}
}

func (x *Exchange) tellPools(n int) {
	of := x.Route
	if x.Asking() {
		of = x.asking.of
	}
	if of.Pool != nil {
		of.Pool.Expect(n)
	}
	if a := of.Actions.Ask; a != nil {
		a.Route.Pool.Expect(n)
	}
	if s := of.Actions.Split; s != nil {
		for i := range s.Ways {
			s.Ways[i].Route.Pool.Expect(n)
		}
	}
}

// answered is Responded for the answer to the question.
func (x *Exchange) answered(now clock.Instant, resp *msg.Response) Step {
	if resp.Status < 200 || resp.Status >= 300 {
		x.mark('P', 'R', "forward_auth: the server that was asked has refused it")
		x.Status, x.Refused = resp.Status, fault.ForwardAuth
		return Step{Kind: Relay}
	}
	a := x.Route.Actions.Ask
	for i := range resp.Fields {
		f := &resp.Fields[i]
		if hopByHop(f.ID) || listed(resp.Connection, f) {
			continue
		}
		forServer, forClient := isAmong(f.Name, a.Copy), isAmong(f.Name, a.CopyToClient)
		if !forServer && !forClient {
			continue
		}
		kept := msg.Field{Name: x.keep(f.Name), Value: x.keep(f.Value), ID: f.ID}
		if forServer {
			x.asking.granted = append(x.asking.granted, kept)
		}
		if forClient {
			x.asking.passed = append(x.asking.passed, kept)
		}
	}
	x.lease.Tell(x.outcome, x.took)
	x.lease.End()
	x.HedgeOver(now, nil, false, 0)
	x.leave()
	x.Route, x.asking.of, x.asking.over = x.asking.of, nil, true
	x.Times.Allowed = now
	x.lease, x.server, x.firstChosen = pool.Lease{}, nil, 0
	x.Times.Chosen, x.Times.Connected, x.Times.Response = 0, 0, 0
	x.query = pool.Query{Loop: x.Client.Loop}
	x.Attempts, x.repeats, x.Fresh, x.answerBegun, x.Unpaid = 0, 0, false, false, false
	x.outcome, x.took, x.Hedge, x.Place, x.Queue = pool.Unknown, 0, NotHedged, 0, NotQueued
	return x.goOn(now, x.Route.Actions)
}

// keep copies what is needed until the exchange ends.
func (x *Exchange) keep(b []byte) []byte {
	from := len(x.scratch)
	x.scratch = append(x.scratch, b...)
	return x.scratch[from:len(x.scratch):len(x.scratch)]
}

func isAmong(name []byte, lower []string) bool {
	for _, n := range lower {
		if msg.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// granted are the names of fields that servers get from who was asked, and from nobody else. Who is asked gets those of the client.
func (x *Exchange) granted() []string {
	if a := x.actions().Ask; a != nil && !x.Asking() {
		return a.Copy
	}
	return nil
}

// askFields are those of dst, from there on, that concern more than the body, and what the question is about.
func (x *Exchange) askFields(dst msg.Fields, from int) msg.Fields {
	kept := dst[:from]
	for _, f := range dst[from:] {
		switch {
		case f.ID == msg.Expect, f.ID == msg.Range, f.ID == msg.Trailer, startsWith(f.Name, "content-"), startsWith(f.Name, "if-"),
			startsWith(f.Name, "sec-websocket-"), startsWith(f.Name, "grpc-"), msg.EqualFold(f.Name, "x-forwarded-method"),
			msg.EqualFold(f.Name, "x-forwarded-uri"):
		default:
			kept = append(kept, f)
		}
	}
	from = len(x.scratch)
	x.scratch = append(append(x.scratch, x.Req.Path...), x.Req.Query...)
	return append(kept,
		msg.Field{Name: nameXFM, Value: x.Req.Method},
		msg.Field{Name: nameXFU, Value: x.scratch[from:len(x.scratch):len(x.scratch)]})
}

func startsWith(name []byte, lower string) bool {
	return len(name) >= len(lower) && msg.EqualFold(name[:len(lower)], lower)
}

// Method and Query are what servers are asked by and with, as Path has the rest of it.
func (x *Exchange) Method() []byte {
	if x.Asking() {
		return methodGet
	}
	return x.Req.Method
}

// Query begins with a question mark, or is empty.
func (x *Exchange) Query() []byte {
	if x.Asking() {
		return x.Route.Actions.Ask.Query
	}
	return x.Req.Query
}
