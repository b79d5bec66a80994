package app

import (
	"fmt"
	"time"

	"poise/internal/config"
	"poise/internal/secure"
)

// Bounds of the files about clients' certificates. Each handshake of a client looks at what they hold.
const maxCA, maxCRL = 1 << 20, 16 << 20

// clientsOf reads what a listener wants of its clients' certificates; nil: nothing.
func clientsOf(t *config.ListenerTLS) (*secure.Clients, error) {
	if t == nil || t.ClientCertificates == nil {
		return nil, nil
	}
	x := t.ClientCertificates
	ca, err := readUpTo(x.CA, maxCA)
	if err != nil {
		return nil, fmt.Errorf("client_certificates: ca: %w", err)
	}
	var crl []byte
	if x.CRL != "" {
		if crl, err = readUpTo(x.CRL, maxCRL); err != nil {
			return nil, fmt.Errorf("client_certificates: crl: %w", err)
		}
	}
	c, err := secure.NewClients(ca, crl, x.Required, time.Now())
	if err != nil {
		return nil, fmt.Errorf("client_certificates: %w", err)
	}
	return c, nil
}

// checkClients finds rules on clients' certificates that cannot be kept.
func checkClients(c *config.Config) (problems config.Problems) {
	for _, l := range c.Listeners {
		if _, err := clientsOf(l.TLS); err != nil {
			problems = append(problems, c.Problem(l.TLS.ClientCertificates, config.Error, err.Error(), ""))
		}
	}
	return problems
}
