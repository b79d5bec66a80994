package stats

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Source is where a scrape gets its figures. The functions are called once for each, from any goroutine.
type Source struct {
	// Snapshots asks every loop for its copy, and returns them in the order of the loops; it bounds how long it waits.
	Snapshots func() []Snapshot
	// Names tells what the numbers in the snapshots stand for now. What it does not name is not shown.
	Names func() Names
	// Reloads tells of reloads of the configuration; nil where there are none.
	Reloads func() Reloads
	// Renewals tells of certificates whose files have changed; nil where there are none.
	Renewals func() Renewals
	// LogDropped is the number of records that the access log dropped; nil where there is no log.
	LogDropped func() uint64
	// LogWriteErrors is the number of the access log's writes that failed; nil where there is no log.
	LogWriteErrors func() uint64
	// Version and Revision are those of the program.
	Version, Revision string
}

// Reloads is how reloads of the configuration went.
type Reloads struct {
	OK                bool      // the last one; true before the first
	Last              time.Time // when one last succeeded; before the first the start
	Succeeded, Failed uint64
}

// Renewals count certificates whose files have changed.
type Renewals struct {
	Succeeded, Failed uint64
	Certificates      []Expiry // that are shown now; a listener has each once
}

// Expiry is when a certificate of a listener ends.
type Expiry struct {
	Listener    string
	Certificate string // its file
	NotAfter    time.Time
}

// Names give labels to numbers. Each name is unique in its scope: routes of a listener, servers of a pool.
type Names struct {
	Listeners []Name
	Routes    []RouteName
	Pools     []PoolNow
	Servers   []ServerNow
}

// Name is a listener's.
type Name struct {
	ID   int
	Name string
}

// PoolNow is a pool's name, with what is known of it outside of the loops.
type PoolNow struct {
	ID      int
	Name    string
	Waiting int  // requests in its queue
	Limit   int  // of its requests in flight; 0: none
	Opened  bool // servers that are down get requests
	Levels  []Level
}

// Level is some of the servers of a pool that has several levels.
type Level struct {
	Tier  string
	Zone  string
	Share float64 // of the pool's requests, from 0 to 1
}

// RouteName is a route's.
type RouteName struct {
	ID              int
	Listener, Route string
}

// ServerNow is a server's name, with what is known of it outside of the loops.
type ServerNow struct {
	ID                         int
	Pool, Server               string
	State                      string  // "checking", "up", "down", "ejected"; "draining", "maint" by order
	Weight                     float64 // as far as it counts at present
	InFlight                   int
	MaxConnections             int // 0: any number
	ProbesPassed, ProbesFailed uint64
	Ejections                  []Count   // by cause
	Agent                      *AgentNow // nil: none is asked
}

// AgentNow is what is known of a server's agent.
type AgentNow struct {
	Answered, Failed uint64  // questions
	Share            float64 // of the server's weight that it lets count; 1: the whole
}

// Count is a number with its name.
type Count struct {
	Name string
	N    uint64
}

// scrapeTimeout is Prometheus' own default for one scrape.
const scrapeTimeout = 10 * time.Second

// Handler serves the figures of s, and those of the Go runtime and the process, in Prometheus' text formats. It has a registry of
// its own. Histograms are classic ones only: the loops count by fixed bounds, from which a native histogram cannot be made.
func Handler(s Source) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{s},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "poise_build_info", Help: "Always 1; the labels tell the build that runs.",
			ConstLabels: prometheus.Labels{"version": s.Version, "revision": s.Revision, "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // a part of the figures is better than none
		Timeout:       scrapeTimeout,
	})
}
