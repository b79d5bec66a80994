package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"poise/internal/app"
	"poise/internal/config"
)

// service is a running balancer, from its start to its end. Its methods are called in this order, on one goroutine.
type service struct {
	*program
	app     *app.App
	config  *config.Config
	log     *lossyLog
	signals <-chan os.Signal
	release func()
	floor   []byte // see heapFloor

	// Beside signals, wait looks after these; nil and 0 for none.
	until <-chan time.Time // ends the waiting
	every time.Duration    // how often beat is called
	beat  func()

	showBy time.Time // when the pools are shown, whether their first probes are over or not
}

// logPatience is how long the end of the program waits for its log's sink.
const logPatience = time.Second

// heapFloor is held and never touched, so that it takes no memory. The garbage collector waits until the heap has doubled; with this counted in, a small
// heap with many new connections a second is collected once in a while, and not several times a second.
const heapFloor = 16 << 20

// loader reads a configuration again; nil where there is no file.
type loader func() (*config.Config, config.Problems)

// serve runs a configuration until a signal ends it.
func (p *program) serve(cfg *config.Config, again loader) error {
	s, err := p.start(cfg, again)
	if err != nil {
		return err
	}
	s.showStart()
	s.wait()
	return s.stop()
}

// start binds, and lets the loops run.
func (p *program) start(cfg *config.Config, again loader) (*service, error) {
	signals, release := p.notify() // before anything is bound, so that none is lost
	fmt.Fprintln(p.err, thisBuild())
	log := newLossyLog(p.err)
	a, err := app.Start(app.Options{
		Config: cfg, Log: slog.New(slog.NewTextHandler(log, nil)), Version: thisBuild().Version,
		Load:   again,
		Report: func(problems config.Problems) { _ = problems.Format(log, p.color(p.err)) }, // the log never fails
	})
	if err != nil {
		log.Close(logPatience)
		release()
		return nil, failed(err)
	}
	return &service{
		program: p, app: a, config: cfg, log: log, signals: signals, release: release, floor: make([]byte, heapFloor),
		showBy: time.Now().Add(firstRound(cfg)),
	}, nil
}

// wait returns when the end was asked for. It also shows the pools, as soon as each server had its first probe.
func (s *service) wait() {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	beat := time.NewTicker(max(s.every, time.Millisecond))
	defer beat.Stop()
	if s.every == 0 {
		beat.Stop()
	}
	for {
		select {
		case sig := <-s.signals:
			if stops(sig) {
				return
			}
			s.handle(sig)
		case <-s.until:
			return
		case <-beat.C:
			s.beat()
		case now := <-look.C:
			if ready, _ := s.app.Ready(); ready || now.After(s.showBy) {
				s.showPools()
				look.Stop()
			}
		}
	}
}

// handle does what a signal asks for that does not end the program.
func (s *service) handle(sig os.Signal) {
	switch sig {
	case sigReopen:
		s.app.ReopenLogs()
	case sigReload:
		s.app.ReloadSoon()
	}
}

// stop drains, and returns how that went. A second signal ends it at once.
func (s *service) stop() error {
	defer s.release()
	defer s.log.Close(logPatience)
	limit := s.app.DrainTime()
	fmt.Fprintf(s.err, "poise: draining until %s at the latest; another signal stops at once\n", time.Now().Add(limit).Format(time.TimeOnly))
	drained := make(chan int, 1)
	go s.drain(drained)
	for {
		select {
		case cut := <-drained:
			s.app.Stop()
			if cut > 0 {
				return &exitError{exitCut, fmt.Errorf("stopped; %s cut after %v", were(cut), limit)}
			}
			fmt.Fprintln(s.err, "poise: stopped")
			return nil
		case sig := <-s.signals:
			if stops(sig) {
				s.app.Stop()
				return &exitError{exitForced, errors.New("stopped at once")}
			}
			s.handle(sig)
		}
	}
}

// drain is the goroutine that waits for the last client. After a forced stop nobody waits for it: the process ends.
func (s *service) drain(drained chan<- int) { drained <- s.app.Drain() }

func were(n int) string {
	if n == 1 {
		return "1 connection was"
	}
	return fmt.Sprintf("%d connections were", n)
}
