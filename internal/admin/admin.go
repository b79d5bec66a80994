// Package admin answers questions about Poise itself, over HTTP, on an address of its own: is it alive, is it ready, its metrics, its
// state, its profiles. It also takes a person's orders: to reload, and what becomes of a server.
//
// It never asks the rest of the program, and changes nothing itself: what it shows and does are the functions of a Source. It runs on
// net/http and goroutines, apart from the loops, so that a busy proxy can still be looked at.
//
// Start reading at New, which lists the paths; guard.go says who may ask, change.go and token.go who may change, listen.go binds the
// address, serve.go runs the server.
package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/pprof" // its init registers on http.DefaultServeMux too, which nothing serves
	"strings"
)

// Source is where the answers come from. The functions are called from any goroutine, once for each request.
type Source struct {
	// Ready tells whether Poise can take traffic, and what keeps it from that.
	Ready func() (ok bool, reasons []string)
	// Metrics answers /metrics.
	Metrics http.Handler
	// Status returns what /v1/status shows as JSON.
	Status func() any
	// Reload and Order change something, and return a line about it for a person. Their error may be a Refused.
	Reload func() (string, error)
	Order  func(pool, server string, o Order) (string, error)
	// Token is what changes over TCP need; nil: there are none.
	Token *Token
	// Address is the configured address, such as "poise.internal:9900": its host is accepted in the Host field. Optional.
	Address string
}

// New returns the handler of all admin paths.
func New(s Source) http.Handler {
	mux := http.NewServeMux()
	// GET covers HEAD; any other method else gets 405 from the mux.
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.Metrics)
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/reload", s.change(s.reload))
	mux.HandleFunc("POST /v1/pools/{pool}/servers/{server}", s.change(s.order))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, index) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return guard(s.Address, mux)
}

const index = `Poise, the admin address

/livez            200 while the process runs
/readyz           200 when it can take traffic, else 503; /readyz?verbose says why
/metrics          metrics for Prometheus
/v1/status        listeners, pools and servers as JSON
/debug/pprof/     profiles of the process

POST /v1/reload                         reads the configuration again
POST /v1/pools/POOL/servers/SERVER      {"state": "drain"|"maint"|"ready", "for": "5m", "weight": 3}

As a table: poise status. Orders: poise drain, maint, ready, weight, reload
`

func (s Source) readyz(w http.ResponseWriter, r *http.Request) {
	ok, reasons := s.Ready()
	code, body := http.StatusOK, "ok\n"
	if !ok {
		code, body = http.StatusServiceUnavailable, "not ready\n"
	}
	if r.URL.Query().Has("verbose") && len(reasons) > 0 {
		body += strings.Join(reasons, "\n") + "\n"
	}
	text(w, code, body)
}

func (s Source) status(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(s.Status()); err != nil {
		text(w, http.StatusInternalServerError, "the status cannot be written as JSON: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b.Bytes()) // nobody is left to tell
}

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // nobody is left to tell
}
