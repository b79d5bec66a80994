package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"poise/internal/testkit"
)

// TestRX6EphemeralPorts has no port left for another connection to a server: requests above get 503 with a cause that says so, the server is not blamed, and
// all is well as soon as a connection is free. It makes a network namespace with four ports for that.
func TestRX6EphemeralPorts(t *testing.T) {
	if !namespace() {
		const prepare = loopbackUp + ` && echo "40000 40003" >/proc/sys/net/ipv4/ip_local_port_range`
		if out, err := shellInNamespace(prepare).CombinedOutput(); err != nil {
			t.Skipf("no network namespace can be made here: %v %s", err, out)
		}
		rerunInNamespace(t, prepare)
		return
	}
	serverPort := 30000 // outside of the range, and another one for each driver; in this namespace all are free
	eachDriver(t, 1, func(t *testing.T, setup testkit.Setup) {
		serverPort++
		var held atomic.Int32
		goOn := make(chan struct{})
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", serverPort))
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				held.Add(1)
				<-goOn
			}
		})}
		go func() { _ = srv.Serve(ln) }()
		t.Cleanup(func() { _ = srv.Close() })
		socket := filepath.Join(t.TempDir(), "socket")
		p := testkit.Start(t, setup, fmt.Sprintf("listen: unix:%s\nservers: [%q]\neject: { consecutive_failures: 2 }\n", socket, ln.Addr()))
		ask := func(path string) (status int, cause string) {
			c, err := net.Dial("unix", socket)
			if err != nil {
				return 0, err.Error()
			}
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return 0, err.Error()
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode, resp.Header.Get("Proxy-Status")
		}
		const ports = 4
		answers := make(chan int, ports)
		for range ports {
			go func() {
				status, _ := ask("/hold")
				answers <- status
			}()
		}
		testkit.Eventually(t, "connection on every port", func() bool { return held.Load() == ports })
		for range 5 {
			if status, cause := ask("/more"); status != 503 || cause != "poise; error=connection_limit_reached" {
				t.Errorf("without a port a request got %d, %q; want 503 for want of connections", status, cause)
			}
		}
		if s := p.App.Status().Pools[0].Servers[0]; s.State != "up" || s.Failures != 5 {
			t.Errorf("the server is %s with %d failures, want up, and 5 counted", s.State, s.Failures)
		}
		if r := p.Await(t, "/more"); r.End != "RC--" {
			t.Errorf("end %s, want RC--", r.End)
		}
		close(goOn)
		for range ports {
			if status := <-answers; status != 200 {
				t.Errorf("a request that had a port got %d, want 200", status)
			}
		}
		if status, cause := ask("/after"); status != 200 {
			t.Errorf("with a port a request got %d, %q; want 200", status, cause)
		}
	})
}
