package load

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// refusedWithin is how soon 99 of 100 clients hear that no server is there.
	refusedWithin = 5 * time.Millisecond
	// downGrowth is by how much Poise's memory may grow meanwhile: by less than 300 bytes a refusal, and that is garbage.
	downGrowth = 10 << 20
	// downInterval is the interval of probes; each of those that follow while a state is changing comes after a quarter.
	downInterval = 400 * time.Millisecond
	// servedWithin a server's return clients are served again, with what the machine needs on top.
	servedWithin = 2*downInterval/4 + 100*time.Millisecond
)

// TestAllServersDown has clients told at once while no server is there, in bounded memory, and served as soon as one is back. By default servers that are down
// are tried, now and then: those that are killed refuse, those that are frozen say nothing. Without fail_open none is.
func TestAllServersDown(t *testing.T) {
	binary := builtBinary(t)
	tests := []struct {
		name           string
		open, isFrozen bool
	}{{"killed", true, false}, {"frozen", true, true}, {"killed, without fail_open", false, false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { allDown(t, binary, tt.open, tt.isFrozen) })
	}
}

func allDown(t *testing.T, binary string, open, freeze bool) {
	dir := t.TempDir()
	var servers []*server
	var addrs []string
	for i := range 5 {
		servers = append(servers, startServer(t, dir, i, nil))
		addrs = append(addrs, servers[i].addr)
	}
	p := startBinary(t, binary, fmt.Sprintf(`
listen: 127.0.0.1:0
servers: [%s]
health: { http: { path: %s }, interval: %v, timeout: 200ms, fall: 2, rise: 2 }
fail_open: { enabled: %v }
timeouts: { response: 500ms }
`, strings.Join(addrs, ", "), probePath, downInterval, open))
	for _, s := range servers {
		if freeze {
			s.signal(t, syscall.SIGSTOP)
		} else {
			s.kill()
		}
	}
	for _, s := range servers {
		awaitUp(t, p, s, false, time.Now())
	}
	crowd := func() {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { askRefused(t, p.addr, 500, 0) })
		}
		all.Wait()
	}
	crowd() // what is needed once is there then
	before := p.resident(t)
	// The machine may be busy with something else at one time, not at each.
	for round := 1; ; round++ {
		times := askRefused(t, p.addr, 1000, time.Millisecond)
		if len(times) == 0 {
			t.FailNow()
		}
		got := p99(times)
		t.Logf("99 %% of the answers came within %v", got)
		if got <= refusedWithin {
			break
		}
		if round == tries {
			t.Fatalf("99 %% of the answers came within %v only, want %v", got, refusedWithin)
		}
	}
	for range 4 {
		crowd()
	}
	if got := p.resident(t); got > before+downGrowth {
		t.Errorf("Poise holds %d KiB after 40,000 refusals, and held %d KiB; want no more than %d above", got>>10, before>>10, downGrowth>>10)
	}

	if freeze {
		servers[2].signal(t, syscall.SIGCONT)
	} else {
		servers[2].restart(t)
	}
	back := time.Now()
	within := servedWithin
	if !open || freeze {
		within += downInterval + downInterval/10 // until the first probe that sees it
	}
	testkit.Eventually(t, "client that is served", func() bool { return get(t, p.addr) == http.StatusOK })
	took := time.Since(back)
	t.Logf("served %v after a server was back", took.Round(time.Millisecond))
	if took > within {
		t.Errorf("clients were served %v after a server was back, want within %v", took, within)
	}
	p.stop(t)
}

// askRefused sends requests over one connection, none of which is served, and returns what each took. pause is between two.
func askRefused(t *testing.T, addr string, n int, pause time.Duration) (times []time.Duration) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(bound))
	r := bufio.NewReader(conn)
	for range n {
		begun := time.Now()
		if _, err := conn.Write([]byte("GET /r?id=1&size=10 HTTP/1.1\r\nHost: example.test\r\n\r\n")); err != nil {
			t.Error(err)
			return times
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Error(err)
			return times
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil || (resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusGatewayTimeout) {
			t.Errorf("answer %d %q, %v; want 503, or 504 of one that waited for a server", resp.StatusCode, body.String(), err)
			return times
		}
		times = append(times, time.Since(begun))
		time.Sleep(pause)
	}
	return times
}

// get is a status.
func get(t *testing.T, addr string) int {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/r?id=1&size=10")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// resident is how much memory Poise holds, in bytes.
func (b *built) resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
