package config

import (
	"fmt"
	"strings"
)

// What a probe sends, and how far it looks for what shall come.
const (
	maxProbeText = 4 << 10
	maxProbeBody = 64 << 10
)

// health checks how servers are probed.
func (c *checker) health(h *Health) {
	c.kind(h)
	if c.good(&h.Timeout) && !c.broken[&h.Interval] && h.Timeout > h.Interval {
		c.warn(c.at[&h.Timeout], fmt.Sprintf("timeout is longer than interval (%s): a probe that hangs delays the next", formatDuration(h.Interval)), "")
	}
	if c.good(&h.FastInterval) && !c.broken[&h.Interval] && h.FastInterval >= h.Interval {
		c.warn(c.at[&h.FastInterval], fmt.Sprintf("fast_interval has no effect: interval (%s) is not longer", formatDuration(h.Interval)), "")
	}
	if c.good(&h.DownInterval) && h.DownInterval > 0 && !c.broken[&h.Interval] {
		switch {
		case h.DownInterval == h.Interval:
			c.warn(c.at[&h.DownInterval], "down_interval has no effect: it is the same as interval", "")
		case !c.broken[&h.Timeout] && h.DownInterval < h.Timeout && h.Timeout <= h.Interval:
			c.warn(c.at[&h.DownInterval], fmt.Sprintf("timeout (%s) is longer than down_interval: a probe that hangs delays the next", formatDuration(h.Timeout)), "")
		}
	}
	if h.HTTP != nil && !c.broken[h.HTTP] {
		c.httpProbe(h.HTTP)
	}
	if h.TCP != nil && !c.broken[h.TCP] {
		c.within(&h.TCP.Send, "send", maxProbeText)
		c.within(&h.TCP.Expect, "expect", maxProbeText)
	}
	if h.GRPC != nil && !c.broken[h.GRPC] {
		c.within(&h.GRPC.Service, "service", maxProbeText)
		c.tlsProbe(h.GRPC.TLS)
	}
	c.tlsProbe(h.TLS)
}

// agent checks how agents are asked.
func (c *checker) agent(p *Pool) {
	a := p.Agent
	if !c.set(&a.Port) && !c.broken[&a.Port] {
		c.report(c.at[a], "agent: port is missing", "add port: 9707, or where the agents listen")
	}
	if c.good(&a.Timeout) && !c.broken[&a.Interval] && a.Timeout > a.Interval {
		c.complain(&a.Timeout, fmt.Sprintf("timeout: longer than interval (%s)", formatDuration(a.Interval)), "")
	}
	c.within(&a.Send, "send", maxProbeText)
	for _, s := range p.Servers {
		if !c.broken[s] && !c.broken[&s.Address] && strings.HasPrefix(string(s.Address), "unix:") {
			c.warn(c.at[&s.Address], fmt.Sprintf("agent has no effect for %s: a Unix socket has no host where an agent could be asked", s.Address), "")
		}
	}
}

// kind checks that there is one kind of probe.
func (c *checker) kind(h *Health) {
	hint := func(first, other string) string {
		if other == "tls" && first != "tcp" {
			return fmt.Sprintf("keep one, or write %s: {tls: {}}", first)
		}
		return "keep one"
	}
	if c.oneOf([]entry{{"http", &h.HTTP}, {"tcp", &h.TCP}, {"grpc", &h.GRPC}, {"tls", &h.TLS}}, hint) == "" {
		c.report(c.at[h], "health: how to probe is missing", "add http: {path: /healthz} or tcp: {}")
	}
}

// httpProbe checks a request and what its answer must be.
func (c *checker) httpProbe(x *HTTPProbe) {
	if c.good(&x.Path) {
		switch {
		case !strings.HasPrefix(x.Path, "/"):
			c.complain(&x.Path, fmt.Sprintf("path: %q does not begin with /", x.Path), "write /"+x.Path)
		case strings.ContainsFunc(x.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }):
			c.complain(&x.Path, fmt.Sprintf("path: %q has characters that are not in a path", x.Path), "")
		}
	}
	if c.good(&x.Method) {
		if !isToken(x.Method) || x.Method != strings.ToUpper(x.Method) {
			c.complain(&x.Method, fmt.Sprintf("method: %q is not a method in upper case", x.Method), "write "+strings.ToUpper(x.Method))
		}
	}
	if c.good(&x.Host) && (x.Host == "" || !isFieldValue(x.Host) || strings.ContainsAny(x.Host, " /\t")) {
		c.complain(&x.Host, fmt.Sprintf("host: %q is not a host", x.Host), "")
	}
	c.headers(x.Headers)
	c.distinct(x.Headers.names())
	c.within(&x.Body, "body", maxProbeBody)
	if c.good(&x.Body) && x.Method == "HEAD" && !c.broken[&x.Method] {
		c.complain(&x.Body, "body: the answer to HEAD has none", "take GET as method")
	}
	c.tlsProbe(x.TLS)
}

// within checks a text that a probe sends or looks for.
func (c *checker) within(text *string, key string, most int) {
	switch {
	case !c.good(text):
	case *text == "":
		c.complain(text, key+": empty", "leave it out")
	case len(*text) > most:
		c.complain(text, fmt.Sprintf("%s: longer than %d bytes", key, most), "")
	}
}

// tlsProbe checks how a probe knows its server.
func (c *checker) tlsProbe(x *TLSProbe) {
	if x == nil || c.broken[x] {
		return
	}
	c.knownBy(&x.ServerName, &x.CA, &x.Insecure)
}
