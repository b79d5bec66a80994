package discover

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is a real name server on loopback. It knows one.test., and app.test., which has two addresses of each family.
type dnsServer struct {
	conn    net.PacketConn
	queries atomic.Int32
	done    chan struct{}
}

func startDNS(t *testing.T) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{conn: conn, done: make(chan struct{})}
	go s.serve()
	t.Cleanup(func() { conn.Close(); <-s.done })
	return s
}

func (s *dnsServer) serve() {
	defer close(s.done)
	buffer := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		s.queries.Add(1)
		packed, err := replyTo(&m).Pack()
		if err != nil {
			return
		}
		s.conn.WriteTo(packed, from)
	}
}

var zone = map[string][]string{
	"app.test.": {"192.0.2.2", "192.0.2.1", "2001:db8::2", "2001:db8::1"},
	"one.test.": {"192.0.2.9"},
}

func replyTo(m *dnsmessage.Message) *dnsmessage.Message {
	q := m.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	addresses, ok := zone[strings.ToLower(q.Name.String())]
	if !ok {
		reply.RCode = dnsmessage.RCodeNameError
	}
	for _, text := range addresses {
		a := netip.MustParseAddr(text)
		head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return &reply
}

func (s *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func TestRX14RealResolver(t *testing.T) {
	s := startDNS(t)
	got := map[string][]netip.AddrPort{}
	failed := map[string]error{}
	n := mustStart(t, Settings{
		Names: []string{"app.test.:8080", "one.test.:81", "missing.test.:80"}, Lookup: System(s.resolver()),
		Changed: func(name string, a []netip.AddrPort) { got[name] = a },
		Failed:  func(name string, err error) { failed[name] = err },
	})
	n.Close()
	for name, want := range map[string][]string{
		"app.test.:8080":   {"192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080", "[2001:db8::2]:8080"},
		"one.test.:81":     {"192.0.2.9:81"},
		"missing.test.:80": nil,
	} {
		var addresses []netip.AddrPort
		for _, text := range want {
			addresses = append(addresses, netip.MustParseAddrPort(text))
		}
		if !slices.Equal(got[name], addresses) {
			t.Errorf("addresses of %s = %v, want %v", name, got[name], want)
		}
	}
	if err := failed["missing.test.:80"]; err == nil || !strings.Contains(err.Error(), "no such host") || len(failed) != 1 {
		t.Errorf("failures = %v, want no such host for missing.test", failed)
	}
	if s.queries.Load() == 0 {
		t.Error("the name server was not asked")
	}
}
