package exchange

import (
	"bytes"
	"net/netip"
	"strconv"

	"poise/internal/msg"
)

// Trust says which addresses are proxies whose forwarding fields are believed.
type Trust []netip.Prefix

// Has tells whether a is trusted.
func (t Trust) Has(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hopByHop fields concern one connection only (RFC 9110 section 7.6.1), or are printed afresh by the codec.
func hopByHop(id msg.ID) bool {
	switch id {
	case msg.Host, msg.ContentLength, msg.TransferEncoding, msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TE,
		msg.Upgrade, msg.HTTP2Settings, msg.ProxyAuthorization, msg.ProxyAuthenticate:
		return true
	}
	return false
}

// forwarding fields tell a server about the client: worth nothing unless a trusted proxy sent them.
func forwarding(id msg.ID) bool {
	switch id {
	case msg.XForwardedFor, msg.XForwardedProto, msg.XForwardedHost, msg.XForwardedPort, msg.XForwardedPrefix, msg.Forwarded,
		msg.XRealIP, msg.TrueClientIP, msg.XClientCert, msg.ClientCert:
		return true
	}
	return false
}

// protectedOption tells whether a Connection option names a field that must reach the server, or that we set: a client that
// could make us drop it would change what the server believes (CVE-2024-45410 is such a case).
func (x *Exchange) protectedOption() bool {
	for _, o := range x.Req.Connection {
		id := msg.Lookup(o)
		switch id {
		case msg.Host, msg.ContentLength, msg.Authorization, msg.Cookie, msg.XRequestID, msg.Expect, msg.Traceparent, msg.Tracestate,
			msg.ContentType, msg.ContentEncoding, msg.Range:
			return true
		}
		if forwarding(id) {
			return true
		}
	}
	return false
}

// listed tells whether a Connection field names f, so that it ends here.
func listed(options [][]byte, f *msg.Field) bool {
	for _, o := range options {
		if msg.EqualFoldBytes(o, f.Name) {
			return true
		}
	}
	return false
}

// identify finds out whom the request is from.
func (x *Exchange) identify() {
	x.From = x.Client.Addr.Addr().Unmap()
	if !x.Client.Trusted {
		return
	}
	if id, ok := x.Req.Fields.Get(msg.XRequestID); ok && len(id) > 0 && len(id) <= 128 {
		x.givenID = id
	}
	// Right to left: each address was written by the proxy to its right. The first that is no trusted proxy is the client.
	for i := len(x.Req.Fields) - 1; i >= 0; i-- {
		f := &x.Req.Fields[i]
		if f.ID != msg.XForwardedFor {
			continue
		}
		for rest := f.Value; len(rest) > 0; {
			var last []byte
			rest, last = cutLast(rest)
			a, err := netip.ParseAddr(string(last)) // does not escape: no allocation for addresses without a zone
			if err != nil {
				return
			}
			if x.From = a.Unmap(); !x.Client.Trust.Has(a) {
				return
			}
		}
	}
}

// cutLast takes the last element off a comma list.
func cutLast(list []byte) (rest, last []byte) {
	i := len(list) - 1
	for i >= 0 && list[i] != ',' {
		i--
	}
	last = list[i+1:]
	for len(last) > 0 && (last[0] == ' ' || last[0] == '\t') {
		last = last[1:]
	}
	for len(last) > 0 && (last[len(last)-1] == ' ' || last[len(last)-1] == '\t') {
		last = last[:len(last)-1]
	}
	return list[:max(i, 0)], last
}

// logsIn tells whether the request or its response has to do with a login that holds for the connection to the server and not for one request: whoever used
// that connection next would be taken for this client.
func (x *Exchange) logsIn(resp *msg.Response) bool {
	for i := range x.Req.Fields {
		if f := &x.Req.Fields[i]; f.ID == msg.Authorization && loginOfConnection(f.Value) {
			return true
		}
	}
	if resp.Status != 401 && resp.Status != 407 {
		return false
	}
	for i := range resp.Fields {
		if f := &resp.Fields[i]; (f.ID == msg.WWWAuthenticate || f.ID == msg.ProxyAuthenticate) && loginOfConnection(f.Value) {
			return true
		}
	}
	return false
}

// loginOfConnection knows the schemes that log a connection in (RFC 4559 section 6 warns of proxies that share one).
func loginOfConnection(value []byte) bool {
	for len(value) > 0 { // a field may list several challenges
		var challenge []byte
		value, challenge = cutLast(value)
		scheme, _, _ := bytes.Cut(challenge, []byte(" "))
		if msg.EqualFold(scheme, "ntlm") || msg.EqualFold(scheme, "negotiate") {
			return true
		}
	}
	return false
}

// Names of the fields that we add, as they are printed.
var (
	nameXFF         = []byte("X-Forwarded-For")
	nameXFP         = []byte("X-Forwarded-Proto")
	nameXFH         = []byte("X-Forwarded-Host")
	nameRequestID   = []byte("X-Request-Id")
	nameSetCookie   = []byte("Set-Cookie")
	nameContentType = []byte("Content-Type")
	nameWSKey       = []byte("Sec-WebSocket-Key")
	nameWSAccept    = []byte("Sec-WebSocket-Accept")
	nameHSTS        = []byte("Strict-Transport-Security")
	schemeHTTP      = []byte("http")
	schemeHTTPS     = []byte("https")
)

// RequestFields appends what the server gets. Fields that concern the client's connection end here; names with an underscore too, since many
// servers read it as a dash and would mistake one for a field of ours. expect: the client waits for the server to want its body.
func (x *Exchange) RequestFields(dst msg.Fields, expect bool) msg.Fields {
	req, trusted, from := x.Req, x.Client.Trusted, len(dst)
	var xff, proto, host []byte
	granted := x.granted()
	for i := range req.Fields {
		f := &req.Fields[i]
		switch {
		case hopByHop(f.ID) || f.ID == msg.XRequestID || f.HasUnderscore():
		case f.ID == msg.Trailer && req.Length != msg.Chunked:
		case f.ID == msg.SecWebSocketKey && x.upgrade.connect:
		case f.ID == msg.ContentType && x.call.web != NoWeb:
			dst = append(dst, msg.Field{Name: nameContentType, Value: x.mediaType(NoWeb, x.call.suffix), ID: msg.ContentType})
		case f.ID == msg.Expect && !expect:
		case granted != nil && isAmong(f.Name, granted):
		case len(req.Connection) > 0 && listed(req.Connection, f):
		case !forwarding(f.ID):
			dst = append(dst, *f)
		case !trusted || f.ID == msg.ClientCert && x.Client.Identity != nil:
		case f.ID == msg.XForwardedFor:
			xff = x.join(xff, f.Value)
		case f.ID == msg.XForwardedProto:
			proto = f.Value
		case f.ID == msg.XForwardedHost:
			host = f.Value
		default:
			dst = append(dst, *f)
		}
	}
	if proto == nil {
		proto = x.scheme()
	}
	if host == nil {
		host = req.Authority
	}
	if x.upgrade.connect && x.upgrade.checks {
		dst = append(dst, msg.Field{Name: nameWSKey, Value: x.upgrade.key[:], ID: msg.SecWebSocketKey})
	}
	dst = append(x.identityFields(dst),
		msg.Field{Name: nameXFF, Value: x.join(xff, x.Client.AddrText), ID: msg.XForwardedFor},
		msg.Field{Name: nameXFP, Value: proto, ID: msg.XForwardedProto},
		msg.Field{Name: nameXFH, Value: host, ID: msg.XForwardedHost},
		msg.Field{Name: nameRequestID, Value: x.RequestID(), ID: msg.XRequestID})
	if x.Asking() {
		return x.askFields(dst, from)
	}
	return x.edit(append(dst, x.asking.granted...), from, x.actions().Request)
}

// join makes a comma list of two, in memory of the exchange.
func (x *Exchange) join(a, b []byte) []byte {
	if len(a) == 0 {
		return b
	}
	from := len(x.scratch)
	x.scratch = append(x.scratch, a...)
	x.scratch = append(x.scratch, ", "...)
	x.scratch = append(x.scratch, b...)
	return x.scratch[from:len(x.scratch):len(x.scratch)]
}

// SetRequestID gives the exchange an id of its own, for when the client brought none.
func (x *Exchange) SetRequestID(id [36]byte) { x.requestID, x.idLen = id, len(id) }

// RequestID is the id that a trusted proxy sent, or the exchange's own.
func (x *Exchange) RequestID() []byte {
	if x.givenID != nil {
		return x.givenID
	}
	return x.requestID[:x.idLen]
}

// ResponseFields appends what the client gets of a server's fields, and what we add. trailers: the client can be sent trailers.
func (x *Exchange) ResponseFields(dst msg.Fields, resp *msg.Response, trailers bool) msg.Fields {
	from := len(dst)
	for i := range resp.Fields {
		f := &resp.Fields[i]
		switch {
		case hopByHop(f.ID) && f.ID != msg.Host, f.ID == msg.XRequestID:
		case f.ID == msg.Host:
		case f.ID == msg.Trailer && !trailers:
		case f.ID == msg.SecWebSocketAccept && x.upgrade.connect:
		case f.ID == msg.ContentType && x.call.web != NoWeb:
			kept := *f
			if suffix, ok := x.webSuffix(f.Value); ok {
				kept.Value = x.mediaType(x.call.web, suffix)
			}
			dst = append(dst, kept)
		case f.ID == msg.Other && len(x.Route.HSTS) > 0 && msg.EqualFold(f.Name, "strict-transport-security"): // there must be one (RFC 6797 section 7.1)
		case len(resp.Connection) > 0 && listed(resp.Connection, f):
		case x.isCORS(f):
		default:
			dst = append(dst, *f)
		}
	}
	if x.upgrade.done && x.upgrade.checks && !x.upgrade.connect && resp.Version == msg.HTTP2 { // which has no such field
		dst = append(dst, msg.Field{Name: nameWSAccept, Value: x.upgrade.accept[:], ID: msg.SecWebSocketAccept})
	}
	return x.edit(x.codingFields(x.ownFields(dst), from), from, x.actions().Response)
}

// ownFields are those that every final response carries.
func (x *Exchange) ownFields(dst msg.Fields) msg.Fields {
	dst = x.corsFields(x.limitFields(x.strictTransport(append(x.keepAffinity(dst), x.asking.passed...))), false)
	return append(dst, msg.Field{Name: nameRequestID, Value: x.RequestID(), ID: msg.XRequestID})
}

// strictTransport appends the field by which browsers come over HTTPS alone.
func (x *Exchange) strictTransport(dst msg.Fields) msg.Fields {
	if x.Route == nil || len(x.Route.HSTS) == 0 {
		return dst
	}
	return append(dst, msg.Field{Name: nameHSTS, Value: x.Route.HSTS})
}

// InterimFields appends what the client gets of an interim response's fields.
func InterimFields(dst msg.Fields, resp *msg.Response) msg.Fields {
	for i := range resp.Fields {
		if f := &resp.Fields[i]; !hopByHop(f.ID) && !listed(resp.Connection, f) {
			dst = append(dst, *f)
		}
	}
	return dst
}

// ReplyFields appends the fields of a reply of our own.
func (x *Exchange) ReplyFields(dst msg.Fields, r *Reply) msg.Fields {
	from := len(dst)
	switch {
	case x.call.is:
		dst = x.callFields(dst, r)
	case r.Fixed == nil:
		dst = append(dst, msg.Field{Name: nameContentType, Value: []byte("text/plain; charset=utf-8"), ID: msg.ContentType})
	case len(r.Fixed.Body) > 0:
		dst = append(dst, msg.Field{Name: nameContentType, Value: r.Fixed.ContentType, ID: msg.ContentType})
	}
	if r.ProxyStatus != "" {
		dst = append(dst, msg.Field{Name: []byte("Proxy-Status"), Value: []byte("poise; error=" + r.ProxyStatus), ID: msg.ProxyStatus})
	}
	if r.RetryAfter > 0 {
		at := len(x.scratch)
		x.scratch = strconv.AppendInt(x.scratch, int64(r.RetryAfter), 10)
		dst = append(dst, msg.Field{Name: []byte("Retry-After"), Value: x.scratch[at:len(x.scratch):len(x.scratch)]})
	}
	if len(r.Challenge) > 0 {
		dst = append(dst, msg.Field{Name: []byte("WWW-Authenticate"), Value: r.Challenge, ID: msg.WWWAuthenticate})
	}
	if len(r.Location) > 0 {
		dst = append(dst, msg.Field{Name: []byte("Location"), Value: r.Location})
	}
	dst = x.corsFields(x.limitFields(x.strictTransport(append(dst, x.asking.passed...))), r.Preflight)
	if x.idLen > 0 || x.givenID != nil {
		dst = append(dst, msg.Field{Name: nameRequestID, Value: x.RequestID(), ID: msg.XRequestID})
	}
	return x.edit(dst, from, x.actions().Response)
}
