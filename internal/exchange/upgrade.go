package exchange

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 has it so: it proves that the server understood, and keeps no secret
	"encoding/base64"

	"poise/internal/msg"
	"poise/internal/pool"
)

// An upgrade leaves HTTP on a connection (RFC 9110 section 7.8): what follows the answer 101 is bytes. So a request counts as one only where nothing is in
// doubt, and a 101 only where it was asked for. All else is an ordinary request, of which the server never hears that more was wanted.

// upgrade is what a request asks for.
type upgrade struct {
	token  []byte // as the route names it; nil: nothing
	accept [28]byte
	// key is what a server of HTTP/1.1 is asked with where the client, of HTTP/2, has none of its own.
	key     [24]byte
	connect bool // asked by an extended CONNECT (RFC 8441)
	checks  bool // the answer must have accept
	done    bool // the server has switched
}

const switching = 101

const webSocket = "websocket"

// Upgrade is the protocol that the server is offered, or nil.
func (x *Exchange) Upgrade() []byte { return x.upgrade.token }

// Switched tells whether the server has taken the offer.
func (x *Exchange) Switched() bool { return x.upgrade.done }

// findUpgrade looks whether the request asks for an upgrade that its route allows: over HTTP/1.1, without a body, to one protocol. Of several the server might
// choose another than the one whose rules the request meets.
func (x *Exchange) findUpgrade() {
	req := x.Req
	if len(req.Protocol) > 0 {
		x.findConnect()
		return
	}
	if len(req.Connection) == 0 || req.Version == msg.HTTP10 || req.Length != 0 || req.Expect100 || !hasOption(req.Connection, "upgrade") {
		return
	}
	asked, ok := only(req.Fields, msg.Upgrade)
	if !ok {
		return
	}
	for _, token := range x.Route.Upgrades {
		if !msg.EqualFold(asked, string(token)) {
			continue
		}
		if string(token) == webSocket && !x.acceptable() {
			return
		}
		x.upgrade.token = token
		return
	}
}

// findConnect does the same for a client of HTTP/2, whose request says by its method that it wants nothing else.
func (x *Exchange) findConnect() {
	req := x.Req
	for _, token := range x.Route.Upgrades {
		if !msg.EqualFold(req.Protocol, string(token)) {
			continue
		}
		if string(token) == webSocket {
			if version, ok := only(req.Fields, msg.SecWebSocketVersion); !ok || string(version) != "13" {
				return
			}
			nonce := sha1.Sum(x.RequestID()) //nolint:gosec // it keeps no secret, and only has to differ from others
			base64.StdEncoding.Encode(x.upgrade.key[:], nonce[:16])
			x.expectAccept(x.upgrade.key[:])
		}
		x.upgrade.token, x.upgrade.connect = token, true
		return
	}
}

// acceptable tells whether a request is one that RFC 6455 section 4.2.1 lets a server accept, and works out what that one answers.
func (x *Exchange) acceptable() bool {
	req := x.Req
	version, ok := only(req.Fields, msg.SecWebSocketVersion)
	if !ok || string(version) != "13" || string(req.Method) != "GET" {
		return false
	}
	key, ok := only(req.Fields, msg.SecWebSocketKey)
	if !ok || len(key) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	var nonce [18]byte
	if n, err := base64.StdEncoding.Strict().Decode(nonce[:], key); err != nil || n != 16 {
		return false
	}
	x.expectAccept(key)
	return true
}

// expectAccept works out what a server answers to a key.
func (x *Exchange) expectAccept(key []byte) {
	h := sha1.New() //nolint:gosec // see above
	h.Write(key)
	h.Write([]byte("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	base64.StdEncoding.Encode(x.upgrade.accept[:], h.Sum(nil))
	x.upgrade.checks = true
}

// Switches tells whether an answer takes the offer: a 101, or of HTTP/2 one that says that all is well.
func (x *Exchange) Switches(resp *msg.Response) bool {
	if resp.Version == msg.HTTP2 {
		return x.upgrade.token != nil && resp.Status >= 200 && resp.Status < 300
	}
	if resp.Status != switching || x.upgrade.token == nil || resp.Version == msg.HTTP10 || !hasOption(resp.Connection, "upgrade") {
		return false
	}
	if to, ok := only(resp.Fields, msg.Upgrade); !ok || !msg.EqualFold(to, string(x.upgrade.token)) {
		return false
	}
	if !x.upgrade.checks {
		return true
	}
	accept, ok := only(resp.Fields, msg.SecWebSocketAccept)
	return ok && string(accept) == string(x.upgrade.accept[:])
}

// switched is Responded for such an answer. What the server's side learns of the exchange is told now: how long the relay lasts, and how it ends, says
// nothing about how the server answers. Nor is anything left that could be repeated.
func (x *Exchange) switched() Step {
	x.Status, x.upgrade.done = switching, true
	if x.upgrade.connect {
		x.Status = 200
	}
	x.lease.Tell(x.outcome, x.took)
	x.outcome, x.took = pool.Unknown, 0
	x.Until = 0
	x.leave()
	return Step{Kind: Upgrade}
}

// Detached is x for the time that the relay lasts, apart from the memory of its request: req has what is left of that, and id and user are the request's.
func (x *Exchange) Detached(req *msg.Request, id, user []byte) Exchange {
	y := *x
	y.Req, y.scratch, y.givenID, y.user, y.waiter = req, nil, id, user, pool.Waiter{}
	return y
}

func hasOption(options [][]byte, option string) bool {
	for _, o := range options {
		if string(o) == option {
			return true
		}
	}
	return false
}

// only is the value of the one field with an ID; of several none counts.
func only(fields msg.Fields, id msg.ID) (value []byte, ok bool) {
	for i := range fields {
		if fields[i].ID != id {
			continue
		}
		if ok {
			return nil, false
		}
		value, ok = fields[i].Value, true
	}
	return value, ok
}
