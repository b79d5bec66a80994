package demo

import (
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// A few clients with pauses: about eight requests a second, and often more than one at once, so that there is something to balance.
const (
	clients  = 4
	minPause = 250 * time.Millisecond
	maxPause = 550 * time.Millisecond
	patience = 5 * time.Second
)

// Clients send requests to a balancer until they are closed.
type Clients struct {
	url    string
	http   *http.Client
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex // guards answers
	answers map[int]int
}

// Load starts clients that send requests to url.
func Load(url string) *Clients {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Clients{
		url:    url,
		http:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: patience},
		cancel: cancel, answers: map[int]int{},
	}
	for range clients {
		c.wait.Go(func() { c.send(ctx) })
	}
	return c
}

// send is one client.
func (c *Clients) send(ctx context.Context) {
	for {
		code := c.one(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.answers[code]++
		c.mu.Unlock()
		select {
		case <-time.After(minPause + rand.N(maxPause-minPause)):
		case <-ctx.Done():
			return
		}
	}
}

// one sends a request, and returns the answer's status code, or 0 where none came whole.
func (c *Clients) one(ctx context.Context) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return 0
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// Answers is how many answers came by status code since the last call; under 0 are requests without one.
func (c *Clients) Answers() map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := maps.Clone(c.answers)
	clear(c.answers)
	return now
}

// Close ends the clients; requests under way are given up.
func (c *Clients) Close() {
	c.cancel()
	c.wait.Wait()
	c.http.CloseIdleConnections()
}
