package wire

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"poise/internal/testkit"
)

// judge is a service that answers by what it is asked with.
type judge struct {
	grpc_health_v1.UnimplementedHealthServer
}

const largeName, manyAnswers = 100_000, 5_000

func (judge) Check(_ context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	switch name := r.GetService(); {
	case name == "wrong":
		return nil, status.Error(codes.NotFound, "no such thing")
	case name == strings.Repeat("x", len(name)) && (len(name) == 1 || len(name) == largeName):
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
	}
	return nil, status.Error(codes.InvalidArgument, "came wrong")
}

func (judge) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	for range manyAnswers {
		if err := s.Send(&grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}); err != nil {
			return err
		}
	}
	s.SetTrailer(metadata.Pairs("x-last", "word"))
	return status.Error(codes.Aborted, "enough")
}

// webCall is what came back of a call by gRPC-Web.
type webCall struct {
	messages int
	last     []byte
	trailers string
}

// callWeb makes one with one message.
func callWeb(t *testing.T, c *http.Client, url, method, name string, text bool) (*http.Response, webCall) {
	t.Helper()
	message := append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(name))), name...) // a HealthCheckRequest
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	kind := "application/grpc-web"
	if text {
		kind += "-text"
		// In two parts, each with its padding.
		body = []byte(base64.StdEncoding.EncodeToString(body[:4]) + base64.StdEncoding.EncodeToString(body[4:]))
	}
	r, err := http.NewRequest("POST", url+"/grpc.health.v1.Health/"+method, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind+"+proto")
	r.Header.Set("X-Grpc-Web", "1")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) {
		t.Errorf("content type %q, want %q", resp.Header.Get("Content-Type"), kind)
	}
	if text {
		got = decodeParts(t, got)
	}
	return resp, splitWeb(t, got)
}

// decodeParts decodes base64 that may have padding anywhere between four characters and the next.
func decodeParts(t *testing.T, in []byte) (out []byte) {
	t.Helper()
	for ; len(in) >= 4; in = in[4:] {
		var err error
		if out, err = base64.StdEncoding.AppendDecode(out, in[:4]); err != nil {
			t.Fatal(err)
		}
	}
	if len(in) > 0 {
		t.Fatalf("%d characters are left over", len(in))
	}
	return out
}

func splitWeb(t *testing.T, b []byte) (c webCall) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 5 || len(b) < 5+int(binary.BigEndian.Uint32(b[1:])) || c.trailers != "" {
			t.Fatalf("%d bytes %.40q that are no message, trailers %q", len(b), b, c.trailers)
		}
		n := 5 + int(binary.BigEndian.Uint32(b[1:]))
		if b[0] == 0x80 {
			c.trailers = string(b[5:n])
		} else {
			c.last = b[5:n]
			c.messages++
		}
		b = b[n:]
	}
	return c
}

// TestGRPCWeb has clients that speak gRPC-Web, over HTTP/1.1 and HTTP/2, before a server of gRPC.
func TestGRPCWeb(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
		s.HTTP1(t) // it has peers of its own
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, judge{})
		go func() { _ = server.Serve(ln) }()
		t.Cleanup(server.Stop)
		hash, err := bcrypt.GenerateFromPassword([]byte("word"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: "127.0.0.1:0"
    pool: calls
    routes: [{ match: { headers: { authorization: { present: true } } }, pool: calls, basic_auth: { users_file: %q } }]
pools:
  calls: { servers: [%q], http_version: 2, grpc_web: true, eject: { enabled: false } }
`, testkit.WriteFile(t, "users", []byte("ann:"+string(hash)+"\n")), ln.Addr()))
		for _, version := range []int{1, 2} {
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetHTTP1(version == 1)
			tr.Protocols.SetUnencryptedHTTP2(version == 2)
			t.Cleanup(tr.CloseIdleConnections)
			c := &http.Client{Transport: tr, Timeout: testkit.Patience}
			for _, text := range []bool{false, true} {
				t.Run(fmt.Sprintf("HTTP%d/text=%v", version, text), func(t *testing.T) {
					for _, name := range []string{"x", strings.Repeat("x", largeName)} {
						resp, call := callWeb(t, c, "http://"+p.Addr, "Check", name, text)
						if resp.StatusCode != 200 || resp.ProtoMajor != version || call.messages != 1 || string(call.last) != "\x08\x01" {
							t.Errorf("a call with %d bytes: %v, %+v", len(name), resp, call)
						}
						if !strings.Contains(call.trailers, "grpc-status: 0\r\n") {
							t.Errorf("trailers %q", call.trailers)
						}
					}
					resp, call := callWeb(t, c, "http://"+p.Addr, "Watch", "x", text)
					if call.messages != manyAnswers || !strings.Contains(call.trailers, "grpc-status: 10\r\n") || !strings.Contains(call.trailers, "x-last: word\r\n") {
						t.Errorf("a stream: %v, %d messages, trailers %q", resp, call.messages, call.trailers)
					}
					for method, want := range map[string]string{"Check": "5", "None": "12"} {
						if resp, call := callWeb(t, c, "http://"+p.Addr, method, "wrong", text); !says(resp, call, want) {
							t.Errorf("%s that fails: %v, %+v", method, resp, call)
						}
					}
				})
			}
		}
		t.Run("with a password", func(t *testing.T) {
			c := &http.Client{Timeout: testkit.Patience}
			t.Cleanup(c.CloseIdleConnections)
			for range 2 { // it is compared, and then known
				if resp, call := callWeb(t, c, "http://ann:word@"+p.Addr, "Check", "x", true); call.messages != 1 || !strings.Contains(call.trailers, "grpc-status: 0\r\n") {
					t.Errorf("a call with a password: %v, %+v", resp, call)
				}
			}
		})
		t.Run("no base64", func(t *testing.T) {
			for name, body := range map[string]string{"other letters": "AAAA!AAA", "cut": "AAAAAAA", "lines": "AAAA\r\nAAAA", "large": webMessage(100_003) + "A"} {
				resp, err := http.Post("http://"+p.Addr+"/grpc.health.v1.Health/Check", "application/grpc-web-text", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "13" || resp.Header.Get("Content-Type") != "application/grpc-web-text" {
					t.Errorf("%s: %v", name, resp)
				}
			}
		})
		server.Stop()
		resp, err := http.Post("http://"+p.Addr+"/grpc.health.v1.Health/Check", "application/grpc-web", strings.NewReader("\x00\x00\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "14" {
			t.Errorf("without a server: %v, want status 14", resp)
		}
	})
}

// webMessage is one of so many bytes.
func webMessage(n int) string {
	return base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(n)), make([]byte, n)...))
}

// says tells whether a call ended so: in its head, where that is all, or in the body.
func says(resp *http.Response, call webCall, status string) bool {
	return call.messages == 0 && (resp.Header.Get("Grpc-Status") == status || strings.Contains(call.trailers, "grpc-status: "+status+"\r\n"))
}
