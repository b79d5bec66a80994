package exchange

import (
	"bytes"

	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/route"
)

// admit finds out whether the request may go on, by what is asked in this order. over: the step answers it, or has to be done before it does.
func (x *Exchange) admit(now clock.Instant, a *route.Actions) (step Step, over bool) {
	if a.Access != nil && !a.Access.Allows(x.From) {
		return x.answer(forbidden, 'P', 'R'), true
	}
	if a.Rate != nil && !x.takeToken(now, a.Rate) {
		return x.answer(tooMany(x.taken.Wait), 'P', 'R'), true
	}
	if a.InFlight != nil && !x.enter(a.InFlight) {
		return x.answer(tooManyAtOnce, 'P', 'R'), true
	}
	if a.CORS != nil {
		if step, over := x.preflight(a.CORS); over {
			return step, true
		}
	}
	if a.Login != nil {
		return x.login(a.Login)
	}
	return Step{}, false
}

// goOn is what follows once the request may go on, as far as Poise knows itself.
func (x *Exchange) goOn(now clock.Instant, a *route.Actions) Step {
	if a.Ask != nil && !x.asking.over {
		return x.ask(now, a.Ask)
	}
	x.arrive()
	if step, over := x.act(now, a); over {
		return step
	}
	return x.begin(now)
}

// act does what the route does with a request that may go on, in this order. over: the step answers it.
func (x *Exchange) act(now clock.Instant, a *route.Actions) (step Step, over bool) {
	if a.MaxBody > 0 && x.Req.Length > a.MaxBody {
		return x.answer(tooLarge, 'P', 'R'), true
	}
	if a.Redirect != nil {
		return x.redirect(a.Redirect), true
	}
	if a.Reply != nil {
		return x.answer(Reply{Status: a.Reply.Status, Text: "a fixed reply", Fixed: a.Reply}, 'L', 'R'), true
	}
	if a.Rewrite != nil && !x.rewrite(a.Rewrite) {
		return x.answer(unreadable, 'P', 'R'), true
	}
	if a.Split != nil {
		x.Route = x.choose(now, a.Split)
	}
	if a.Mirror != nil && x.mirrors(a.Mirror) {
		x.mirror = a.Mirror
	}
	return Step{}, false
}

// MaxBody is how many bytes the request's body may have; 0: any number.
func (x *Exchange) MaxBody() int64 { return x.actions().MaxBody }

// TooLarge is the status for a body that is.
const TooLarge = 413

// redirect sends the client elsewhere.
func (x *Exchange) redirect(r *route.Redirect) Step {
	from := len(x.scratch)
	if r.Absolute() {
		scheme := r.Scheme
		if scheme == "" {
			scheme = string(x.scheme())
		}
		x.scratch = append(append(x.scratch, scheme...), "://"...)
		host := len(x.scratch)
		if r.Host != nil {
			x.scratch = x.fill(x.scratch, r.Host, inHeader)
		} else {
			x.scratch = append(x.scratch, x.Req.Host...)
		}
		if len(x.scratch) == host {
			return x.refuse(400, "no host")
		}
		x.scratch = appendPort(x.scratch, scheme, r.Port)
	}
	if x.Req.Path[0] == '/' { // else it is OPTIONS *
		path := len(x.scratch)
		x.scratch = x.replace(x.scratch, &r.Path)
		x.scratch = append(x.scratch[:path], oneSlash(x.scratch[path:])...)
	}
	if query := len(x.scratch); r.Query != nil {
		if x.scratch = x.fill(append(x.scratch, '?'), r.Query, inURL); len(x.scratch) == query+1 {
			x.scratch = x.scratch[:query]
		}
	}
	return x.answer(Reply{Status: r.Status, Text: "what is asked for is elsewhere", Location: x.scratch[from:]}, 'L', 'R')
}

// oneSlash is a path that begins with one slash: one that begins with two would name a host. [RFC 3986 section 4.2]
func oneSlash(path []byte) []byte {
	for len(path) > 1 && path[1] == '/' {
		path = path[1:]
	}
	return path
}

// replace appends the path that stands in place of the request's.
func (x *Exchange) replace(dst []byte, r *route.Replace) []byte {
	switch {
	case r.Path != nil:
		return x.fill(dst, r.Path, inURL)
	case r.Prefix == "":
		return append(dst, x.Req.Path...)
	}
	rest := x.Req.Path[x.prefix:]
	if r.Prefix != "/" || len(rest) == 0 {
		dst = append(dst, r.Prefix...)
	}
	return append(dst, rest...)
}

