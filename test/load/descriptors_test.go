package load

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// fewFiles is the descriptor limit of a Poise that is to run out of them; tooMany connections exceed it.
	fewFiles, tooMany = 100, 150
	// ticks is how many clock ticks /proc counts a second.
	ticks = 100
	// maxShare is what a process that is out of descriptors may use of a core.
	maxShare = 0.2
	// resumeBy is when Poise accepts again once there are descriptors.
	resumeBy = time.Second
)

// TestOutOfDescriptors takes all descriptors of a Poise: what is open works on, nothing spins, and accepting goes on soon after some are free again.
func TestOutOfDescriptors(t *testing.T) {
	eachDriver(t, 1, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		socket := filepath.Join(t.TempDir(), "admin")
		p := spawn(t, "poise", fewFiles, "POISE_TEST_CONFIG="+fmt.Sprintf(`
driver: %s
loops: %d
listen: 127.0.0.1:0
servers: [%s]
limits: { connections: 100000 }
access_log: { enabled: false }
admin: { address: "unix:%s" }
`, s.Driver, s.Loops, server.Addr, socket))
		t.Cleanup(p.kill)
		admin := newAdminClient(t, socket)
		admin.metrics(t) // opens its connection
		healthy := testkit.Dial(t, p.addr)
		healthy.Get("/")

		var flood []*testkit.Client
		for range tooMany {
			flood = append(flood, testkit.Dial(t, p.addr))
		}
		pauses := func() int { return admin.metrics(t).sum("poise_loop_accept_pauses_total") }
		testkit.Eventually(t, "pause in accepting", func() bool { return pauses() > 0 })
		checkCalm(t, p, healthy)

		before := pauses()
		testkit.Eventually(t, "further try to accept", func() bool { return pauses() > before })
		waiting := testkit.Dial(t, p.addr)
		waiting.Send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
		freed := time.Now()
		for _, c := range flood {
			_ = c.Close()
		}
		r := waiting.Read(http.MethodGet)
		if took := time.Since(freed); r.StatusCode != http.StatusOK || took > resumeBy {
			t.Errorf("a client that waited got %d after %v, want 200 within %v of descriptors being free", r.StatusCode, took, resumeBy)
		}
		if r := healthy.Get("/"); r.StatusCode != http.StatusOK {
			t.Errorf("the connection from before got %d, want 200", r.StatusCode)
		}
	})
}

// checkCalm uses the healthy connection for a second, and looks at the time that Poise takes from the processor meanwhile.
func checkCalm(t *testing.T, p *process, healthy *testkit.Client) {
	t.Helper()
	began, used := time.Now(), p.cpuTime(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < time.Second {
		<-tick.C
		if r := healthy.Get("/"); r.StatusCode != http.StatusOK || r.Body != "ok" {
			t.Fatalf("GET without descriptors on an open connection = %d %q, want 200 ok", r.StatusCode, r.Body)
		}
	}
	share := float64(p.cpuTime(t)-used) / float64(time.Since(began))
	t.Logf("%.1f %% of a core", 100*share)
	if share > maxShare {
		t.Errorf("without descriptors Poise uses %.0f %% of a core, want at most %.0f %%", 100*share, 100*maxShare)
	}
}

// cpuTime is what the process has used, in user and kernel mode.
func (p *process) cpuTime(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // from the third on: the second, the name, may hold anything
	sum := 0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(string(f))
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks
}
