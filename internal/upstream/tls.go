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

// TLS says how the servers of pools are spoken to, by the pools' names; a pool that is not in it has servers in clear text. Where a configuration has no
// ServerName, each server is asked for by its host. Connections are used again only as long as their pool has the same configuration, by its address.
type TLS map[string]*tls.Config

// SetTLS takes effect with the next connection that is asked for. It comes before the table whose requests are to go by it.
func (p *Peers) SetTLS(t TLS) { p.tls.Store(&t) }

// TLS is what SetTLS was called with last.
func (p *Peers) TLS() TLS {
	if t := p.tls.Load(); t != nil {
		return *t
	}
	return nil
}

// renew looks whether servers are spoken to otherwise than before. Connections that lie idle by what was before end; those in use end after their exchange.
func (l *Loop) renew() {
	t := l.peers.tls.Load()
	if t == l.tls {
		return
	}
	l.tls = t
	for id, s := range l.servers {
		if s == nil || s.base == (*t)[s.of.Pool] {
			continue
		}
		l.CloseIdle(id)
		s.speak(*t)
	}
}

// speak sets how s is spoken to. Its sessions are its own: another server could not resume them.
func (s *server) speak(t TLS) {
	s.base, s.tls = t[s.of.Pool], nil
	if s.base == nil {
		return
	}
	s.tls = s.base.Clone()
	s.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if s.tls.ServerName == "" {
		s.tls.ServerName = s.of.Host()
	}
}

// handshake makes TLS of a new connection to s.
func (l *Loop) handshake(s *server, w *Want, c *fiber.Conn) *fault.Error {
	c.ReadBy(w.By)
	c.WriteBy(w.By)
	if w.Client != nil {
		w.Client.Guard(c)
	}
	_, err := secure.Client(c, s.tls, &l.secure)
	if w.Client != nil {
		w.Client.Guard(nil)
	}
	if err != nil {
		_ = c.Close() // with the alert that says why
		f := connectFault(err, w.Client)
		if f.Side == fault.Server && f.Kind == fault.Other {
			f.Kind = kindOfHandshake(err)
		}
		return f
	}
	c.ReadBy(0)
	c.WriteBy(0)
	return nil
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
