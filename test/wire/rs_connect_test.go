package wire

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"poise/internal/testkit"
)

// deaf is an address that drops connection attempts: its queue is full and nobody accepts.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 8 { // one is enough, but how many a queue of 0 takes is the kernel's affair
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this kernel's queue of length 0 takes more than 8")
	return ""
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	server := testkit.Serve(t, testkit.Answer(testkit.OK))
	silent := deaf(t)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\ntimeouts: { connect: 150ms }\nservers: ["+silent+"]\n")
		c := testkit.Dial(t, p.Addr)
		if r := c.Get("/x"); r.StatusCode != 503 || r.Header.Get("Proxy-Status") != "poise; error=connection_timeout" || r.Close {
			t.Errorf("GET = %d, %q, close %v; want 503, connection_timeout, false", r.StatusCode, r.Header.Get("Proxy-Status"), r.Close)
		}
		// Another server is asked, whatever the method: nothing was sent.
		p = testkit.Start(t, s, "listen: 127.0.0.1:0\npolicy: round_robin\ntimeouts: { connect: 150ms }\nservers: ["+silent+", "+server.Addr+"]\n")
		c = testkit.Dial(t, p.Addr)
		for range 2 {
			c.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			if r := c.Read("POST"); r.StatusCode != 200 {
				t.Errorf("POST = %d, want 200 from the server that can be reached", r.StatusCode)
			}
		}
	})
}
