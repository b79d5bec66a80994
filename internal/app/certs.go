package app

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"poise/internal/cert"
	"poise/internal/config"
	"poise/internal/secure"
)

// versions are those of TLS that a configuration names.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// suites are those of TLS 1.2: the ones that TLS 1.3 has too, in their older form. Go's own choice has CBC beside them, which a client of the last ten years
// has no need of, and whose checks have leaked before (Lucky Thirteen).
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// secured is what a listener shows to clients in a handshake, and what it asks of them.
type secured struct {
	config  *tls.Config
	store   atomic.Pointer[cert.Store] // of files
	files   []*fromFiles
	strict  bool            // names
	clients *secure.Clients // nil: no certificates are asked of clients
	tickets *tickets
}

// securedOf reads the files of a listener; nil: it speaks no TLS. before is what the listener has now, or nil; self the certificate of Poise's own.
func securedOf(l *config.Listener, before *secured, self *own) (*secured, error) {
	if l.TLS == nil {
		return nil, nil
	}
	s := &secured{strict: l.TLS.StrictNames}
	for _, x := range l.TLS.Certificates {
		f := &fromFiles{of: x}
		if _, err := f.read(); err != nil {
			return nil, err
		}
		f.staple.trouble = trouble{since: time.Now().Add(-renewPatience), told: true} // by a check
		s.files = append(s.files, f)
	}
	if l.TLS.SelfSigned {
		f := self.source()
		if _, err := f.read(); err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	s.store.Store(s.made())
	var err error
	if s.clients, err = clientsOf(l.TLS); err != nil {
		return nil, err
	}
	if s.tickets, err = ticketsOf(l.TLS, before); err != nil {
		return nil, err
	}
	s.config = &tls.Config{MinVersion: versions[l.TLS.MinVersion], NextProtos: protocols(l), DynamicRecordSizingDisabled: true, CipherSuites: suites}
	s.config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return s.store.Load().Choose(hello), nil }
	if s.clients != nil {
		s.clients.Apply(s.config)
	}
	s.setTickets()
	return s, nil
}

// protocols are what clients may choose from.
func protocols(l *config.Listener) []string {
	if l.HTTP2 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// setTickets has sessions resumed by the tickets' keys as they are now.
func (s *secured) setTickets() { s.config.SetSessionTicketKeys(s.tickets.secrets.Keys(s.clients)) }

// tls is what the listener's connections make their handshakes by; nil: none.
func (s *secured) tls() *tls.Config {
	if s == nil {
		return nil
	}
	return s.config
}

// selfSigned is the fingerprint of the certificate that Poise made for itself; empty: there is none.
func (s *secured) selfSigned() string {
	for _, f := range s.files {
		if f.own != nil {
			return f.own.fingerprint()
		}
	}
	return ""
}

// asks is what the listener wants of its clients' certificates; nil: nothing.
func (s *secured) asks() *secure.Clients {
	if s == nil {
		return nil
	}
	return s.clients
}
