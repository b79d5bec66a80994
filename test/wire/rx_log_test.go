package wire

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// adminAt is a client of the admin address at a Unix socket.
func adminAt(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// metric is the value of a metric without labels, by the admin address.
func metric(t *testing.T, socket, name string) int {
	t.Helper()
	resp, err := adminAt(socket).Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(body), "\n"+name+" ")
	if !ok {
		t.Fatalf("there is no metric %s", name)
	}
	var v float64
	if _, err := fmt.Sscan(rest, &v); err != nil {
		t.Fatal(err)
	}
	return int(v)
}

// A pipe that nobody reads: traffic goes on, records are dropped and counted, and what is written later is whole.
func TestRX13BlockedLog(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		dir := t.TempDir()
		fifo, socket := filepath.Join(dir, "log"), filepath.Join(dir, "admin")
		if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
			t.Skipf("mkfifo: %v %s", err, out)
		}
		pipe, err := os.OpenFile(fifo, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		p, _ := before(t, s, nil, fmt.Sprintf("access_log: { path: %q }", fifo), fmt.Sprintf("admin: { address: %q }", "unix:"+socket))
		const batch = 100
		request := strings.Repeat(getOf("/"+strings.Repeat("x", 8000)), batch)
		sent := 0
		c := testkit.Dial(t, p.Addr)
		for begin := time.Now(); metric(t, socket, "poise_access_log_dropped_total") == 0; {
			if time.Since(begin) > testkit.Patience {
				t.Fatalf("%d requests with a blocked log, and no record was dropped", sent)
			}
			go c.Send(request)
			for range batch {
				wantResponse(t, "GET", c.Read("GET"), 200, "ok")
			}
			sent += batch
		}
		// The pipe is read: all lines are whole, and every request is either there or counted.
		lines := bufio.NewReader(pipe)
		got, begun := 0, ""
		read := func() bool {
			_ = pipe.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			for {
				line, err := lines.ReadString('\n')
				line, begun = begun+line, ""
				if err != nil {
					begun = line // the rest is still to come
					return line == "" && got+metric(t, socket, "poise_access_log_dropped_total") == sent
				}
				testkit.ParseRecord(t, line)
				got++
			}
		}
		testkit.Eventually(t, "record, or count, of each request", read)
		wantOpen(t, c)
		sent++
		testkit.Eventually(t, "record of a request after that", read)
	})
}

// A disk that is full: traffic goes on, and the program's log says so once.
func TestRX13FullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, nil, "access_log: { path: /dev/full }")
		c := testkit.Dial(t, p.Addr)
		for range 50 {
			wantOpen(t, c)
		}
		testkit.Eventually(t, "warning", func() bool { return strings.Contains(p.Log.String(), "access log cannot be written") })
		wantOpen(t, c)
		if n := strings.Count(p.Log.String(), "access log cannot be written"); n != 1 {
			t.Errorf("the warning came %d times, want once", n)
		}
	})
}
