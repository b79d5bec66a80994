package exchange

import (
	"poise/internal/fault"
	"poise/internal/route"
)

// Reply is what Poise answers itself.
type Reply struct {
	Status int
	// Text is the body, and says what happened without inside addresses; ProxyStatus the error type of RFC 9209, or empty.
	Text        string
	ProxyStatus string
	// RetryAfter is in how many seconds another try may fare better; 0: nobody knows.
	RetryAfter int
	// Fixed is an answer that the configuration gives whole; nil: none.
	Fixed *route.Reply
	// Preflight: it answers a browser's question about a page of another origin.
	Preflight bool
	// Challenge is what WWW-Authenticate asks for, or empty.
	Challenge []byte
	// Location is where the client finds what it wants, or empty.
	Location []byte
	// By is the route's rule by which the request is refused.
	By fault.Rule
	// Close: the connection cannot be used further.
	Close bool
	// Silent: nobody is there to get it; only the log shows the status.
	Silent bool
}

var (
	forbidden       = Reply{Status: 403, Text: "this client is not served here", ProxyStatus: "http_request_denied", By: fault.Access}
	tooLarge        = Reply{Status: 413, Text: "the request's body is too large", ProxyStatus: "http_request_error", By: fault.MaxBody}
	tooManyRequests = Reply{Status: 429, Text: "too many requests came", ProxyStatus: "http_request_denied", By: fault.RateLimit}
	tooManyAtOnce   = Reply{Status: 429, Text: "too many requests are under way", ProxyStatus: "http_request_denied", By: fault.InFlightLimit}
	foreign         = Reply{Status: 403, Text: "pages of this origin may not ask here", ProxyStatus: "http_request_denied", By: fault.CORS}
	noPassword      = Reply{Status: 401, Text: "a name and password are needed, and these are none", By: fault.BasicAuth}
	passwordsBusy   = Reply{
		Status: 503, Text: "too many passwords are compared at present", ProxyStatus: "connection_limit_reached", RetryAfter: 1, By: fault.BasicAuth,
	}
	unreadable  = Reply{Status: 400, Text: "the path cannot be rewritten", ProxyStatus: "http_request_error", By: fault.Rewrite}
	noRoute     = Reply{Status: 404, Text: "no route matches this host and path", ProxyStatus: "destination_not_found"}
	misdirected = Reply{Status: 421, Text: "the connection is for another host", ProxyStatus: "http_request_error"}
	notOffered  = Reply{Status: 501, Text: "what was asked for by CONNECT is not offered here", ProxyStatus: "http_request_error"}
	notTaken    = Reply{Status: 501, Text: "the server has answered, but not by what was asked for by CONNECT", ProxyStatus: "http_request_error"}
	noServer    = Reply{Status: 503, Text: "no server is usable at present", ProxyStatus: "destination_unavailable"}
	full        = Reply{Status: 503, Text: "all servers are busy, and too many requests wait already", ProxyStatus: "connection_limit_reached", RetryAfter: 1}
	waitedLong  = Reply{Status: 503, Text: "all servers were busy for too long", ProxyStatus: "connection_limit_reached", RetryAfter: 1}
	unreachable = Reply{Status: 503, Text: "no server could be reached", ProxyStatus: "connection_refused"}
	badCert     = Reply{Status: 503, Text: "no server has a certificate that is accepted", ProxyStatus: "tls_certificate_error"}
	alerted     = Reply{Status: 503, Text: "no server could be reached over TLS", ProxyStatus: "tls_alert_received"}
	noTLS       = Reply{Status: 503, Text: "no server could be reached over TLS", ProxyStatus: "tls_protocol_error"}
	noSlot      = Reply{Status: 503, Text: "out of connections at present", ProxyStatus: "connection_limit_reached"}
	connectSlow = Reply{Status: 503, Text: "no server could be reached in time", ProxyStatus: "connection_timeout"}
	slowServer  = Reply{Status: 504, Text: "the server did not answer in time", ProxyStatus: "http_response_timeout"}
	brokeOff    = Reply{Status: 502, Text: "the server closed the connection before it answered", ProxyStatus: "connection_terminated"}
	badAnswer   = Reply{Status: 502, Text: "the server's answer was malformed", ProxyStatus: "http_protocol_error"}
	slowBody    = Reply{Status: 408, Text: "the request's body came too slowly", ProxyStatus: "http_request_error", Close: true}
	slowHead    = Reply{Status: 408, Text: "the request's head came too slowly", ProxyStatus: "http_request_error", Close: true}
	notTold     = Reply{Status: 400, Silent: true, Close: true}
	clientLeft  = Reply{Status: 499, Silent: true, Close: true}
	stopping    = Reply{Status: 503, Text: "the balancer is stopping", ProxyStatus: "connection_terminated", Silent: true, Close: true}
	ourFault    = Reply{Status: 500, Text: "internal error", ProxyStatus: "proxy_internal_error", Close: true}
)

