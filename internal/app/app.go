// Package app builds the running program from a configuration, and takes it down again: it is the only package that knows all others.
//
// It decides nothing about a request. Start reading at Start; pools.go makes pools, table.go routes, state.go tells how things are, stop.go drains.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/accesslog"
	"poise/internal/admin"
	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/listen"
	"poise/internal/probe"
	"poise/internal/proxy"
	"poise/internal/route"
	"poise/internal/stats"
	"poise/internal/sys"
	"poise/internal/upstream"
)

// Options say what to run.
type Options struct {
	Config  *config.Config
	Log     *slog.Logger // the program's log, not the access log
	Version string
	// Load reads the configuration again, for a reload; the Config is nil if the problems hold an error. nil: there is no file to read.
	Load func() (*config.Config, config.Problems)
	// Report, where set, is told what a reload found: mistakes and warnings.
	Report func(config.Problems)
	// Poison overwrites receive buffers when they are given back, so that tests see a use after it.
	Poison bool
}

// App is the running program.
type App struct {
	o       Options
	started time.Time
	since   clock.Instant
	reason  string // why no faster driver is used

	loops    []*loop
	watchdog *fiber.Watchdog
	table    atomic.Pointer[route.Table]
	sockets  []*listen.Socket // by listener, then address
	bound    [][]string       // each listener's addresses
	limits   proxy.Limits
	spread   *proxy.Spread
	peers    *upstream.Peers // the loops' connections to servers

	now       atomic.Pointer[running] // nil before anything runs
	slots     probe.Slots
	askSlots  probe.Slots // of questions to agents: those that never answer shall not hold probes up
	secret    []byte      // of cookies that have none of their own; lasts as long as the process
	accessLog *accesslog.Log
	admin     *admin.Server
	token     *admin.Token // nil: none

	changing  sync.Mutex // held while pools' servers change, so that an older list never comes last
	poolIDs   numbers    // by name
	serverIDs numbers    // by pool, name and address
	routeIDs  numbers    // by listener and route

	reloads  reloads
	renewals renewals
	own      *own // for listeners with self_signed

	draining atomic.Bool
	quit     chan struct{} // ends tending
	hurry    chan struct{} // asks for it now
	tended   sync.WaitGroup
	stopOnce sync.Once
}

// loop is one loop with what it serves clients with.
type loop struct {
	fiber *fiber.Loop
	proxy *proxy.Loop
	stats *stats.Loop
}

// Start binds all listeners, and runs what the configuration says. On an error nothing is left running; its text is for a person.
func Start(o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &App{
		own: ownOf(o.Config.Listeners),
		o:   o, started: time.Now(), since: clock.Now(), quit: make(chan struct{}), hurry: make(chan struct{}, 1),
		slots: probe.NewSlots(probe.MaxInFlight), askSlots: probe.NewSlots(probe.MaxInFlight), secret: randomBytes(),
		reloads: reloads{wake: make(chan struct{}, 1), counts: stats.Reloads{OK: true, Last: time.Now()}},
	}
	if err := a.start(); err != nil {
		a.Stop()
		return nil, err
	}
	return a, nil
}

func (a *App) start() error {
	c := a.o.Config
	n := c.Loops
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	// Each loop has a thread that is nearly always busy; the rest of the program needs processors beside them, or a loop that wakes finds none free.
	runtime.GOMAXPROCS(n + 2)
	a.setLimits()
	if err := a.bind(n); err != nil {
		return err
	}
	a.limits.Spare = min(sys.Backlog()*n*len(a.sockets), max(a.limits.Connections/2, leastSpare))
	if err := a.openLog(n); err != nil {
		return err
	}
	if err := a.startLoops(n); err != nil {
		return err
	}
	if err := a.run(c); err != nil {
		return err
	}
	if err := a.listenAll(); err != nil {
		return err
	}
	a.renewals.warned = expiries{}
	a.watchExpiries(time.Now())
	a.tended.Add(2)
	go a.tend()
	go a.reloadAll()
	return a.startAdmin()
}

// run builds the first pools and routes, and begins to probe.
func (a *App) run(c *config.Config) error {
	n, _, err := a.lookUp(c, nil)
	if err != nil {
		return err
	}
	next, err := a.build(c, n, nil)
	if err != nil {
		n.close()
		return err
	}
	a.install(next)
	return nil
}

// leastSpare is up to how small a connection limit accepting always goes one by one.
const leastSpare = 1024

