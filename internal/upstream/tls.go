package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"

	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/secure"
)

// Speech is how servers are spoken to. Connections are used again only as long as their pool has the same one.
type Speech struct {
	// TLS is what a configuration has, or nil: clear text. Without a ServerName, each server is asked for by its host.
	TLS  *tls.Config
	HTTP HTTP
}

// HTTP is which versions of HTTP a server is spoken to in.
type HTTP uint8

// The versions. Negotiated: what a server chooses by ALPN; in clear text HTTP/1.1.
const (
	HTTP1 HTTP = iota
	HTTP2
	Negotiated
)

// Speeches are those of pools, by their names; a pool that is not in it has the zero Speech.
type Speeches map[string]Speech

// SetSpeeches takes effect with the next connection that is asked for. It comes before the table whose requests are to go by it.
func (p *Peers) SetSpeeches(t Speeches) { p.speeches.Store(&t) }

// Speeches is what SetSpeeches was called with last.
func (p *Peers) Speeches() Speeches {
	if t := p.speeches.Load(); t != nil {
		return *t
	}
	return nil
}

// renew looks whether servers are spoken to otherwise than before. Connections that lie idle by what was before end; those in use end after their exchange.
func (l *Loop) renew() {
	t := l.peers.speeches.Load()
	if t == l.speeches {
		return
	}
	l.speeches = t
	for id, s := range l.servers {
		if s == nil || s.base == (*t)[s.of.Pool] {
			continue
		}
		l.CloseIdle(id)
		s.speak(*t)
	}
}

// speak sets how s is spoken to. Its sessions are its own: another server could not resume them.
func (s *server) speak(t Speeches) {
	s.base, s.tls, s.tls1 = t[s.of.Pool], nil, nil
	s.http = s.base.HTTP
	if s.base.TLS == nil {
		if s.http == Negotiated {
			s.http = HTTP1
		}
		return
	}
	s.tls = s.base.TLS.Clone()
	s.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if s.tls.ServerName == "" {
		s.tls.ServerName = s.of.Host()
	}
	if s.http == Negotiated {
		s.tls1 = s.tls.Clone()
		s.tls1.NextProtos = []string{"http/1.1"}
		s.tls1.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
}

// upgrades tells whether it is HTTP/1.1 that is spoken for w's sake. Few servers of HTTP/2 take upgrades.
func (s *server) upgrades(w *Want) bool { return w.Upgrade && s.tls1 != nil }

// handshake makes TLS of a new connection.
func (l *Loop) handshake(config *tls.Config, w *Want, c *fiber.Conn) (protocol string, f *fault.Error) {
	c.ReadBy(w.By)
	c.WriteBy(w.By)
	if w.Client != nil {
		w.Client.Guard(c)
	}
	sc, err := secure.Client(c, config, &l.secure)
	if w.Client != nil {
		w.Client.Guard(nil)
	}
	if err != nil {
		_ = c.Close() // with the alert that says why
		f := connectFault(err, w.Client)
		if f.Side == fault.Server && f.Kind == fault.Other {
			f.Kind = kindOfHandshake(err)
		}
		return "", f
	}
	c.ReadBy(0)
	c.WriteBy(0)
	return sc.State().NegotiatedProtocol, nil
}

// kindOfHandshake says how a handshake ended, where its connection did not break.
func kindOfHandshake(err error) fault.Kind {
	var alert *net.OpError // as crypto/tls tells of the peer's
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, new(x509.HostnameError)):
		return fault.Certificate
	case errors.As(err, &alert) && alert.Op == "remote error":
		return fault.Alert
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Closed
	}
	return fault.Handshake
}
