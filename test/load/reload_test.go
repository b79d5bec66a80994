package load

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// reloadVariable names the environment variable that says for how long a driver is reloaded, some fifty times.
	reloadVariable = "POISE_TEST_RELOADS"
	someReloads    = 3400 * time.Millisecond // so that three drivers take ten seconds
	leastBetween   = 400 * time.Millisecond  // reloads
	// followWithin is how long after a reload the spread may still be the old one.
	followWithin = 100 * time.Millisecond
	// spreadMargin is by how much a server's share may be off. Clients wait for slow answers, and each loop goes round by itself.
	spreadMargin = 0.08
)

// weights are the servers that a configuration has, by name.
type weights map[string]int

// served is an exchange that went well.
type served struct {
	begun time.Time
	by    string
}

// reloading is Poise whose servers are changed under load.
type reloading struct {
	*testkit.Poise
	addrs map[string]string // of all servers, by name
	stop  chan struct{}

	mu     sync.Mutex // guards all below
	all    []served
	failed []string
}

// TestReloadUnderLoad adds, removes and re-weights servers: no request fails, though none is tried again, and the spread follows.
func TestReloadUnderLoad(t *testing.T) {
	length := someReloads
	if s := os.Getenv(reloadVariable); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	eachDriver(t, 2, func(t *testing.T, s testkit.Setup) {
		r := &reloading{addrs: map[string]string{}, stop: make(chan struct{})}
		for _, name := range strings.Fields("a b c d e f") {
			r.addrs[name] = startHalting(t, name)
		}
		random := rand.New(rand.NewPCG(1, 2))
		r.Poise = testkit.Start(t, s, r.config(weights{"a": 1, "b": 1}))
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() { r.load(i) })
		}
		reloads, say := 0, progress(t)
		for end := time.Now().Add(length); time.Now().Before(end); reloads++ {
			w := someWeights(random)
			r.Reload(t, r.config(w))
			from := time.Now().Add(followWithin)
			<-time.After(max(leastBetween, length/50)) // the load has its time with these servers
			r.check(t, w, from)
			say("%d reloads", reloads)
		}
		close(r.stop)
		clients.Wait()
		if len(r.failed) > 0 {
			t.Errorf("%d requests failed, the first: %s", len(r.failed), r.failed[0])
		}
		t.Logf("%d reloads", reloads)
	})
}

// someWeights chooses two servers or more, none of them heavy enough to hide another.
func someWeights(random *rand.Rand) weights {
	w := weights{}
	for len(w) < 2 {
		for _, name := range strings.Fields("a b c d e f") {
			if random.IntN(2) == 0 {
				w[name] = 1 + random.IntN(3)
			}
		}
	}
	return w
}

func (r *reloading) config(w weights) string {
	var servers []string
	for name, weight := range w {
		servers = append(servers, fmt.Sprintf("{ address: %q, weight: %d }", r.addrs[name], weight))
	}
	return "listen: 127.0.0.1:0\npolicy: round_robin\nretry: { attempts: 1 }\nservers: [" + strings.Join(servers, ", ") + "]\n"
}

// startHalting starts a server that answers with its name, and rests in the middle of an answer where the path asks for it.
func startHalting(t *testing.T, name string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", serverHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: testkit.Patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name)
		if r.URL.Path == "/slow" {
			_ = http.NewResponseController(w).Flush()
			rest()
		}
		_, _ = io.WriteString(w, "!")
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String()
}

// load is a client: one in five asks for slow answers, one in five makes a connection for each request.
func (r *reloading) load(number int) {
	tr := &http.Transport{DisableKeepAlives: number%5 == 1}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: testkit.Patience}
	path := "/"
	if number%5 == 0 {
		path = "/slow"
	}
	for {
		select {
		case <-r.stop:
			return
		default:
		}
		begun := time.Now()
		by, err := answerOf(c, "http://"+r.Addr+path)
		r.mu.Lock()
		if err != nil {
			r.failed = append(r.failed, err.Error())
		} else {
			r.all = append(r.all, served{begun, by})
		}
		r.mu.Unlock()
	}
}

// answerOf returns the name of the server that answered in full.
func answerOf(c *http.Client, url string) (by string, err error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	name, whole := strings.CutSuffix(string(b), "!")
	if resp.StatusCode != http.StatusOK || !whole {
		return "", fmt.Errorf("status %d, body %q", resp.StatusCode, b)
	}
	return name, nil
}

// check compares where requests went that began since from with the weights, and forgets them.
func (r *reloading) check(t *testing.T, w weights, from time.Time) {
	t.Helper()
	r.mu.Lock()
	got, n := map[string]int{}, 0
	for _, s := range r.all {
		if s.begun.After(from) {
			got[s.by]++
			n++
		}
	}
	r.all = r.all[:0]
	r.mu.Unlock()
	sum := 0
	for _, weight := range w {
		sum += weight
	}
	if n < 100 {
		t.Logf("only %d requests with %v: nothing to compare", n, w)
		return
	}
	for name := range r.addrs {
		share, want := float64(got[name])/float64(n), float64(w[name])/float64(sum)
		if share < want-spreadMargin || share > want+spreadMargin || w[name] == 0 && got[name] > 0 {
			t.Errorf("with the weights %v server %s got %d of %d requests, want %.0f %%", w, name, got[name], n, 100*want)
		}
	}
}
