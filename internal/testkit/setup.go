package testkit

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Setup is what a suite is run over.
type Setup struct {
	Driver string
	Loops  int
	// TLS between clients and Poise, and between Poise and servers, where a test does not say anything of it.
	TLS, ServerTLS bool
	// HTTP2 likewise: what tests and scripts say in HTTP/1.1 is translated. A test that needs HTTP/1.1 on a side says so.
	HTTP2, ServerHTTP2 bool
}

func (s Setup) String() string {
	return fmt.Sprintf("%s/%d", s.Driver, s.Loops) + suffix("/tls", s.TLS, s.ServerTLS) + suffix("/h2", s.HTTP2, s.ServerHTTP2)
}

// suffix says in a setup's name on which sides of Poise something is.
func suffix(what string, clients, servers bool) string {
	switch {
	case clients && servers:
		return what
	case clients:
		return what + "-clients"
	case servers:
		return what + "-servers"
	}
	return ""
}

// InClear skips a test that needs to see what is sent, or when, over a setup where TLS is in between.
func (s Setup) InClear(t testing.TB) {
	t.Helper()
	if s.TLS || s.ServerTLS {
		t.Skip("needs clear text")
	}
}

// ServersInClear skips a test whose servers cannot speak TLS over a setup in which they would have to.
func (s Setup) ServersInClear(t testing.TB) {
	t.Helper()
	if s.ServerTLS {
		t.Skip("needs servers in clear text")
	}
}

// ClientHTTP1 skips a test whose clients say, or hear, what only HTTP/1.1 has.
func (s Setup) ClientHTTP1(t testing.TB) {
	t.Helper()
	if s.HTTP2 {
		t.Skip("needs clients of HTTP/1.1")
	}
}

// ServersHTTP1 skips a test whose servers say, or hear, what only HTTP/1.1 has.
func (s Setup) ServersHTTP1(t testing.TB) {
	t.Helper()
	if s.ServerHTTP2 {
		t.Skip("needs servers of HTTP/1.1")
	}
}

// CanAnswer skips a test whose servers give an answer that cannot be said in HTTP/2, over a setup where they would have to.
func (s Setup) CanAnswer(t testing.TB, answer string) {
	t.Helper()
	if s.ServerHTTP2 && !sayable(answer) {
		t.Skip("needs servers of HTTP/1.1")
	}
}

// HTTP1 skips a test of HTTP/1.1 alone.
func (s Setup) HTTP1(t testing.TB) {
	t.Helper()
	s.ClientHTTP1(t)
	s.ServersHTTP1(t)
}

// SetupsVariable names the environment variable that lists the setups, such as "net/1,net/2/tls/h2-servers". Suffixes say who speaks TLS and HTTP/2: /tls all,
// /tls-clients and /tls-servers only those, and /h2 likewise.
const SetupsVariable = "POISE_TEST_SETUPS"

// Setups are those that the environment names; else every driver with 1 and 2 loops, with 4 over TLS, and with HTTP/2 at one side, the other or both. Where
// TLS is beside HTTP/2 depends on the test's name, so that all pairs of what the sides speak come up in the suite.
func Setups(t testing.TB) []Setup {
	t.Helper()
	list := os.Getenv(SetupsVariable)
	if list == "" {
		return append(parseSetups(t, "io_uring/1,io_uring/2,io_uring/4/tls,epoll/1,epoll/2,epoll/4/tls,net/1,net/2,net/4/tls"), someOfHTTP2(t.Name())...)
	}
	return parseSetups(t, list)
}

func someOfHTTP2(test string) []Setup {
	n := 0
	for _, c := range []byte(test) {
		n += int(c)
	}
	var some []Setup
	for i, driver := range []string{"io_uring", "epoll", "net"} {
		sides := (n + i) % 3
		some = append(some, Setup{Driver: driver, Loops: 2, TLS: n/3%2 > 0, ServerTLS: n/6%2 > 0, HTTP2: sides != 0, ServerHTTP2: sides != 1})
	}
	return some
}

func parseSetups(t testing.TB, list string) []Setup {
	t.Helper()
	var setups []Setup
	for name := range strings.SplitSeq(list, ",") {
		s, ok := parseSetup(name)
		if !ok {
			t.Fatalf("%s: %q is no driver/loops", SetupsVariable, name)
		}
		setups = append(setups, s)
	}
	return setups
}

func parseSetup(name string) (s Setup, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) < 2 {
		return s, false
	}
	s.Driver = parts[0]
	if _, err := fmt.Sscanf(parts[1], "%d", &s.Loops); err != nil {
		return s, false
	}
	for _, part := range parts[2:] {
		what, sides, _ := strings.Cut(part, "-")
		clients, servers := sides != "servers", sides != "clients"
		switch what {
		case "tls":
			s.TLS, s.ServerTLS = clients, servers
		case "h2":
			s.HTTP2, s.ServerHTTP2 = clients, servers
		}
	}
	return s, s.String() == name
}

// Drivers are those of the setups, each once.
func Drivers(t testing.TB) []string {
	t.Helper()
	var drivers []string
	for _, s := range Setups(t) {
		if !slices.Contains(drivers, s.Driver) {
			drivers = append(drivers, s.Driver)
		}
	}
	return drivers
}

// Each runs f once for every setup.
func Each(t *testing.T, f func(t *testing.T, s Setup)) {
	t.Helper()
	for _, s := range Setups(t) {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}
