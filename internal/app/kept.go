package app

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"poise/internal/config"
	"poise/internal/limit"
	"poise/internal/login"
	"poise/internal/route"
)

// kept is what of a route lasts across reloads, as long as the route keeps its name and what it is for stays as it is: what was counted for its limits, and
// which passwords were right.
type kept struct {
	of       *config.Route
	rate     *limit.Rate
	inFlight *limit.InFlight
	users    *login.Users
	mirror   *limit.InFlight // of copies
}

// keptOf is what a route keeps of before; nil: it was not there.
func keptOf(r *config.Route, was *kept, secret []byte) (*kept, error) {
	c := &kept{of: r}
	if x := r.RateLimit; x != nil {
		if was != nil && reflect.DeepEqual(x, was.of.RateLimit) {
			c.rate = was.rate
		} else {
			c.rate = limit.NewRate(x.Requests, x.Per, burstOf(x), sizeOf(&x.LimitKey))
		}
	}
	if x := r.InFlightLimit; x != nil {
		if was != nil && reflect.DeepEqual(x, was.of.InFlightLimit) {
			c.inFlight = was.inFlight
		} else {
			c.inFlight = limit.NewInFlight(x.Requests, sizeOf(&x.LimitKey))
		}
	}
	if x := r.Mirror; x != nil {
		if was != nil && was.of.Mirror != nil && was.of.Mirror.MaxRequests == x.MaxRequests {
			c.mirror = was.mirror
		} else {
			c.mirror = limit.NewInFlight(x.MaxRequests, 1)
		}
	}
	var before *login.Users
	if was != nil {
		before = was.users
	}
	var err error
	c.users, err = usersOf(r, before, secret)
	return c, err
}

// usersOf reads the users of a route, or keeps those of before where the file is as it was. nil: nobody is asked for a password.
func usersOf(r *config.Route, before *login.Users, secret []byte) (*login.Users, error) {
	if r.BasicAuth == nil {
		return nil, nil
	}
	text, err := readUpTo(r.BasicAuth.UsersFile, maxUsers)
	if err != nil {
		return nil, fmt.Errorf("basic_auth: %w", err)
	}
	if before != nil && before.From(text) {
		return before, nil
	}
	users, err := login.Parse(text, secret)
	if err != nil {
		return nil, fmt.Errorf("basic_auth: %s: %w", r.BasicAuth.UsersFile, err)
	}
	return users, nil
}

// maxUsers is how large a file of users may be.
const maxUsers = 4 << 20

func sizeOf(k *config.LimitKey) int {
	if k.By == "route" {
		return 1
	}
	return k.Size
}

func burstOf(x *config.RateLimit) int {
	if x.Burst == 0 {
		return x.Requests
	}
	return x.Burst
}

// act adds to what the route does that which needs it.
func (c *kept) act(a *route.Actions, secret []byte) {
	if x := c.of.RateLimit; x != nil {
		a.Rate = &route.RateLimit{LimitKey: limitKeyOf(&x.LimitKey, secret), Rate: c.rate}
		if x.Headers {
			window := x.Per.Seconds() * float64(burstOf(x)) / float64(x.Requests) // in which an empty bucket is full again
			a.Rate.Policy = fmt.Appendf(nil, `"route";q=%d;w=%.0f`, burstOf(x), max(1, math.Ceil(window)))
		}
	}
	if x := c.of.BasicAuth; x != nil {
		a.Login = &route.Login{Users: c.users, Challenge: fmt.Appendf(nil, `Basic realm=%q, charset="UTF-8"`, x.Realm)}
	}
	if x := c.of.InFlightLimit; x != nil {
		a.InFlight = &route.InFlightLimit{LimitKey: limitKeyOf(&x.LimitKey, secret), InFlight: c.inFlight}
	}
}

func limitKeyOf(k *config.LimitKey, secret []byte) route.LimitKey {
	by := map[string]route.By{"client": route.ByClient, "header": route.ByHeader, "route": route.ByRoute}[k.By]
	return route.LimitKey{By: by, Header: strings.ToLower(k.Header), IPv6: k.IPv6Prefix, Secret: keyOf(secret)}
}
