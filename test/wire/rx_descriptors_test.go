package wire

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// childVariable holds the configuration for a child process, which is this test binary with fewer descriptors: the limit is the process's.
const childVariable = "POISE_TEST_CHILD"

// runChild is the child: it says where it listens, and runs until its input ends.
func runChild(t *testing.T, yaml string) {
	p := testkit.Start(t, testkit.Setups(t)[0], yaml)
	fmt.Printf("listening on %s\n", p.Addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// child is Poise in a process of its own.
type child struct {
	addr string
	pid  int
}

func startChild(t *testing.T, s testkit.Setup, descriptors int, yaml string) *child {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "ulimit -n "+strconv.Itoa(descriptors)+" && exec "+os.Args[0]+" -test.run='^TestRX5DescriptorExhaustion$'")
	cmd.Env = append(os.Environ(), childVariable+"="+yaml, testkit.SetupsVariable+"="+s.String())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	t.Cleanup(func() {
		_ = in.Close()
		rest, _ := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child ended with %v:\n%s", err, rest)
		}
	})
	line, err := lines.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the child said %q (%v)", line, err)
	}
	return &child{addr: addr, pid: cmd.Process.Pid}
}

// descriptors is how many the child has open.
func (c *child) descriptors() int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.pid))
	return len(list)
}

// cpu is how much processor time the child has used.
func (c *child) cpu(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(f[11]) // utime and stime are fields 14 and 15, of which the first here is 3
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

func TestRX5DescriptorExhaustion(t *testing.T) {
	t.Parallel()
	if yaml := os.Getenv(childVariable); yaml != "" {
		runChild(t, yaml)
		return
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
		release := make(chan struct{})
		server := testkit.Serve(t, testkit.Paths(scripts{"/hold": func(p *testkit.Peer, _ string) bool {
			<-release
			return p.Send(testkit.OK) == nil
		}}))
		const limit = 150
		c := startChild(t, s, limit, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\nlimits: { connections: 100000 }\n")
		// Clients from before: each loop that they are on keeps a connection to the server. There are several for each loop, since a descriptor or two that
		// the program used for something else may just have become free.
		var early []*testkit.Client
		for range 5 * s.Loops {
			e := testkit.Dial(t, c.addr)
			wantOpen(t, e)
			early = append(early, e)
		}
		var flood []*testkit.Client
		for range limit + 100 {
			flood = append(flood, testkit.Dial(t, c.addr))
		}
		testkit.Eventually(t, "use of all descriptors", func() bool { return c.descriptors() >= limit })
		for _, e := range early {
			// Those that come at once would need a connection each to the server; one after the other they share one.
			testkit.Eventually(t, "answer on a connection from before", func() bool { return e.Get("/next").StatusCode == 200 })
		}
		before, begin := c.cpu(t), time.Now()
		<-time.After(300 * time.Millisecond)
		if used, took := c.cpu(t)-before, time.Since(begin); used > took/3 {
			t.Errorf("with nothing to do but wait for descriptors the process used %v of processor time in %v", used, took)
		}
		// All at once need as many connections to the server: who gets none is told so, and the connection lives on.
		for _, e := range early {
			e.Send(getOf("/hold"))
		}
		answers := make(chan *testkit.Response, len(early))
		for _, e := range early {
			go func() {
				r, _ := e.TryRead("GET")
				answers <- r
			}()
		}
		testkit.Eventually(t, "requests at the server or refused", func() bool {
			return strings.Count(server.Got(), "GET /hold ")+len(answers) == len(early)
		})
		close(release)
		refusals := 0
		for range early {
			switch r := <-answers; {
			case r == nil:
				t.Error("a request without a descriptor left has no answer, want 503")
			case r.StatusCode == 503 && strings.Contains(r.Body, "out of connections at present") && !r.Close:
				refusals++
			case r.StatusCode != 200:
				t.Errorf("a request without a descriptor left = %d %q, want 503", r.StatusCode, r.Body)
			}
		}
		if s.Loops == 1 && refusals == 0 {
			t.Errorf("%d requests were served at once without a descriptor left: the test shows nothing", len(early))
		}
		for _, f := range flood {
			_ = f.Close()
		}
		late := testkit.Dial(t, c.addr)
		wantOpen(t, late)
		testkit.Eventually(t, "descriptors given back", func() bool { return c.descriptors() < limit/2+30 })
		for _, e := range early {
			wantOpen(t, e)
		}
	})
}

// By default clients cannot take all descriptors: those for servers and for the rest of the program are left.
func TestRX5DefaultLimitLeavesDescriptors(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
		var held sync.WaitGroup
		held.Add(2)
		server := testkit.Serve(t, testkit.Paths(scripts{"/hold": func(p *testkit.Peer, _ string) bool {
			held.Done()
			held.Wait()
			return p.Send(testkit.OK) == nil
		}}))
		const limit = 300
		c := startChild(t, s, limit, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\nlimits: { connections_per_client: 1000 }\n")
		early := []*testkit.Client{testkit.Dial(t, c.addr), testkit.Dial(t, c.addr)}
		for _, e := range early {
			wantOpen(t, e)
		}
		var flood []*testkit.Client
		for range limit {
			flood = append(flood, testkit.Dial(t, c.addr))
		}
		for _, e := range early { // two at once need two connections to the server
			e.Send(getOf("/hold"))
		}
		for _, e := range early {
			wantResponse(t, "GET under a flood", e.Read("GET"), 200, "ok")
		}
		if n := c.descriptors(); n > 200 {
			t.Errorf("%d of %d descriptors are in use under a flood of clients, want room for the rest of the program", n, limit)
		}
		for _, f := range flood {
			_ = f.Close()
		}
		wantOpen(t, testkit.Dial(t, c.addr))
	})
}
