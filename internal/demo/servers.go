package demo

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

func hello(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Served-By", name)
		fmt.Fprintf(w, "hello from %s: %s %s\n", name, r.Method, r.URL.Path)
	})
}

// healthy answers probes, and leaves all else to next.
func healthy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == HealthPath {
			_, _ = io.WriteString(w, "ok\n") // the prober sees what is missing
			return
		}
		next.ServeHTTP(w, r)
	})
}

// slow waits for 150 to 250 ms first.
func slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(150*time.Millisecond + rand.N(100*time.Millisecond)):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// How the flaky server fails: of its requests every eighth is refused, and every eighth is dropped without an answer. Its probes fail
// for a while now and then, so that it is taken out and comes back.
const (
	failEvery   = 8
	refuseAt    = 4
	sickEvery   = 30 * time.Second
	sickFor     = 8 * time.Second
	firstHealth = sickEvery - sickFor
)

// sick tells whether probes fail, so long after the start.
func sick(age time.Duration) bool { return age%sickEvery >= firstHealth }

// flaky is the server that fails at times.
type flaky struct {
	health func() bool
	served atomic.Uint64
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == HealthPath {
		if !f.health() {
			http.Error(w, "not feeling well", http.StatusServiceUnavailable)
			return
		}
		healthy(nil).ServeHTTP(w, r)
		return
	}
	switch f.served.Add(1) % failEvery {
	case refuseAt:
		w.Header().Set("X-Served-By", "flaky")
		http.Error(w, "flaky: not now", http.StatusServiceUnavailable)
	case 0:
		panic(http.ErrAbortHandler) // closes the connection without an answer, as a crash would
	default:
		hello("flaky").ServeHTTP(w, r)
	}
}
