// Package probe performs active health checks, off the loops: one goroutine for each server of a pool.
//
// A prober asks its server at a steady pace and reports each result. It never decides what a result means for the
// server, which is what internal/health does, and never looks at traffic. Servers' agents are asked in the same way: NewAgents.
//
// Start reading at prober.run, then at the checks: newCheckTCP, newCheckTLS, newCheckHTTP.
package probe

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/clock"
	"poise/internal/health"
	"poise/internal/pool"
)

// MaxInFlight is how many probes of a process may run at once: as many as start together with as many servers, and
// few enough to leave descriptors and cores to traffic.
const MaxInFlight = 64

// jitter is the share of the interval by which a pause may be shorter or longer, so that probes of many servers, and of
// many balancers, do not stay in step.
const jitter = 0.1

// Slots bounds the probes that run at once. All pools of a process share one.
type Slots chan struct{}

// NewSlots returns n slots.
func NewSlots(n int) Slots { return make(Slots, n) }

// Settings say how one pool's servers are probed.
type Settings struct {
	Health health.Settings // Interval and Timeout are used here
	// Pace is the time from the start of a server's last probe to that of its next, asked after each report and by Hasten; nil: Health.Interval.
	Pace  func(*pool.Server) time.Duration
	Port  int   // asked instead of the server's own; 0: its own. Unix sockets have none
	Slots Slots // nil: MaxInFlight of its own

	// The first of these that is there says how. Without any, as the zero TCP does.
	HTTP *HTTP
	GRPC *GRPC
	TLS  *TLS // a handshake
	TCP  TCP
}

// check returns what makes the probes.
func (s *Settings) check() (check, error) {
	switch {
	case s.HTTP != nil:
		return newCheckHTTP(s.HTTP)
	case s.GRPC != nil:
		return newCheckGRPC(s.GRPC), nil
	case s.TLS != nil:
		return newCheckTLS(s.TLS), nil
	}
	return newCheckTCP(s.TCP), nil
}

// Probers probe the servers of one pool. A nil one probes nothing.
type Probers struct {
	pace              func(*pool.Server) time.Duration
	interval, timeout time.Duration
	port              int
	slots             Slots
	ask               question
	overIP            bool // servers at Unix sockets are left out
	report            func(s *pool.Server, answer string, r health.Result)

	wait sync.WaitGroup // the goroutines of all probers, those that Set stopped too

	// mu guards running and closed. It is not held while anything is waited for or reported.
	mu      sync.Mutex
	running map[*pool.Server]*prober
	closed  bool
}

// New returns probers without servers: Set gives them some. report is called with every result, from several goroutines;
// for a server that was just taken away too. It fails when the HTTP settings do not make a request.
func New(s Settings, report func(*pool.Server, health.Result)) (*Probers, error) {
	c, err := s.check()
	if err != nil {
		return nil, err
	}
	settings := s.Health.WithDefaults()
	return start(&Probers{
		pace: s.Pace, interval: settings.Interval, timeout: settings.Timeout, port: s.Port, slots: s.Slots,
		ask:    c.question,
		report: func(server *pool.Server, _ string, r health.Result) { report(server, r) },
	}), nil
}

// start makes p ready for servers.
func start(p *Probers) *Probers {
	p.running = make(map[*pool.Server]*prober)
	if p.slots == nil {
		p.slots = NewSlots(MaxInFlight)
	}
	return p
}

// Set makes servers the ones that are probed: those that are new get their first probe at once, and their second one after a part of a pause that goes by their
// place, so that from then on servers that came together are probed one after the other. Those that are gone are left alone, the others are not disturbed.
func (p *Probers) Set(servers []*pool.Server) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	wanted := make(map[*pool.Server]bool, len(servers))
	for place, s := range servers {
		if p.overIP && strings.HasPrefix(s.Address, "unix:") {
			continue
		}
		wanted[s] = true
		if p.running[s] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		w := &prober{Probers: p, server: s, target: targetOf(s, p.port), cancel: cancel, hurry: make(chan struct{}, 1)}
		w.part = float64(place+1) / float64(len(servers))
		p.running[s] = w
		p.wait.Add(1)
		go w.run(ctx)
	}
	for s, w := range p.running {
		if !wanted[s] {
			w.cancel()
			delete(p.running, s)
		}
	}
}

// Hasten has s probed at once if its pace is shorter than when its prober began to wait. It is for changes that come from elsewhere than from a probe.
func (p *Probers) Hasten(s *pool.Server) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.running[s]; w != nil {
		select {
		case w.hurry <- struct{}{}:
		default:
		}
	}
}

// Close ends all probing, and waits until the last goroutine has ended.
func (p *Probers) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	for _, w := range p.running {
		w.cancel()
	}
	clear(p.running)
	p.mu.Unlock()
	p.wait.Wait()
}

// Counts tells how many probes of s passed and failed since Set named it.
func (p *Probers) Counts(s *pool.Server) (passed, failed uint64) {
	if p == nil {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.running[s]
	if w == nil {
		return 0, 0
	}
	return w.passed.Load(), w.failed.Load()
}

// Last returns the latest result about s since Set named it, and whether there was one.
func (p *Probers) Last(s *pool.Server) (health.Result, bool) {
	if p == nil {
		return health.Result{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.running[s]
	if w == nil || w.last.Load() == nil {
		return health.Result{}, false
	}
	return *w.last.Load(), true
}

// prober probes one server.
type prober struct {
	*Probers
	server         *pool.Server
	target         target
	cancel         context.CancelFunc
	passed, failed atomic.Uint64
	last           atomic.Pointer[health.Result]
	part           float64       // of the next pause that is made; only run has it
	hurry          chan struct{} // asks for a look at the pace; has room for one
}

// run is the prober's goroutine. It probes until ctx ends.
func (w *prober) run(ctx context.Context) {
	defer w.wait.Done()
	defer w.cancel()
	for {
		began := clock.Now()
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		answer, result := w.probe(ctx)
		<-w.slots
		if ctx.Err() != nil {
			return // what was cut short says nothing about the server
		}
		if result.OK {
			w.passed.Add(1)
		} else {
			w.failed.Add(1)
		}
		w.last.Store(&result)
		w.report(w.server, answer, result)

		if !w.pause(ctx, began) {
			return
		}
	}
}

// pause waits until the next probe is due after the one that began then. It is false when ctx has ended.
func (w *prober) pause(ctx context.Context, began clock.Instant) bool {
	pace, part := w.paceNow(), w.part
	w.part = 1
	due := time.NewTimer(time.Duration(float64(pace)*part*(1-jitter+2*jitter*rand.Float64())) - clock.Now().Sub(began))
	defer due.Stop()
	for {
		select {
		case <-due.C:
			return true
		case <-w.hurry:
			if w.paceNow() < pace {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

func (w *prober) paceNow() time.Duration {
	if w.pace != nil {
		return w.pace(w.server)
	}
	return w.interval
}

// probe makes one probe.
func (w *prober) probe(ctx context.Context) (answer string, r health.Result) {
	began := clock.Now()
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	answer, err := w.ask(ctx, w.target)
	took := clock.Now().Sub(began)
	if err == nil {
		return answer, health.Result{OK: true, Duration: took}
	}
	if ctx.Err() == context.DeadlineExceeded {
		// Never below the timeout: by the duration a failure is told from a probe without an answer.
		return "", health.Result{Reason: "no answer within " + w.timeout.String(), Duration: max(took, w.timeout)}
	}
	return "", health.Result{Reason: reason(err), Duration: took}
}
