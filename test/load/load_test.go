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
	"strings"
	"testing"

	"poise/internal/testkit"
)

// roleVariable names the environment variable that makes a process of the test binary something else than the tests.
const roleVariable = "POISE_TEST_ROLE"

func TestMain(m *testing.M) {
	role, ok := os.LookupEnv(roleVariable)
	if !ok {
		os.Exit(m.Run())
	}
	roles := map[string]func() (addr string, err error){"server": serverRole, "poise": poiseRole}
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
	for _, driver := range []string{"io_uring", "epoll", "net"} {
		t.Run(driver, func(t *testing.T) { f(t, testkit.Setup{Driver: driver, Loops: loops}) })
	}
}

// stateOf is a server's state, as Poise tells it.
func stateOf(p *testkit.Poise, addr string) string {
	for _, pool := range p.App.Status().Pools {
		for _, s := range pool.Servers {
			if s.Address == addr {
				return s.State
			}
		}
	}
	return ""
}

// awaitState waits until Poise tells that the server is in the state.
func awaitState(t testing.TB, p *testkit.Poise, addr, state string) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("state %s of %s", state, addr), func() bool { return stateOf(p, addr) == state })
}
