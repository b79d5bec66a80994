// Package demo is what poise demo shows a balancer with: three HTTP servers, of which one is slow and one fails at times, and clients
// that send them some requests.
//
// It never balances: it knows the balancer by its URL alone, and is plain net/http. Start reading at Start, then servers.go for how the
// servers behave and clients.go for the load.
package demo

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// HealthPath is where the servers answer probes.
const HealthPath = "/healthz"

// Server is one of the demo's servers.
type Server struct {
	Name    string
	Address string // host:port
	Does    string // what is special about it, for a person

	http http.Server
	done chan struct{} // closed when accept has returned
}

// Servers are the running servers of a demo.
type Servers []*Server

// Start runs the servers on free ports of the loopback address.
func Start() (Servers, error) {
	began := time.Now()
	flaky := &flaky{health: func() bool { return !sick(time.Since(began)) }}
	all := Servers{
		{Name: "quick", Does: "answers at once", http: http.Server{Handler: healthy(hello("quick"))}},
		{Name: "slow", Does: "takes about 200 ms", http: http.Server{Handler: healthy(slow(hello("slow")))}},
		{Name: "flaky", Does: "fails at times, and its probes too", http: http.Server{Handler: flaky}},
	}
	for i, s := range all {
		if err := s.start(); err != nil {
			return nil, errors.Join(err, all[:i].Close())
		}
	}
	return all, nil
}

func (s *Server) start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Address = l.Addr().String()
	s.http.ReadHeaderTimeout = 10 * time.Second
	s.done = make(chan struct{})
	go s.accept(l)
	return nil
}

func (s *Server) accept(l net.Listener) {
	defer close(s.done)
	_ = s.http.Serve(l) // it ends by Close only; a demo that cannot accept any more shows that by itself
}

// Close ends all servers at once.
func (all Servers) Close() error {
	var errs []error
	for _, s := range all {
		errs = append(errs, s.http.Close())
		<-s.done
	}
	return errors.Join(errs...)
}

// Addresses are those of the servers, in their order.
func (all Servers) Addresses() []string {
	var list []string
	for _, s := range all {
		list = append(list, s.Address)
	}
	return list
}