func (x *Exchange) answer(r Reply, cause, phase byte) Step {
	x.mark(cause, phase, r.Text)
	return x.reply(r)
}

func (x *Exchange) reply(r Reply) Step {
	x.Own, x.Status, x.Refused = true, r.Status, r.By
	if x.Asking() && !r.Silent { // else the client has left by itself, or is not told
		x.Refused = fault.ForwardAuth
	}
	if x.own == nil {
		x.own = new(Reply)
	}
	*x.own = r
	return Step{Kind: Answer, Reply: x.own}
}

// refuse answers a request that has no single reading, or one that a limit forbids.
func (x *Exchange) refuse(status int, text string) Step {
	return x.answer(Reply{Status: status, Text: text, ProxyStatus: "http_request_error", Close: true}, 'P', 'R')
}

// fail is the one mapping from a fault before the response to a status.
func (x *Exchange) fail(f *fault.Error) Step {
	cause, phase := endOf(f)
	why := f.Error()
	if x.Unpaid {
		why += "; not repeated: the pool's retry budget is used up"
	}
	if x.Asking() {
		why = "forward_auth: " + why
	}
	x.mark(cause, phase, why)
	return x.reply(replyTo(f))
}

func replyTo(f *fault.Error) Reply {
	switch f.Side {
	case fault.Client:
		switch {
		case f.Kind == fault.Timeout && f.Op == fault.ReadHead:
			return slowHead
		case f.Kind == fault.Timeout:
			return slowBody
		case f.Status != 0:
			return Reply{Status: f.Status, Text: f.Err.Error(), ProxyStatus: "http_request_error", By: f.By, Close: true}
		case f.Kind == fault.Malformed: // its stream was reset for that already
			return notTold
		}
		return clientLeft
	case fault.Internal:
		if f.Kind == fault.Cancelled {
			return stopping
		}
	case fault.Server:
		switch {
		case f.Op == fault.Connect && f.Kind == fault.Timeout:
			return connectSlow
		case f.Op == fault.Connect && f.Kind == fault.Limit:
			return noSlot
		case f.Kind == fault.Certificate:
			return badCert
		case f.Kind == fault.Alert:
			return alerted
		case f.Kind == fault.Handshake:
			return noTLS
		case f.Op == fault.Connect:
			return unreachable
		case f.Kind == fault.Timeout:
			return slowServer
		case f.Kind == fault.Malformed:
			return badAnswer
		}
		return brokeOff
	}
	return ourFault
}

// endOf gives the first two of HAProxy's letters (its manual, section 8.5): who ended it, and in which phase.
func endOf(f *fault.Error) (cause, phase byte) {
	switch {
	case f.Kind == fault.Limit:
		cause = 'R'
	case f.Side == fault.Internal && f.Kind == fault.Cancelled:
		cause = 'K'
	case f.Side == fault.Internal:
		cause = 'I'
	case f.Side == fault.Client && f.Kind == fault.Malformed:
		cause = 'P'
	case f.Side == fault.Client && f.Kind == fault.Timeout:
		cause = 'c'
	case f.Side == fault.Client:
		cause = 'C'
	case f.Kind == fault.Timeout:
		cause = 's'
	default:
		cause = 'S'
	}
	switch f.Op {
	case fault.Accept, fault.ReadHead:
		phase = 'R'
	case fault.Queue:
		phase = 'Q'
	case fault.Connect:
		phase = 'C'
	case fault.ReadBody, fault.WriteHead, fault.WriteBody, fault.ReadAnswer:
		phase = 'H'
	default:
		phase = 'D'
	}
	return cause, phase
}
