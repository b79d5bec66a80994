package exchange

import (
	"strconv"
	"time"

	"poise/internal/clock"
	"poise/internal/limit"
	"poise/internal/msg"
	"poise/internal/route"
	"poise/internal/siphash"
)

// takeToken takes one of the tokens that the request's client, or whose it is, has.
func (x *Exchange) takeToken(now clock.Instant, l *route.RateLimit) bool {
	x.taken = l.Take(now, x.limitKey(&l.LimitKey))
	return x.taken.OK
}

// enter counts the request among those that are under way, until Done.
func (x *Exchange) enter(l *route.InFlightLimit) bool {
	key := x.limitKey(&l.LimitKey)
	if !l.Enter(key) {
		return false
	}
	x.entered, x.enteredAs = l, key
	return true
}

// limitKey is the same number for all requests that are counted together.
func (x *Exchange) limitKey(k *route.LimitKey) uint64 {
	switch k.By {
	case route.ByHeader:
		for i := range x.Req.Fields {
			if f := &x.Req.Fields[i]; msg.EqualFold(f.Name, k.Header) {
				return siphash.Sum(k.Secret, f.Value)
			}
		}
	case route.ByClient:
		if x.From.IsValid() {
			return siphash.Address(k.Secret, x.From, k.IPv6)
		}
	}
	return siphash.Sum(k.Secret, nil)
}

// tooMany is the answer to a request beyond a rate. Another one may come after so long.
func tooMany(after time.Duration) Reply {
	r := tooManyRequests
	r.RetryAfter = seconds(after)
	return r
}

// seconds is a time in whole seconds, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

var (
	nameRateLimit = []byte("RateLimit")
	namePolicy    = []byte("RateLimit-Policy")
)

// limitFields appends what the client is told of its limit (draft-ietf-httpapi-ratelimit-headers).
func (x *Exchange) limitFields(dst msg.Fields) msg.Fields {
	l := x.actions().Rate
	if l == nil || l.Policy == nil || x.taken == (limit.Taken{}) { // what was refused before has taken nothing
		return dst
	}
	from := len(x.scratch)
	x.scratch = strconv.AppendInt(append(x.scratch, `"route";r=`...), int64(x.taken.Left), 10)
	x.scratch = strconv.AppendInt(append(x.scratch, ";t="...), int64(seconds(x.taken.Full)), 10)
	return append(dst,
		msg.Field{Name: namePolicy, Value: l.Policy},
		msg.Field{Name: nameRateLimit, Value: x.scratch[from:len(x.scratch):len(x.scratch)]})
}
