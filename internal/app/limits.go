package app

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"poise/internal/config"
	"poise/internal/limit"
	"poise/internal/route"
)

// counts is what is counted for a route's limits. It lasts as long as the route keeps its name and the limits.
type counts struct {
	of       *config.Route
	rate     *limit.Rate
	inFlight *limit.InFlight
}

// countsOf are the counts of a route, which was counted for so before; nil: it was not there.
func countsOf(r *config.Route, was *counts) *counts {
	c := &counts{of: r}
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
	return c
}

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

// limits adds the route's limits to what it does.
func (c *counts) limits(a *route.Actions, secret []byte) {
	if x := c.of.RateLimit; x != nil {
		a.Rate = &route.RateLimit{LimitKey: limitKeyOf(&x.LimitKey, secret), Rate: c.rate}
		if x.Headers {
			window := x.Per * time.Duration(burstOf(x)) / time.Duration(x.Requests) // in which an empty bucket is full again
			a.Rate.Policy = fmt.Appendf(nil, `"route";q=%d;w=%d`, burstOf(x), max(1, (window+time.Second-1)/time.Second))
		}
	}
	if x := c.of.InFlightLimit; x != nil {
		a.InFlight = &route.InFlightLimit{LimitKey: limitKeyOf(&x.LimitKey, secret), InFlight: c.inFlight}
	}
}

func limitKeyOf(k *config.LimitKey, secret []byte) route.LimitKey {
	by := map[string]route.By{"client": route.ByClient, "header": route.ByHeader, "route": route.ByRoute}[k.By]
	return route.LimitKey{By: by, Header: strings.ToLower(k.Header), IPv6: k.IPv6Prefix, Secret: keyOf(secret)}
}
