// Package load holds tests that put Poise under load while servers die, clients stall and descriptors run out, and then account for every request.
//
// Its servers are processes of their own, so that they can be killed: the test binary starts itself again in another role. Start reading at
// TestAccounting.
package load

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"poise/internal/app"
	"poise/internal/testkit"
)

// roleVariable names the environment variable that makes a process of the test binary something else than the tests.
const roleVariable = "POISE_TEST_ROLE"

func TestMain(m *testing.M) {
	role, ok := os.LookupEnv(roleVariable)
	if !ok {
		os.Exit(m.Run())
	}
	roles := map[string]func() (addr string, err error){"server": serverRole, "poise": poiseRole, "shaker": shakerRole}
	addr, err := roles[role]()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
	fmt.Println(addr)
	_, _ = io.Copy(io.Discard, os.Stdin) // the parent holds the other end: no process outlives the tests
}

// process is another process of the test binary.
type process struct {
	addr string // where it listens
	cmd  *exec.Cmd
	in   io.Closer
}

// spawn starts a process in a role; it listens when spawn returns. files bounds its descriptors; 0: as many as we have.
func spawn(t testing.TB, role string, files int, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if files > 0 {
		cmd = exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0"`, files), os.Args[0])
	}
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, in: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.kill()
		t.Fatalf("the process in the role of %s did not start: %v", role, err)
	}
	p.addr = strings.TrimSpace(line)
	return p
}

// kill ends the process without a warning, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// eachDriver runs f once for every driver.
func eachDriver(t *testing.T, loops int, f func(t *testing.T, s testkit.Setup)) {
	t.Helper()
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) { f(t, testkit.Setup{Driver: driver, Loops: loops}) })
	}
}

// sayEvery is how often a long test tells how far it is.
const sayEvery = 30 * time.Second

// progress returns a function that logs what it is told, now and then, with the memory in use: a test of hours must not look as if it hung.
func progress(t *testing.T) func(format string, args ...any) {
	begin := time.Now()
	last := begin
	return func(format string, args ...any) {
		now := time.Now()
		if now.Sub(last) < sayEvery {
			return
		}
		last = now
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%v: %s; %d MiB in use", now.Sub(begin).Round(time.Second), fmt.Sprintf(format, args...), m.HeapAlloc>>20)
	}
}

// serverAt is what Poise tells of the server at an address.
func serverAt(p *testkit.Poise, addr string) (s app.ServerStatus) {
	for _, pool := range p.App.Status().Pools {
		for _, s := range pool.Servers {
			if s.Address == addr {
				return s
			}
		}
	}
	return s
}

// statePatience is long: a load of hours on a busy machine must not end because a process was slow to start once.
const statePatience = time.Minute

// awaitState waits until Poise tells that the server is in the state.
func awaitState(t testing.TB, p *testkit.Poise, addr, state string) {
	t.Helper()
	for deadline := time.Now().Add(statePatience); ; <-time.After(2 * time.Millisecond) {
		s := serverAt(p, addr)
		if s.State == state {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v server %s is %s, want %s; its last probe: %s", statePatience, addr, s.State, state, s.LastProbe)
		}
	}
}
