package app

import (
	"crypto/sha256"
	"fmt"
	"time"

	"poise/internal/config"
	"poise/internal/secure"
)

// maxTickets is above what the largest file of keys has, with a comment for each.
const maxTickets = 64 << 10

// tickets are what a listener makes the keys of its session tickets from: a file that other processes have too, or secrets of its own, which go on after a
// reload. Only reloadAll's goroutine changes them, once it runs.
type tickets struct {
	path    string            // empty: its own
	sum     [sha256.Size]byte // of the file
	secrets *secure.Tickets
	trouble trouble
}

// ticketsOf are those of a listener that has before now, or nil.
func ticketsOf(l *config.ListenerTLS, before *secured) (*tickets, error) {
	if l.SessionTicketKeys == "" && before != nil && before.tickets.path == "" {
		return before.tickets, nil
	}
	t := &tickets{path: l.SessionTicketKeys, secrets: &secure.Tickets{}}
	if _, err := t.renew(time.Now()); err != nil {
		return nil, fmt.Errorf("session_ticket_keys: %w", err)
	}
	return t, nil
}

// renew reports whether the secrets are others from now on.
func (t *tickets) renew(now time.Time) (changed bool, err error) {
	if t.path == "" {
		return t.secrets.Turn(now), nil
	}
	data, err := readUpTo(t.path, maxTickets)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(data)
	if sum == t.sum {
		return false, nil
	}
	next, err := secure.ParseTickets(data)
	if err != nil {
		return false, fmt.Errorf("%s: %w", t.path, err)
	}
	t.secrets, t.sum = next, sum
	return true, nil
}

// renewTickets reports whether a listener has other keys of tickets now.
func (a *App) renewTickets(t *tickets, listener string) bool {
	changed, err := t.renew(time.Now())
	switch again, tell := t.trouble.of(err); {
	case again:
		a.renewals.soon()
	case tell:
		a.o.Log.Error("the new keys of session tickets cannot be used; those of before stay", "listener", listener, "file", t.path, "reason", err)
	case changed && t.path != "":
		a.o.Log.Info("the keys of session tickets were exchanged", "listener", listener, "file", t.path)
	}
	return changed
}

// checkTickets finds files of keys that cannot be used.
func checkTickets(c *config.Config) (problems config.Problems) {
	for _, l := range c.Listeners {
		if l.TLS == nil {
			continue
		}
		if _, err := ticketsOf(l.TLS, nil); err != nil {
			problems = append(problems, c.Problem(&l.TLS.SessionTicketKeys, config.Error, err.Error(), ""))
		}
	}
	return problems
}
