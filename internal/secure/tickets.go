package secure

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

const (
	// ticketsEvery is when a new secret comes. crypto/tls has one for a day, by itself.
	ticketsEvery = time.Hour
	// ticketsLast is how long a secret opens tickets beyond that: until then a client comes back without a handshake in full, and who steals the secrets of a
	// running process can read what was sent over TLS 1.2.
	ticketsLast = 24 * time.Hour
	// A ticket that nothing opens is tried with each key, at about 0.5 µs.
	maxTicketSecrets = 32
	// Of a file. HAProxy and nginx have 48 or 80 bytes for a key.
	minTicketSecret, maxTicketSecret = 32, 80
)

// Tickets are the secrets that a listener makes the keys of its session tickets from. The zero value has none; all uses of one are from one goroutine.
type Tickets struct{ list []ticketSecret } // the first is for new tickets

type ticketSecret struct {
	bytes []byte
	made  time.Time
}

// Turn makes a new secret when it is time for one, and forgets those that are too old. It reports whether it did.
func (t *Tickets) Turn(now time.Time) bool {
	if len(t.list) > 0 && now.Sub(t.list[0].made) < ticketsEvery {
		return false
	}
	next := ticketSecret{make([]byte, 32), now}
	_, _ = rand.Read(next.bytes) // it never fails
	kept := []ticketSecret{next}
	for _, s := range t.list {
		if now.Sub(s.made) < ticketsEvery+ticketsLast {
			kept = append(kept, s)
		}
	}
	t.list = kept
	return true
}

// ParseTickets reads secrets from lines in base64; the first one is for new tickets, the others only open those of before. Empty lines and those that begin
// with # are comments.
func ParseTickets(data []byte) (*Tickets, error) {
	t := &Tickets{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		secret, err := base64.StdEncoding.AppendDecode(nil, line)
		switch n := len(secret); {
		case err != nil:
			return nil, fmt.Errorf("line %d is not base64", i+1) // and not what it is: it may be in a log
		case n < minTicketSecret || n > maxTicketSecret:
			return nil, fmt.Errorf("line %d has %d bytes, and a key has %d to %d", i+1, n, minTicketSecret, maxTicketSecret)
		case t.has(secret):
			return nil, fmt.Errorf("line %d is there twice", i+1)
		case len(t.list) == maxTicketSecrets:
			return nil, fmt.Errorf("more than %d keys", maxTicketSecrets)
		}
		t.list = append(t.list, ticketSecret{bytes: secret})
	}
	if len(t.list) == 0 {
		return nil, errors.New("no keys")
	}
	return t, nil
}

func (t *Tickets) has(secret []byte) bool {
	for _, s := range t.list {
		if bytes.Equal(s.bytes, secret) {
			return true
		}
	}
	return false
}

// Keys are what tls.Config.SetSessionTicketKeys wants. A session that began under one rule on clients does not open under another one: there it would stand
// for a proof that nobody has asked for (CVE-2025-23419).
func (t *Tickets) Keys(rule *Clients) (keys [][32]byte) {
	policy := rule.Digest()
	for _, s := range t.list {
		key, err := hkdf.Key(sha256.New, s.bytes, nil, "poise session tickets\x00"+string(policy[:]), 32)
		if err != nil {
			panic(err) // only of more bytes than there can be, or, by FIPS 140, of a secret below 14 bytes
		}
		keys = append(keys, [32]byte(key))
	}
	return keys
}
