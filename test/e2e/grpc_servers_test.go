package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// TestGRPCCases does those of gRPC's cases that need something special of the servers: that all calls of a client reach the same one, and that it tells its
// load in a call without end, which only gRPC's own program does often enough.
func TestGRPCCases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "build", "-C", "../peers", "-o", path, "google.golang.org/grpc/interop/server").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	interop := freeAddr(t)
	_, port, err := net.SplitHostPort(interop)
	if err != nil {
		t.Fatal(err)
	}
	peer(t, interop, path, "-port", port)
	var all []string
	for i := range 4 {
		all = append(all, grpcServer(t, fmt.Sprintf("server%d", i), nil).first)
	}
	p := run(t, fmt.Sprintf(silent+`
listeners: [{ address: 127.0.0.1:0, pool: own }, { address: 127.0.0.1:0, pool: many }]
pools:
  own: { servers: [%q], http_version: 2 }
  many: { servers: [%s], http_version: 2, affinity: { source: {} } }
`, interop, strings.Join(all, ", ")))
	for i, name := range []string{"orca_oob", "pick_first_unary"} {
		if out := grpcPeer(t, "", "call", p.listeners(t, 2)[i], name); !strings.Contains(out, name) {
			t.Errorf("%s was not done:\n%s", name, out)
		}
	}
}

// TestGRPCServerDies kills a server in the middle of a call. The call's status is the one that its client would find without Poise, and the next call
// reaches another server.
func TestGRPCServerDies(t *testing.T) {
	const after = "OK "
	for _, driver := range testkit.Drivers(t) {
		for kind, want := range map[string]string{
			"upload": "Unavailable the server closed the connection before it answered", // nothing of an answer has come
			"both":   "Unavailable the server closed the connection in the middle of its answer",
		} {
			t.Run(driver+" "+kind, func(t *testing.T) {
				first, second := grpcServer(t, "first", nil), grpcServer(t, "second", nil)
				p := run(t, fmt.Sprintf(silent+"driver: %s\nlisten: 127.0.0.1:0\nservers: [%s, { address: %q, backup: true }]\nhttp_version: 2\n",
					driver, first.first, second.first))
				client := startProgram(t, grpcClient(t, "", "hold", p.Addr, kind))
				if has := first.line(t); has != "x-held" {
					t.Fatalf("the first server says %q", has)
				}
				if kind == "both" && client.first != "first" {
					t.Fatalf("the call was answered by %q, want the first server", client.first)
				}
				if err := first.cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = first.cmd.Wait() // until then the kernel may still take connections for it
				if got := client.line(t); got != want {
					t.Errorf("the call's status is %q, want %q", got, want)
				}
				_, _ = fmt.Fprintln(client.in)
				if got := client.line(t); got != after {
					t.Errorf("the next call's status is %q, want %q", got, after)
				}
			})
		}
	}
}

// asleep is the request of a call whose server sleeps for a minute before it answers: one message with the size and the microseconds.
const asleep = "\x00\x00\x00\x00\x09\x12\x07\x08\x01\x10\x80\x8e\xce\x1c"

// TestGRPCDeadlines has calls take longer than they may, by what the client says and by what the route says.
func TestGRPCDeadlines(t *testing.T) {
	addr := grpcServer(t, "server", nil).first
	left := make(chan struct{}, 1)
	endless := server2(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		left <- struct{}{}
	})
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners:
  - { address: 127.0.0.1:0, pool: endless }
  - { address: 127.0.0.1:0, routes: [{ pool: app, timeouts: { request: 300ms } }] }
  - { address: 127.0.0.1:0, pool: app }
pools: { app: { servers: [%q], http_version: 2 }, endless: { servers: [%q], http_version: 2 } }
`, driver, addr, endless))
			// curl says what the client allows, and itself keeps to nothing. Neither does the server: gRPC's own would end the call itself.
			out, code := curl(t, "--http2-prior-knowledge", "-D", "-", "-H", "Content-Type: application/grpc", "-H", "TE: trailers", "-H", "grpc-timeout: 200m",
				"-d", "", "http://"+p.listeners(t, 2)[0]+"/any.Service/Method")
			if code != 0 || !strings.Contains(out, "grpc-status: 4\r\n") {
				t.Errorf("a call of 200 ms ends with exit code %d:\n%s", code, out)
			}
			select {
			case <-left:
			case <-time.After(testkit.Patience):
				t.Error("the server does not hear that the time is up")
			}
			// gRPC's own server resets such a call, at about the same time.
			client := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}, Timeout: testkit.Patience}
			client.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
			url := "http://" + p.listeners(t, 3)[2] + "/grpc.testing.TestService/StreamingOutputCall"
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					r, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(asleep))
					r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {"200m"}}
					resp, err := client.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if got := resp.Header.Get("Grpc-Status"); got != "4" {
						t.Errorf("a call of 200 ms ends with status %s: %s", got, resp.Header.Get("Grpc-Message"))
					}
				})
			}
			wg.Wait()
			for kind, want := range map[string]string{
				"download": "DeadlineExceeded the server did not answer in time",
				"both":     "DeadlineExceeded the call did not end in time",
			} {
				client := startProgram(t, grpcClient(t, "", "hold", p.listeners(t, 2)[1], kind))
				if got := client.line(t); got != want {
					t.Errorf("%s: after the route's time the status is %q, want %q", kind, got, want)
				}
				_, _ = fmt.Fprintln(client.in)
				if got, want := client.line(t), "OK "; got != want {
					t.Errorf("%s: the next call's status is %q, want %q", kind, got, want)
				}
			}
		})
	}
}

// server2 serves HTTP/2 in clear text.
func server2(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestGRPCHealth has a server say that it does not serve at present, and then that it does.
func TestGRPCHealth(t *testing.T) {
	first, second := grpcServer(t, "first", nil), grpcServer(t, "second", nil)
	p := run(t, fmt.Sprintf(silent+"listen: 127.0.0.1:0\npolicy: round_robin\nservers: [%s, %s]\nhttp_version: 2\n"+
		"health: { grpc: {}, interval: 100ms, fall: 1, rise: 1 }\n", first.first, second.first))
	for _, step := range []struct {
		says string
		want map[string]int
	}{
		{"", map[string]int{"first": 4, "second": 4}},
		{"NOT_SERVING", map[string]int{"second": 8}},
		{"SERVING", map[string]int{"first": 4, "second": 4}},
	} {
		if step.says != "" {
			_, _ = fmt.Fprintln(first.in, step.says)
		}
		testkit.Eventually(t, fmt.Sprintf("spread like %v after %q", step.want, step.says), func() bool {
			return fmt.Sprint(spread(t, "", p.Addr, 8)) == fmt.Sprint(step.want)
		})
	}
}
