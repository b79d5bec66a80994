package rules

import (
	"slices"
	"strings"
	"testing"
)

// layers are the packages of internal, each above all that it may import: a package imports only from layers below its own. A new package
// gets its place here first.
var layers = [][]string{
	{"clock", "fault", "msg", "siphash", "sys", "config", "cert", "encode"},
	{"h1", "health", "fiber", "listen", "accesslog", "stats", "admin", "discover"},
	{"pool", "secure", "relay", "h2"},
	{"mux"},
	{"balance", "affinity", "limit", "login", "probe", "upstream"},
	{"route"},
	{"exchange"},
	{"proxy"},
	{"app"},
	{"demo", "testkit"},
	{"cli"},
}

// deciders do no I/O and are told the time: what they decide follows from what they are given.
var deciders = []string{"msg", "fault", "siphash", "h1", "h2", "health", "pool", "balance", "affinity", "encode", "limit", "login", "route", "exchange"}

// notForDeciders are packages whose use is I/O, waiting, or a clock. net/netip, time (for durations) and sync are fine.
var notForDeciders = []string{"net", "net/http", "net/url", "os", "os/signal", "io/fs", "io/ioutil", "context", "log", "log/slog", "crypto/tls", "crypto/rand", "runtime"}

const internal = "poise/internal/"

func layerOf(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, pkg) })
}

func TestImportsPointDownwards(t *testing.T) {
	for _, s := range sources(t) {
		pkg, inside := strings.CutPrefix(s.dir, "internal/")
		if !inside || s.test {
			continue
		}
		if strings.Contains(pkg, "/") {
			if !strings.Contains(pkg, "testdata") {
				t.Errorf("%s: internal has one level of directories", s.path)
			}
			continue
		}
		mine := layerOf(pkg)
		if mine < 0 {
			t.Errorf("package %s is in no layer: put it into layers in test/rules/imports_test.go", pkg)
			continue
		}
		for _, path := range s.imports() {
			if other, ok := strings.CutPrefix(path, internal); ok && layerOf(other) >= mine {
				t.Errorf("%s imports %s, which is not below %s", s.path, other, pkg)
			}
		}
	}
}

func TestDecidersDoNoIO(t *testing.T) {
	for _, s := range sources(t) {
		pkg, _ := strings.CutPrefix(s.dir, "internal/")
		if s.test || !slices.Contains(deciders, pkg) {
			continue
		}
		for _, path := range s.imports() {
			if slices.Contains(notForDeciders, path) {
				t.Errorf("%s imports %s: deciders do no I/O", s.path, path)
			}
			if other, ok := strings.CutPrefix(path, internal); ok && other != "clock" && !slices.Contains(deciders, other) {
				t.Errorf("%s imports %s, which is no decider", s.path, other)
			}
		}
	}
}

// TestOnlySysTouchesTheKernel also covers tests: one that needs raw memory or a system call gets it from sys.
func TestOnlySysTouchesTheKernel(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir == "internal/sys" {
			continue
		}
		// Package os names two signals only, and no reset; the other names are in syscall.
		names := s.path == "internal/cli/signals.go" || s.path == "bench/signals.go" || s.test || s.dir == "internal/testkit"
		for _, path := range s.imports() {
			if path == "unsafe" || path == "syscall" && !names || strings.HasPrefix(path, "golang.org/x/sys/") {
				t.Errorf("%s imports %s: only internal/sys may", s.path, path)
			}
		}
	}
}

// TestNoTestHelpersInTheProgram keeps testkit and package testing out of what is shipped.
func TestNoTestHelpersInTheProgram(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.dir == "internal/testkit" {
			continue
		}
		for _, path := range s.imports() {
			if path == internal+"testkit" || path == "testing" || strings.HasPrefix(path, "testing/") {
				t.Errorf("%s imports %s", s.path, path)
			}
		}
	}
}
