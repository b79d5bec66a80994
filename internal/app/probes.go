package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"poise/internal/config"
	"poise/internal/probe"
)

// probesOf says how a pool's servers are probed: over TLS and in HTTP/2 as requests are, where nothing else is said. It reads the files of certificates.
func probesOf(h *config.Health, secured *serverTLS, http2 bool, slots probe.Slots) (probe.Settings, error) {
	s := probe.Settings{Health: healthOf(h), Port: h.Port, Slots: slots}
	var err error
	switch {
	case h.HTTP != nil:
		if s.HTTP, err = httpProbeOf(h.HTTP); err == nil {
			s.HTTP.HTTP2 = http2
		}
	case h.TLS != nil:
		s.TLS, err = tlsProbeOf(h.TLS)
	case h.GRPC != nil:
		s.GRPC = &probe.GRPC{Service: h.GRPC.Service}
		s.GRPC.TLS, err = tlsProbeOf(h.GRPC.TLS)
	case h.TCP != nil:
		s.TCP = probe.TCP{Send: h.TCP.Send, Expect: h.TCP.Expect}
	}
	if secured == nil {
		return s, err
	}
	like := &probe.TLS{Config: secured.config}
	switch {
	case s.HTTP != nil && s.HTTP.TLS == nil:
		s.HTTP.TLS = like
	case s.GRPC != nil && s.GRPC.TLS == nil:
		s.GRPC.TLS = like
	case h.TLS != nil && *h.TLS == (config.TLSProbe{}):
		s.TLS = like
	}
	return s, err
}

func httpProbeOf(h *config.HTTPProbe) (*probe.HTTP, error) {
	p := &probe.HTTP{Method: h.Method, Path: h.Path, Host: h.Host, Body: h.Body}
	for _, f := range h.Headers {
		p.Fields = append(p.Fields, probe.Field{Name: f.Name, Value: f.Value})
	}
	for _, r := range h.Status {
		p.Status = append(p.Status, probe.Status{From: r.First, To: r.Last})
	}
	var err error
	p.TLS, err = tlsProbeOf(h.TLS)
	return p, err
}

func tlsProbeOf(t *config.TLSProbe) (*probe.TLS, error) {
	if t == nil {
		return nil, nil
	}
	p := &probe.TLS{ServerName: t.ServerName, Insecure: t.Insecure}
	var err error
	if t.CA != "" {
		p.Roots, err = readRoots(t.CA, io.Discard)
	}
	return p, err
}

// maxPEM is far above what all authorities together have.
const maxPEM = 4 << 20

// readRoots reads a file of certificates in PEM, and shows seen what was read.
func readRoots(path string, seen io.Writer) (*x509.CertPool, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	_, _ = seen.Write(data)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("ca: %s has no certificate in PEM", path)
	}
	return roots, nil
}

// readBounded reads a file of certificates or keys.
func readBounded(path string) ([]byte, error) { return readUpTo(path, maxPEM) }

// readUpTo reads a file that is no device and no larger than it should be.
func readUpTo(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, nil
}

// cause is an error of the file system without the path, which was told already.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// checkProbes finds files of certificates that cannot be used.
func checkProbes(c *config.Config) (problems config.Problems) {
	for _, p := range c.Pools {
		if p.Health == nil {
			continue
		}
		for _, t := range tlsOf(p.Health) {
			if _, err := tlsProbeOf(t); err != nil {
				problems = append(problems, c.Problem(&t.CA, config.Error, err.Error(), ""))
			}
		}
	}
	return problems
}

// tlsOf lists what TLS settings there are.
func tlsOf(h *config.Health) []*config.TLSProbe {
	all := []*config.TLSProbe{h.TLS}
	if h.HTTP != nil {
		all = append(all, h.HTTP.TLS)
	}
	if h.GRPC != nil {
		all = append(all, h.GRPC.TLS)
	}
	return all
}
