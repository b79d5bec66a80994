package app

import (
	"time"

	"poise/internal/clock"
)

// Drain finishes what runs and takes nothing new: the listening sockets are closed once their queues are empty, answers close their
// connections, idle connections are closed. It returns when all clients are gone, or when the drain's time is up; then what is left is cut, and cut
// is how many connections that were. Stop follows.
func (a *App) Drain() (cut int) {
	a.draining.Store(true)
	for _, l := range a.loops {
		l.fiber.Call(l.proxy.Drain) // once all know, none passes a connection on to one that is done
	}
	deadline := clock.Now().Add(a.DrainTime())
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !a.drained() {
		if clock.Now() >= deadline {
			break
		}
		<-tick.C
	}
	if a.drained() {
		return 0
	}
	for _, l := range a.loops {
		l.fiber.Call(func() { cut += l.proxy.Cut() })
	}
	return cut
}

// DrainTime is how long Drain takes at most, as things are configured now.
func (a *App) DrainTime() time.Duration { return a.now.Load().config.Timeouts.Drain }

func (a *App) drained() bool {
	all := true
	for _, l := range a.loops {
		l.fiber.Call(func() { all = all && l.proxy.Drained() })
	}
	return all
}

// Stop ends the program at once. It may be called again, and after a start that failed.
func (a *App) Stop() { a.stopOnce.Do(a.stop) }

// logPatience is how long the access log's sink may take for the last records.
const logPatience = 2 * time.Second

func (a *App) stop() {
	a.draining.Store(true)
	close(a.quit)
	a.tended.Wait()
	if now := a.now.Load(); now != nil {
		now.names.close()
		for _, p := range now.pools {
			p.probers.Close()
			p.agents.Close()
		}
	}
	if a.watchdog != nil {
		a.watchdog.Close()
	}
	for _, l := range a.loops {
		l.fiber.Stop()
		if l.proxy != nil {
			l.proxy.Flush() // the loop has ended: nobody else writes, and what it cut is in the log too
		}
	}
	for _, s := range a.sockets {
		s.Abandon()
	}
	if a.admin != nil {
		_ = a.admin.Close() // what it cannot finish is cut
	}
	if a.token != nil {
		a.token.Close()
	}
	if a.accessLog != nil {
		if err := a.accessLog.Close(logPatience); err != nil {
			a.o.Log.Warn("the access log's last records may be lost", "error", err)
		}
	}
}

// ReopenLogs closes and opens the access log's file, after it was moved away.
func (a *App) ReopenLogs() {
	if a.accessLog != nil {
		a.accessLog.Reopen()
	}
}
