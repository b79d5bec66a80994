package probe

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// grpcServer is one of grpc-go with its health service: the whole is serving, "down" is not, "other" is unknown to it.
func grpcServer(t *testing.T, o ...grpc.ServerOption) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, states := grpc.NewServer(o...), grpchealth.NewServer()
	states.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	states.SetServingStatus("up", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, states)
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(server.Stop)
	return ln.Addr().String()
}

func TestGRPC(t *testing.T) {
	address := grpcServer(t)
	bare := grpc.NewServer()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = bare.Serve(ln) }()
	t.Cleanup(bare.Stop)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, tt := range []struct {
		name, address, service string
		want                   string // one of them within the reason, by how soon the end is noticed; empty: passes
	}{
		{"the whole", address, "", ""},
		{"a service", address, "up", ""},
		{"a service that does not serve", address, "down", "NOT_SERVING"},
		{"a service that nobody knows", address, "other", "grpc-status 5"},
		{"no health service", ln.Addr().String(), "", "grpc-status 12"},
		{"an HTTP/1 server", addressOf(plain), "", "http2|broken pipe|reset"},
		{"somebody who closes", answering(t, reply("")), "", "closed before the response|http2|broken pipe|reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := once(t, Settings{Health: patient, GRPC: &GRPC{Service: tt.service}}, tt.address)
			named := slices.ContainsFunc(strings.Split(tt.want, "|"), func(part string) bool { return strings.Contains(got.Reason, part) })
			if got.OK != (tt.want == "") || !named || got.Duration >= patient.Timeout {
				t.Errorf("result = %+v, want reason %q", got, tt.want)
			}
		})
	}
}

func TestGRPCOverTLS(t *testing.T) {
	certificate := httptest.NewUnstartedServer(http.NotFoundHandler())
	certificate.StartTLS() // for its certificate alone
	t.Cleanup(certificate.Close)
	address := grpcServer(t, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: certificate.TLS.Certificates})))
	for _, tt := range []struct {
		name string
		tls  TLS
		want string
	}{
		{"any certificate", TLS{Insecure: true}, ""},
		{"not by whom the system trusts", TLS{}, "unknown authority"},
	} {
		if got := once(t, Settings{Health: patient, GRPC: &GRPC{TLS: &tt.tls}}, address); got.OK != (tt.want == "") || !strings.Contains(got.Reason, tt.want) {
			t.Errorf("%s: result = %+v, want reason %q", tt.name, got, tt.want)
		}
	}
}

func TestServingStatus(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       uint64
		bad        bool
	}{
		{"serving", "\x00\x00\x00\x00\x02\x08\x01", 1, false},
		{"not serving", "\x00\x00\x00\x00\x02\x08\x02", 2, false},
		{"none is unknown", "\x00\x00\x00\x00\x00", 0, false},
		{"other fields beside it", "\x00\x00\x00\x00\x08\x12\x02ab\x18\x07\x08\x01", 1, false},
		{"nothing", "", 0, true},
		{"a longer length", "\x00\x00\x00\x00\x03\x08\x01", 0, true},
		{"a shorter length", "\x00\x00\x00\x00\x01\x08\x01", 0, true},
		{"compressed", "\x01\x00\x00\x00\x02\x08\x01", 0, true},
		{"a field that breaks off", "\x00\x00\x00\x00\x01\x08", 0, true},
		{"a text that is too long", "\x00\x00\x00\x00\x03\x12\x09a", 0, true},
		{"a number without end", "\x00\x00\x00\x00\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 0, true},
	} {
		if got, err := servingStatus([]byte(tt.body)); got != tt.want && !tt.bad || (err != nil) != tt.bad {
			t.Errorf("%s: servingStatus = %d, %v, want %d, an error: %v", tt.name, got, err, tt.want, tt.bad)
		}
	}
}

func FuzzServingStatus(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x08\x12\x02ab\x18\x07\x08\x01"))
	f.Fuzz(func(_ *testing.T, body []byte) { _, _ = servingStatus(body) })
}
