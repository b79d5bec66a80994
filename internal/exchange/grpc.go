package exchange

import (
	"strconv"
	"time"

	"poise/internal/fault"
	"poise/internal/msg"
	"poise/internal/pool"
)

// A gRPC call is a POST of HTTP/2 whose outcome is in a status of its own, beside 200: in the trailers, or in the head of an answer that is nothing else
// (gRPC over HTTP/2, "Responses"). Here that status counts for what a status of HTTP would count for, and our own answers have one.

// call is what is known of a request as a gRPC call.
type call struct {
	is      bool
	timeout time.Duration // the client's, from the call's beginning; 0: none
	status  int           // the answer's, or noStatus
	web     Web
	suffix  []byte // of the request's media type, if web
}

const noStatus = -1

// The statuses of gRPC that Poise acts on.
const (
	grpcUnknown     = 2
	grpcDeadline    = 4
	grpcUnavailable = 14
)

// findCall looks whether the request is a gRPC call.
func (x *Exchange) findCall() {
	x.call.status = noStatus
	if x.Req.Version < msg.HTTP2 {
		return
	}
	kind, _ := x.Req.Fields.Get(msg.ContentType)
	if _, ok := after(kind, grpcType); ok { // and not gRPC-Web
		x.takeCall()
	}
}

func (x *Exchange) takeCall() {
	x.call.is = true
	if f := named(x.Req.Fields, "grpc-timeout"); f != nil {
		x.call.timeout = grpcTimeout(f.Value)
	}
}

func named(fields msg.Fields, name string) *msg.Field {
	for i := range fields {
		if f := &fields[i]; f.ID == msg.Other && msg.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}

// grpcTimeout reads up to eight digits and a unit; 0: it cannot be read.
func grpcTimeout(b []byte) time.Duration {
	if len(b) < 2 || len(b) > 9 {
		return 0
	}
	n := int64(0)
	for _, c := range b[:len(b)-1] {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	unit := time.Duration(0)
	switch b[len(b)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	}
	if unit > 0 && n > int64(1<<62/unit) {
		return 1 << 62
	}
	return max(time.Duration(n)*unit, min(unit, 1)) // none at all is over at once, and no sign that there is no bound
}

// IsCall tells whether the request is a gRPC call.
func (x *Exchange) IsCall() bool { return x.call.is }

// CallStatus is the status of the call's answer, if it has one.
func (x *Exchange) CallStatus() (status int, ok bool) {
	return x.call.status, x.call.is && x.call.status != noStatus
}

// Within is d, or less where the client gives its call less time.
func (x *Exchange) Within(d time.Duration) time.Duration {
	if t := x.call.timeout; t > 0 && (d == 0 || t < d) {
		return t
	}
	return d
}

// noteCall takes the status that is among fields, and returns what it is in HTTP.
func (x *Exchange) noteCall(fields msg.Fields) (status int, ok bool) {
	if !x.call.is {
		return 0, false
	}
	f := named(fields, "grpc-status")
	if f == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(f.Value))
	if err != nil || n < 0 {
		n = grpcUnknown
	}
	x.call.status = n
	return statusOfCall(n), true
}

// Ended takes in the trailers of an answer that has ended in good order.
func (x *Exchange) Ended(trailers msg.Fields) {
	if status, ok := x.noteCall(trailers); ok {
		x.outcome = pool.OutcomeOf(status)
	}
}

// statusOfCall is the status of HTTP that says the same. [google.rpc.Code's comments]
func statusOfCall(n int) int {
	switch n {
	case 0:
		return 200
	case 3, 9, 11: // INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE
		return 400
	case 16: // UNAUTHENTICATED
		return 401
	case 7: // PERMISSION_DENIED
		return 403
	case 5: // NOT_FOUND
		return 404
	case 6, 10: // ALREADY_EXISTS, ABORTED
		return 409
	case 8: // RESOURCE_EXHAUSTED
		return 429
	case 1: // CANCELLED
		return 499
	case 12: // UNIMPLEMENTED
		return 501
	case grpcUnavailable:
		return 503
	case grpcDeadline:
		return 504
	}
	return 500
}

// callStatusOf is what a client takes a status of HTTP for that stands without one of gRPC, but that we know whose time is up.
// [gRPC: http-grpc-status-mapping]
func callStatusOf(status int) int {
	switch status {
	case 400:
		return 13 // INTERNAL
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 408, 504:
		return grpcDeadline
	case 429, 502, 503:
		return grpcUnavailable
	}
	return grpcUnknown
}

// CutCall appends the trailers that end a call whose answer f has broken off: the client finds the status that it would find without us. Not ok: only a
// reset can tell it, since it is no call, or since what is sent as trailers there would be taken for a part of a message.
func (x *Exchange) CutCall(dst msg.Fields, f *fault.Error) (_ msg.Fields, ok bool) {
	switch {
	case !x.call.is || x.call.web != NoWeb:
		return dst, false
	case f.Kind == fault.Timeout && (f.Side == fault.Server || f.Op == fault.ReadBody): // who waits for either side may find out first
		x.call.status = grpcDeadline
		return x.statusFields(dst, "the call did not end in time"), true
	case f.Side == fault.Server && (f.Kind == fault.Closed || f.Kind == fault.Reset):
		x.call.status = grpcUnavailable
		return x.statusFields(dst, "the server closed the connection in the middle of its answer"), true
	}
	return dst, false
}

// callFields appends what a reply of our own to a gRPC call has in place of a body.
func (x *Exchange) callFields(dst msg.Fields, r *Reply) msg.Fields {
	x.call.status = callStatusOf(r.Status)
	kind := x.mediaType(x.call.web, nil)
	return x.statusFields(append(dst, msg.Field{Name: nameContentType, Value: kind, ID: msg.ContentType}), r.Text)
}

// statusFields appends the call's status, and a text without "%" and all that would have to be written as one.
func (x *Exchange) statusFields(dst msg.Fields, text string) msg.Fields {
	from := len(x.scratch)
	x.scratch = strconv.AppendInt(x.scratch, int64(x.call.status), 10)
	return append(dst,
		msg.Field{Name: []byte("Grpc-Status"), Value: x.scratch[from:len(x.scratch):len(x.scratch)]},
		msg.Field{Name: []byte("Grpc-Message"), Value: []byte(text)})
}
