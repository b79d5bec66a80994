package exchange

import (
	"bytes"
	"encoding/base64"

	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/route"
)

// claim is whom the client claims to be, and what became of it.
type claim struct {
	name, password []byte
	ok             bool
}

// login finds out whose request it is. Passwords that were right before are known at once.
func (x *Exchange) login(l *route.Login) (step Step, over bool) {
	if !x.readClaim() {
		return x.askPassword(l), true
	}
	if l.Users.Known(x.claim.name, x.claim.password) {
		x.user = x.claim.name
		return Step{}, false
	}
	if !l.Users.Begin() {
		return x.answer(passwordsBusy, 'R', 'R'), true
	}
	x.expect()
	return Step{Kind: Verify}, true
}

// User is who the client is by its password; empty: nobody was asked for one.
func (x *Exchange) User() []byte { return x.user }

// readClaim reads the name and password of an Authorization field (RFC 7617), and tells whether there is one. Of two, servers might believe the other.
func (x *Exchange) readClaim() bool {
	var value []byte
	n := 0
	for i := range x.Req.Fields {
		if f := &x.Req.Fields[i]; f.ID == msg.Authorization {
			value = f.Value
			n++
		}
	}
	scheme, text, found := bytes.Cut(value, []byte(" "))
	if n != 1 || !found || !msg.EqualFold(scheme, "basic") {
		return false
	}
	from := len(x.scratch)
	var err error
	if x.scratch, err = base64.StdEncoding.AppendDecode(x.scratch, bytes.TrimSpace(text)); err != nil {
		x.scratch = x.scratch[:from]
		return false
	}
	x.claim.name, x.claim.password, found = bytes.Cut(x.scratch[from:len(x.scratch):len(x.scratch)], []byte(":"))
	return found
}

// CheckPassword compares the password, which takes long; it has to follow the step Verify. It touches nothing else, and may run beside the loop while the
// exchange waits for it.
func (x *Exchange) CheckPassword() {
	c := &x.claim
	c.ok = x.Route.Actions.Login.Users.Verify(c.name, c.password)
}

// Verified goes on after CheckPassword.
func (x *Exchange) Verified(now clock.Instant) Step {
	a := x.Route.Actions
	if !x.claim.ok {
		return x.askPassword(a.Login)
	}
	x.user = x.claim.name
	return x.goOn(now, a)
}

// askPassword asks the client for a name and a password.
func (x *Exchange) askPassword(l *route.Login) Step {
	r := noPassword
	r.Challenge = l.Challenge
	return x.answer(r, 'P', 'R')
}