// rewrite makes what servers are asked for another thing than the client asked for, and tells whether it has one reading.
func (x *Exchange) rewrite(r *route.Rewrite) bool {
	if r.Host != nil {
		from := len(x.scratch)
		x.scratch = x.fill(x.scratch, r.Host, inHeader)
		x.authority = x.scratch[from:len(x.scratch):len(x.scratch)]
		if !isAuthority(x.authority) {
			return false
		}
	}
	if (r.Path.Path != nil || r.Path.Prefix != "") && x.Req.Path[0] == '/' {
		from := len(x.scratch)
		x.scratch = x.replace(x.scratch, &r.Path)
		x.path = x.scratch[from:len(x.scratch):len(x.scratch)]
		return isNormal(x.path)
	}
	return true
}

// isAuthority tells whether b can be a host with or without a port.
func isAuthority(b []byte) bool {
	for _, c := range b {
		if !isUnreserved(c) && c != ':' && c != '[' && c != ']' {
			return false
		}
	}
	return len(b) > 0
}

// isNormal tells whether a path is one that servers read as Poise does: it begins with one slash, and has nothing that is resolved. All else that it is made
// of was normal, or is percent-encoded.
func isNormal(path []byte) bool {
	if len(path) == 0 || path[0] != '/' || len(path) > 1 && path[1] == '/' {
		return false
	}
	for rest := path; len(rest) > 0; {
		rest = rest[1:]
		segment := rest
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			segment = rest[:i]
		}
		if s := string(segment); s == "." || s == ".." {
			return false
		}
		rest = rest[len(segment):]
	}
	return true
}

// Path and Authority are what servers are asked for.
func (x *Exchange) Path() []byte {
	if x.Asking() {
		return x.Route.Actions.Ask.Path
	}
	if x.path != nil {
		return x.path
	}
	return x.Req.Path
}

// Authority is the host, and port if there is one, that servers are asked for.
func (x *Exchange) Authority() []byte {
	if x.authority != nil {
		return x.authority
	}
	return x.Req.Authority
}

// choose finds the pool of a split: that to which the client belongs, or one by chance, which is the same each time for clients that are known by a hash.
func (x *Exchange) choose(now clock.Instant, s *route.Split) *route.Route {
	var key uint64
	for i := range s.Ways {
		a := s.Ways[i].Route.Affinity
		if a == nil {
			continue
		}
		f := a.Find(now, x.From, x.Req.Fields)
		if f.Server != nil {
			return s.Ways[i].Route
		}
		if key == 0 {
			key = f.Key
		}
	}
	if key == 0 {
		return s.Pick(uint64(x.chance() * (1 << 53)))
	}
	key = (key ^ key>>32) * 0x9e3779b97f4a7c15 // another number than the one by which the pool chooses its server
	return s.Pick(key >> 11)
}

// actions is what the route does beside passing on; the zero Actions where it does nothing.
func (x *Exchange) actions() *route.Actions {
	if x.Route == nil || x.Route.Actions == nil {
		return &noActions
	}
	return x.Route.Actions
}

var noActions route.Actions

// edit changes the fields that are in dst from there on.
func (x *Exchange) edit(dst msg.Fields, from int, e *route.Edits) msg.Fields {
	if e == nil {
		return dst
	}
	kept := dst[:from]
	for _, f := range dst[from:] {
		if !removes(e, f.Name) {
			kept = append(kept, f)
		}
	}
	return x.addFields(x.addFields(kept, e.Set), e.Add)
}

// removes tells whether fields of that name end here, also because others are set in their place.
func removes(e *route.Edits, name []byte) bool {
	for _, n := range e.Remove {
		if msg.EqualFold(name, n) {
			return true
		}
	}
	for i := range e.Set {
		if msg.EqualFold(name, e.Set[i].Lower) {
			return true
		}
	}
	return false
}

func (x *Exchange) addFields(dst msg.Fields, edits []route.Edit) msg.Fields {
	for i := range edits {
		e, from := &edits[i], len(x.scratch)
		x.scratch = x.fill(x.scratch, e.Value, inHeader)
		if value := x.scratch[from:len(x.scratch):len(x.scratch)]; len(value) > 0 {
			dst = append(dst, msg.Field{Name: e.Name, Value: value, ID: e.ID})
		}
	}
	return dst
}
