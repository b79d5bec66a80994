package app

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"poise/internal/affinity"
	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/pool"
)

// someVariables are the environment that the seeds refer to.
func someVariables(name string) (string, bool) {
	v, ok := map[string]string{"PORT": "8080", "EMPTY": "", "BAD": "\xff"}[name]
	return v, ok
}

// FuzzBuild: whatever the parser takes can be built. A configuration that the check has called fine must not fail at the start, but for what the
// system refuses; and what the building finds has a place in the file.
func FuzzBuild(f *testing.F) {
	for _, pattern := range []string{"../../examples/*.yaml", "../config/testdata/broken/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("listeners:\n- {address: :1, routes: [{pool: p}, {match: {path: /a, headers: {A: b}, query: {c: d}, methods: GET}, pool: q}, {pool: p}]}\n" +
		"pools:\n  p: {servers: [a:1, {address: 'unix:/s', weight: 0}], policy: round_robin, affinity: {cookie: {name: c, secret: 0123456789abcdef, same_site: none, secure: true}}}\n" +
		"  q: {servers: [{address: 10.0.0.1:1, backup: true}], policy: ip_hash, health: {http: {path: '/h?x', host: b, headers: {C: d}, status: [200-204, 301]}, port: 5}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _ := config.Parse("fuzz.yaml", data, someVariables)
		if c == nil || len(checkProbes(c)) > 0 || len(checkCertificates(c)) > 0 { // files are not the parser's
			return
		}
		for _, p := range Check(c) {
			if p.Line < 1 || p.Col < 1 || p.Severity != config.Warning {
				t.Fatalf("Check says %v at %d:%d: %s", p.Severity, p.Line, p.Col, p.Message)
			}
		}
		build(t, c)
	})
}

// build makes pools and table as start does, without names looked up, sockets and loops.
func build(t *testing.T, c *config.Config) {
	t.Helper()
	a := &App{o: Options{Config: c, Log: slog.New(slog.DiscardHandler)}, loops: make([]*loop, 2), secret: make([]byte, 32)}
	n := &names{addresses: map[string][]address{}}
	for _, name := range namesOf(c) {
		n.set(name, []address{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::1]:1")})
	}
	now, err := a.build(c, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, state := range now.pools {
		p := c.Pools[i]
		lease, err := state.pool.Acquire(clock.Now(), &pool.Query{Loop: 1})
		if weighs(p) && p.Health == nil && err != nil {
			t.Fatalf("pool %s has servers and no probes, and gives none: %v", p.Name, err)
		}
		if err == nil && state.affinity != nil {
			state.affinity.Keep(1, &affinity.Found{}, lease.Server(), nil)
		}
	}
}

// weighs tells whether a pool has a server that gets new clients.
func weighs(p *config.Pool) bool {
	for _, s := range p.Servers {
		if s.Weight > 0 {
			return true
		}
	}
	return false
}
