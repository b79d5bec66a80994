package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
)

// TLS says how a probe that speaks TLS knows its server.
type TLS struct {
	ServerName string         // asked for, and what the certificate must be for; default: the host that is asked for, else the server's
	Roots      *x509.CertPool // who may have signed it; nil: whom the system trusts
	Insecure   bool           // any certificate will do
	Config     *tls.Config    // not nil: it says all that; its ServerName may be empty
}

// config is for one connection to the host of that name. nil for clear text.
func (t *TLS) config(name string) *tls.Config {
	if t == nil {
		return nil
	}
	if t.Config != nil {
		c := t.Config.Clone()
		c.NextProtos = nil // what a probe speaks is another matter
		if c.ServerName == "" {
			c.ServerName = name
		}
		return c
	}
	if t.ServerName != "" {
		name = t.ServerName
	}
	return &tls.Config{ServerName: name, RootCAs: t.Roots, InsecureSkipVerify: t.Insecure}
}

// newCheckTLS returns a check that passes when a handshake is completed.
func newCheckTLS(t *TLS) check {
	return func(ctx context.Context, to target) error {
		conn, err := dial(ctx, to.address)
		if err != nil {
			return err
		}
		secure := tls.Client(conn, t.config(to.name))
		defer func() { _ = secure.Close() }()
		return secure.HandshakeContext(ctx)
	}
}