// setLimits derives from the descriptor limit what the configuration leaves open: an exchange needs two connections, and some descriptors are kept
// for all else.
func (a *App) setLimits() {
	l := &a.o.Config.Limits
	a.limits.Connections, a.limits.PerClient = l.Connections, l.ConnectionsPerClient
	files, err := sys.RaiseDescriptorLimit()
	if err != nil {
		a.o.Log.Warn("the descriptor limit is unknown; connections are bounded to 8000", "error", err)
		files = 18000
	}
	if a.limits.Connections == 0 {
		a.limits.Connections = max(16, int(float64(files-200)/2.2))
	}
	if a.limits.PerClient == 0 {
		a.limits.PerClient = (a.limits.Connections + 1) / 2
	}
}

// bind opens every listener's sockets, and reports all that cannot be had.
func (a *App) bind(n int) error {
	var errs []error
	for _, l := range a.o.Config.Listeners {
		var bound []string
		for _, addr := range l.Addresses {
			s, err := listen.Bind(string(addr), n)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			a.sockets = append(a.sockets, s)
			bound = append(bound, s.Address)
		}
		a.bound = append(a.bound, bound)
	}
	return errors.Join(errs...)
}

func (a *App) openLog(n int) error {
	l := a.o.Config.AccessLog
	if !l.Enabled {
		return nil
	}
	var err error
	a.accessLog, err = accesslog.Open(accesslog.Settings{Path: l.Path, Shards: n, Failed: func(err error) {
		a.o.Log.Warn("the access log cannot be written; records are kept for a while, then dropped and counted", "error", err)
	}})
	if err != nil {
		return fmt.Errorf("open the access log: %w", err)
	}
	return nil
}

func (a *App) startLoops(n int) error {
	c := a.o.Config
	a.spread = proxy.NewSpread(n)
	a.peers = upstream.NewPeers(n)
	shared := &proxy.Config{
		Table: &a.table, Limits: &a.limits, Spread: a.spread, Loops: n, Handshakes: c.Limits.Handshakes, Streams: c.Limits.Streams,
		Compressions:  c.Limits.Compressions,
		IdlePerServer: c.Limits.IdlePerServer, Upstream: a.peers,
		Heads: h1.Limits{Head: int(c.Limits.Head), Fields: c.Limits.Fields},
	}
	var fibers []*fiber.Loop
	for i := range n {
		fl, reason, err := fiber.Start(i, fiber.Config{Driver: c.Driver, Log: a.o.Log, Poison: a.o.Poison})
		if err != nil {
			return err
		}
		a.reason = reason
		l := &loop{fiber: fl, stats: &stats.Loop{}}
		a.loops = append(a.loops, l)
		fibers = append(fibers, fl)
		var shard *accesslog.Shard
		if a.accessLog != nil {
			shard = a.accessLog.Shard(i)
		}
		fl.Call(func() { l.proxy = proxy.New(fl, shared, l.stats, shard) })
	}
	a.watchdog = fiber.Watch(fibers, a.o.Log)
	return nil
}

// listenAll gives each loop its sockets: from here on clients are served.
func (a *App) listenAll() error {
	at := 0
	var errs []error
	for i, pl := range a.now.Load().listeners {
		for range a.bound[i] {
			s := a.sockets[at]
			at++
			fds := s.FDs
			s.FDs = nil // the loops have them now
			for j, l := range a.loops {
				l.fiber.Call(func() {
					if err := l.proxy.Listen(pl, fds[j]); err != nil {
						errs = append(errs, fmt.Errorf("listen on %s: %w", s.Address, err))
					}
				})
			}
		}
	}
	a.spread.Open()
	return errors.Join(errs...)
}

// tend does what is due from time to time: decisions on servers, and what their changes mean for the log.
func (a *App) tend() {
	defer a.tended.Done()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-a.quit:
			return
		case <-tick.C:
		case <-a.hurry:
		}
		for _, p := range a.now.Load().pools {
			a.decide(p)
		}
	}
}

// decide has a pool decide on its servers. Those that requests took out are probed at once.
func (a *App) decide(p *poolState) {
	for _, e := range p.pool.Tick(clock.Now()) {
		a.logChange(e)
		if e.Server != nil {
			p.probers.Hasten(e.Server)
		}
	}
}

// tendSoon has tend look at once. It never waits.
func (a *App) tendSoon() {
	select {
	case a.hurry <- struct{}{}:
	default:
	}
}

const tendEvery = 50 * time.Millisecond
