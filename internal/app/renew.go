package app

import (
	"crypto/sha256"
	"crypto/tls"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"poise/internal/cert"
	"poise/internal/config"
	"poise/internal/stats"
)

// When files of certificates are read again.
const (
	renewAfter    = 200 * time.Millisecond // behind the first change of several
	renewPatience = 2 * time.Second        // certificate and key are written one after the other: until then they may not match
	renewEvery    = time.Minute            // without any change that we are told of: some file systems tell of none
)

// fromFiles is a certificate with what it was made from, which may be nothing. Only reloadAll's goroutine changes it, once it runs.
type fromFiles struct {
	of      *config.Certificate
	own     *own              // nil: it is from files
	sum     [sha256.Size]byte // of both files
	pair    *cert.Pair        // nil: there was none yet
	staple  staple
	cert    *tls.Certificate // pair with staple
	trouble trouble
}

// trouble is that a changed file is no good.
type trouble struct {
	since time.Time // zero: it is good
	told  bool
}

// of tells what to do about an error, or none, of a look at the file: to look again soon, or to tell of it.
func (t *trouble) of(err error) (again, tell bool) {
	switch {
	case err == nil:
		*t = trouble{}
	case t.since.IsZero():
		t.since = time.Now()
		return true, false
	case time.Since(t.since) < renewPatience:
		return true, false
	case !t.told:
		t.told = true
		return false, true
	}
	return false, false
}

// read reads the files if they are others than before. Also with an error it may be without a response that has expired.
func (f *fromFiles) read() (changed bool, err error) {
	if f.own != nil {
		c, err := f.own.get(time.Now())
		if err != nil || c == f.cert {
			return false, err
		}
		f.cert = c
		return true, nil
	}
	pair, sum, err := pairOf(f.of, f.sum)
	changed = pair != nil
	if changed {
		f.pair, f.sum = pair, sum
	}
	if f.pair != nil && f.of.OCSP != "" {
		changed = f.staple.renew(f.of, f.pair, changed, time.Now()) || changed
	}
	if changed {
		c := *f.pair.Certificate
		c.OCSPStaple = f.staple.response
		f.cert = &c
	}
	return changed, err
}

// renewals watches the directories of certificates' files. Its channels are nil where the system has no means for it.
type renewals struct {
	watcher *fsnotify.Watcher
	events  chan fsnotify.Event
	errors  chan error
	due     *time.Timer
	armed   bool // due will fire soon, and not only after renewEvery

	succeeded, failed atomic.Uint64
	expire            atomic.Pointer[[]stats.Expiry] // of the certificates that are shown
	warned            expiries
}

func (r *renewals) open() error {
	r.due = time.NewTimer(renewEvery)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	r.watcher, r.events, r.errors = w, w.Events, w.Errors
	return nil
}

// soon has the files looked at after a while. More changes in the meantime do not put it off.
func (r *renewals) soon() {
	if !r.armed {
		r.armed = true
		r.due.Reset(renewAfter)
	}
}

func (r *renewals) close() {
	r.due.Stop()
	if r.watcher != nil {
		_ = r.watcher.Close() // nothing is written to it
	}
}

func (r *renewals) snapshot() stats.Renewals {
	return stats.Renewals{Succeeded: r.succeeded.Load(), Failed: r.failed.Load(), Certificates: *r.expire.Load()}
}

// renew puts certificates and keys of tickets in place that have changed. It runs on reloadAll's goroutine, so that no reload is under way.
func (a *App) renew() {
	a.renewals.armed = false
	a.renewals.due.Reset(renewEvery)
	a.watchFiles() // before they are read: what changes from here on is told
	for i, s := range a.now.Load().secured {
		if s == nil {
			continue
		}
		changed, name := false, a.o.Config.Listeners[i].Name
		for _, f := range s.files {
			changed = a.renewOne(f, name) || changed
		}
		if changed {
			s.store.Store(s.made())
		}
		if a.renewTickets(s.tickets, name) {
			s.setTickets()
		}
	}
	a.watchExpiries(time.Now())
}

// renewOne reports whether a certificate is another one now.
func (a *App) renewOne(f *fromFiles, listener string) bool {
	before := f.cert.Leaf
	changed, err := f.read()
	again, tell := f.trouble.of(err)
	a.tellOfStaple(f, listener)
	switch {
	case err == nil && changed && f.cert.Leaf == before:
		a.o.Log.Info("an OCSP response was exchanged", "listener", listener, "cert", f.of.Cert, "until", f.staple.until, "sent", f.staple.response != nil)
	case err == nil && changed:
		a.renewals.succeeded.Add(1)
		a.o.Log.Info("a certificate was exchanged", "listener", listener, "cert", f.of.Cert, "not_after", f.cert.Leaf.NotAfter)
	case again:
		a.renewals.soon()
	case tell:
		a.renewals.failed.Add(1)
		a.o.Log.Error("a certificate's new files cannot be used; the one of before stays", "listener", listener, "cert", f.of.Cert, "key", f.of.Key, "reason", err)
	}
	return changed
}

// watchFiles watches the directories that the files are in now, and no others.
func (a *App) watchFiles() {
	w := a.renewals.watcher
	if w == nil {
		return
	}
	wanted := map[string]bool{}
	for _, s := range a.now.Load().secured {
		if s == nil {
			continue
		}
		for _, f := range s.files {
			if f.own == nil {
				directories(f.of.Cert, wanted)
				directories(f.of.Key, wanted)
				if f.of.OCSP != "" {
					directories(f.of.OCSP, wanted)
				}
			}
		}
		if s.tickets.path != "" {
			directories(s.tickets.path, wanted)
		}
	}
	for _, dir := range w.WatchList() {
		if !wanted[dir] {
			_ = w.Remove(dir) // it may be gone
		}
		delete(wanted, dir)
	}
	for dir := range wanted {
		_ = w.Add(dir) // one that cannot be watched is looked at every renewEvery
	}
}

// directories adds the directories whose entries decide what a path leads to: its own, and those of the links on the way to it.
func directories(path string, to map[string]bool) {
	path, err := filepath.Abs(path)
	for range 40 { // as many links as Linux follows
		if err != nil {
			return
		}
		next := ""
		for at := path; at != filepath.Dir(at); at = filepath.Dir(at) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(at))
			if err != nil {
				continue
			}
			target, err := os.Readlink(at)
			if at == path || err == nil {
				to[dir] = true
			}
			if err == nil && at == path {
				if next = target; !filepath.IsAbs(next) {
					next = filepath.Join(filepath.Dir(at), next)
				}
			}
		}
		if next == "" {
			return
		}
		path = next
	}
}

// made is a store of the certificates as they are now.
func (s *secured) made() *cert.Store {
	var list []*tls.Certificate
	for _, f := range s.files {
		list = append(list, f.cert)
	}
	return cert.New(list, s.strict)
}
