package secure_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/secure"
	"poise/internal/testkit"
)

// TestTicketsTurn: there is a new secret each hour, and each opens tickets for a day beyond its hour.
func TestTicketsTurn(t *testing.T) {
	start := time.Now()
	var tickets secure.Tickets
	if !tickets.Turn(start) {
		t.Fatal("there is no secret at the start")
	}
	var first [][32]byte
	for minute := range 60 * 80 {
		now := start.Add(time.Duration(minute) * time.Minute)
		before := tickets.Keys(nil)
		turned := tickets.Turn(now)
		if want := minute > 0 && minute%60 == 0; turned != want {
			t.Fatalf("after %d minutes Turn = %t, want %t", minute, turned, want)
		}
		keys := tickets.Keys(nil)
		if want := min(minute/60+1, 25); len(keys) != want {
			t.Fatalf("after %d minutes there are %d keys, want %d", minute, len(keys), want)
		}
		if turned {
			first = append(first, keys[0])
			if keys[0] == before[0] || keys[1] != before[0] {
				t.Fatalf("after %d minutes the new key is not before the one of before", minute)
			}
		}
	}
	slices.SortFunc(first, func(a, b [32]byte) int { return strings.Compare(string(a[:]), string(b[:])) })
	if len(slices.Compact(first)) != 79 {
		t.Error("a key came twice")
	}
	tickets.Turn(start.Add(1000 * time.Hour))
	if n := len(tickets.Keys(nil)); n != 1 {
		t.Errorf("after a long sleep there are %d keys, want 1", n)
	}
}

// TestTicketKeys: each rule on clients has its own keys, and the same ones in each process.
func TestTicketKeys(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(make([]byte, 48))
	read := func() *secure.Tickets {
		t.Helper()
		got, err := secure.ParseTickets([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	ca := testkit.NewAuthority(t, "ca", nil)
	rule := func(required bool) *secure.Clients {
		t.Helper()
		c, err := secure.NewClients(ca.PEM(), nil, required, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	seen := map[[32]byte]int{}
	for i, c := range []*secure.Clients{nil, rule(true), rule(false)} {
		key := read().Keys(c)[0]
		if again := read().Keys(c)[0]; again != key {
			t.Errorf("rule %d: one secret makes different keys", i)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("one secret makes the same key for rules %d and %d", i, other)
		}
		seen[key] = i
	}
}

func TestParseTickets(t *testing.T) {
	line := func(n int, fill byte) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(fill)), n))) + "\n"
	}
	var many strings.Builder
	for i := range 33 {
		many.WriteString(line(48, byte('0'+i)))
	}
	for _, row := range []struct {
		text string
		keys int
		want string
	}{
		{line(48, 'a'), 1, ""},
		{strings.TrimSpace(line(32, 'a')), 1, ""},
		{"# ours\n\n" + line(80, 'a') + "\r\n  " + line(48, 'b'), 2, ""},
		{many.String()[:32*len(line(48, 'a'))], 32, ""},
		{"", 0, "no keys"},
		{"# none\n", 0, "no keys"},
		{line(48, 'a') + line(31, 'b'), 0, "line 2 has 31 bytes, and a key has 32 to 80"},
		{line(81, 'a'), 0, "line 1 has 81 bytes"},
		{"\n" + line(48, 'a')[3:], 0, "line 2 is not base64"},
		{strings.Repeat("\x01", 48), 0, "line 1 is not base64"},
		{line(48, 'a') + line(48, 'b') + line(48, 'a'), 0, "line 3 is there twice"},
		{many.String(), 0, "more than 32 keys"},
	} {
		got, err := secure.ParseTickets([]byte(row.text))
		switch {
		case row.want == "" && (err != nil || len(got.Keys(nil)) != row.keys):
			t.Errorf("%q: %v, want %d keys", row.text, err, row.keys)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%q: %v, want an error with %q", row.text, err, row.want)
		case err != nil && strings.Contains(err.Error(), strings.TrimSpace(row.text)) && row.text != "":
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if _, err := secure.ParseTickets(fmt.Append(nil, line(48, 'a'), "=")); err == nil {
		t.Error("a line of = is a key")
	}
}
