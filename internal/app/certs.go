package app

import (
	"crypto/tls"
	"fmt"

	"poise/internal/config"
)

// versions are those of TLS that a configuration names.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// tlsOfListener reads the certificates of a listener; nil: it speaks none.
func tlsOfListener(l *config.Listener) (*tls.Config, error) {
	if l.TLS == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: versions[l.TLS.MinVersion], NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true}
	for _, x := range l.TLS.Certificates {
		cert, err := certificateOf(x)
		if err != nil {
			return nil, err
		}
		c.Certificates = append(c.Certificates, cert)
	}
	return c, nil
}

// certificateOf reads a certificate and its key.
func certificateOf(x *config.Certificate) (tls.Certificate, error) {
	cert, err := readBounded(x.Cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert: %w", err)
	}
	key, err := readBounded(x.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s: %w", x.Cert, x.Key, err)
	}
	return pair, nil
}

// checkCertificates finds certificates that cannot be used.
func checkCertificates(c *config.Config) (problems config.Problems) {
	for _, l := range c.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, x := range l.TLS.Certificates {
			if _, err := certificateOf(x); err != nil {
				problems = append(problems, c.Problem(x, config.Error, err.Error(), ""))
			}
		}
	}
	return problems
}
