package app

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"poise/internal/config"
	"poise/internal/upstream"
)

// serverTLS is how a pool's servers are spoken to, with what it was made of.
type serverTLS struct {
	of     config.ServerTLS
	http   upstream.HTTP
	sum    [sha256.Size]byte // of all files
	config *tls.Config
}

// alpn is what servers may choose from.
var alpn = map[upstream.HTTP][]string{upstream.HTTP1: {"http/1.1"}, upstream.HTTP2: {"h2"}, upstream.Negotiated: {"h2", "http/1.1"}}

// httpOf is which versions a pool's servers are spoken to in.
func httpOf(p *config.Pool) upstream.HTTP {
	switch p.HTTPVersion {
	case "2":
		return upstream.HTTP2
	case "auto":
		return upstream.Negotiated
	}
	return upstream.HTTP1
}

// serverTLSOf reads what t names; nil: clear text. Where nothing differs from was, it is that: connections go on being used.
func serverTLSOf(t *config.ServerTLS, http upstream.HTTP, was *serverTLS) (*serverTLS, error) {
	if t == nil {
		return nil, nil
	}
	s := &serverTLS{of: *t, http: http, config: &tls.Config{
		ServerName: t.ServerName, InsecureSkipVerify: t.Insecure, MinVersion: versions[t.MinVersion], NextProtos: alpn[http],
		DynamicRecordSizingDisabled: true,
	}}
	files := sha256.New()
	if t.CA != "" {
		var err error
		if s.config.RootCAs, err = readRoots(t.CA, files); err != nil {
			return nil, err
		}
	}
	if x := t.ClientCertificate; x != nil {
		cert, sum, err := certificateOf(x, [sha256.Size]byte{})
		if err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		s.config.Certificates = []tls.Certificate{*cert}
		files.Write(sum[:])
	}
	files.Sum(s.sum[:0])
	if was != nil && was.sum == s.sum && was.http == http && reflect.DeepEqual(was.of, s.of) {
		return was, nil
	}
	return s, nil
}

// speak has the loops speak to the servers of pools as those say. Pools that are gone keep what they had: requests may still be on their way there.
func (a *App) speak(pools []*poolState) {
	all := maps.Clone(a.peers.Speeches())
	if all == nil {
		all = upstream.Speeches{}
	}
	for _, p := range pools {
		speech := upstream.Speech{HTTP: httpOf(p.cfg)}
		if p.tls != nil {
			speech.TLS = p.tls.config
		}
		all[p.cfg.Name] = speech
	}
	a.peers.SetSpeeches(all)
}

// checkServerTLS finds files of certificates that cannot be used.
func checkServerTLS(c *config.Config) (problems config.Problems) {
	for _, p := range c.Pools {
		if p.ServerTLS == nil {
			continue
		}
		var told *flaws // by checkCertificates
		if _, err := serverTLSOf(p.ServerTLS, httpOf(p), nil); err != nil && !errors.As(err, &told) {
			problems = append(problems, c.Problem(p.ServerTLS, config.Error, err.Error(), ""))
		}
	}
	return problems
}
