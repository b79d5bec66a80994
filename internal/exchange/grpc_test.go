package exchange

import (
	"testing"

	"poise/internal/fault"
	"poise/internal/msg"
)

// TestCutCall has answers break off after their head.
func TestCutCall(t *testing.T) {
	for _, c := range []struct {
		name string
		call call
		side fault.Side
		op   fault.Op
		kind fault.Kind
		want string // grpc-status; empty: it is to be reset
	}{
		{"the connection has ended", call{is: true}, fault.Server, fault.ReadAnswerBody, fault.Closed, "14"},
		{"the connection was reset", call{is: true}, fault.Server, fault.ReadAnswerBody, fault.Reset, "14"},
		{"the time is up", call{is: true}, fault.Server, fault.ReadAnswerBody, fault.Timeout, "4"},
		{"the time is up for the request's body", call{is: true}, fault.Client, fault.ReadBody, fault.Timeout, "4"},
		{"the client takes nothing", call{is: true}, fault.Client, fault.WriteAnswer, fault.Timeout, ""},
		{"malformed", call{is: true}, fault.Server, fault.ReadAnswerBody, fault.Malformed, ""},
		{"the client has gone", call{is: true}, fault.Client, fault.ReadBody, fault.Closed, ""},
		{"gRPC-Web", call{is: true, web: WebBinary}, fault.Server, fault.ReadAnswerBody, fault.Closed, ""},
		{"no call", call{}, fault.Server, fault.ReadAnswerBody, fault.Closed, ""},
	} {
		x := Exchange{call: c.call}
		trailers, ok := x.CutCall(nil, &fault.Error{Side: c.side, Op: c.op, Kind: c.kind})
		got := ""
		if f := named(trailers, "grpc-status"); f != nil {
			got = string(f.Value)
		}
		if got != c.want || ok != (c.want != "") || (ok && named(trailers, "grpc-message") == nil) {
			t.Errorf("%s: CutCall = %s, %v, want status %q", c.name, text(trailers), ok, c.want)
		}
	}
}

func text(fields msg.Fields) (s string) {
	for _, f := range fields {
		s += string(f.Name) + ": " + string(f.Value) + "; "
	}
	return s
}
