package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"poise/internal/testkit"
)

// probed answers probes until the test ends: badly while bad is true.
type probed func(t *testing.T, ln net.Listener, bad *atomic.Bool)

func overHTTP(t *testing.T, ln net.Listener, bad *atomic.Bool) { webServer(t, ln, bad).Start() }

func overHTTPS(t *testing.T, ln net.Listener, bad *atomic.Bool) { webServer(t, ln, bad).StartTLS() }

func webServer(t *testing.T, ln net.Listener, bad *atomic.Bool) *httptest.Server {
	s := &httptest.Server{Listener: ln, Config: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			text := "all is well"
			if bad.Load() {
				text = "not at all"
			}
			_, _ = io.WriteString(w, text)
		}),
		ErrorLog: log.New(io.Discard, "", 0), // of handshakes that end early
	}}
	t.Cleanup(s.Close)
	return s
}

func overTCP(_ *testing.T, ln net.Listener, bad *atomic.Bool) {
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			answer := "+PONG\r\n"
			if bad.Load() || line != "PING\r\n" {
				answer = "-LOADING\r\n"
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
}

// overTLS breaks handshakes off while it is to do badly.
func overTLS(t *testing.T, ln net.Listener, bad *atomic.Bool) {
	s := webServer(t, ln, bad)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if bad.Load() {
			return nil, net.ErrClosed
		}
		return nil, nil
	}}
	s.StartTLS()
}

// health is grpc.health.v1 of a service.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	bad *atomic.Bool
}

func (h health) Check(_ context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	state := grpc_health_v1.HealthCheckResponse_SERVING
	if h.bad.Load() || r.Service != "shop" {
		state = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return &grpc_health_v1.HealthCheckResponse{Status: state}, nil
}

func overGRPC(t *testing.T, ln net.Listener, bad *atomic.Bool) {
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, health{bad: bad})
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(s.Stop)
}

// Each kind of probe decides where requests go, at a port of its own.
func TestKindsOfProbes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, health string
		answer       probed
	}{
		{"http", "http: { path: /health, body: well }", overHTTP},
		{"https", "http: { body: well, tls: { insecure: true } }", overHTTPS},
		{"tcp", `tcp: { send: "PING\r\n", expect: +PONG }`, overTCP},
		{"tls", "tls: { insecure: true }", overTLS},
		{"grpc", "grpc: { service: shop }", overGRPC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				s.ServersHTTP1(t) // so do those for probes
				s.ServersInClear(t)
				server := named(t, "one")
				host, _, _ := net.SplitHostPort(server.Addr)
				ln, err := net.Listen("tcp", host+":0")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = ln.Close() })
				var bad atomic.Bool
				tt.answer(t, ln, &bad)
				p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\nfail_open: { enabled: false }\n"+
					"health: { %s, port: %d, interval: 20ms, timeout: 10s, fall: 1, rise: 1 }\n", server.Addr, tt.health, ln.Addr().(*net.TCPAddr).Port))
				c := testkit.Dial(t, p.Addr)
				answers := func(status int) func() bool { return func() bool { return c.Get("/").StatusCode == status } }
				testkit.Eventually(t, "answer of the server", answers(200))
				bad.Store(true)
				testkit.Eventually(t, "end of requests to it", answers(503))
				bad.Store(false)
				testkit.Eventually(t, "answer of the server as it is well again", answers(200))
			})
		})
	}
}
