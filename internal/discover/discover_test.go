package discover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeDNS answers by script: one entry for each look-up of a host; the last one stays.
type fakeDNS struct {
	script map[string][]answer

	mu    sync.Mutex // guards the above, and times
	times []time.Time
}

type answer struct {
	addresses string // separated by spaces
	err       error
	hang      bool
}

func (f *fakeDNS) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	f.times = append(f.times, time.Now())
	a := f.script[host][0]
	if len(f.script[host]) > 1 {
		f.script[host] = f.script[host][1:]
	}
	f.mu.Unlock()
	if a.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var list []netip.Addr
	for _, text := range strings.Fields(a.addresses) {
		list = append(list, netip.MustParseAddr(text))
	}
	return list, a.err
}

// lookups is how many there were; call it when nothing moves.
func (f *fakeDNS) lookups() int {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.times)
}

// next waits for the next look-up and its end, less than a pause.
func (f *fakeDNS) next() {
	for n := f.lookups(); f.lookups() == n; {
		time.Sleep(time.Second)
	}
	time.Sleep(timeout)
}

// journal keeps what was reported.
type journal struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) settings(f *fakeDNS, names ...string) Settings {
	return Settings{
		Names: names, Lookup: f.lookup,
		Changed: func(name string, addresses []netip.AddrPort) {
			j.add(fmt.Sprint(name, " = ", addresses))
		},
		Failed: func(name string, err error) { j.add(fmt.Sprint(name, ": ", err)) },
	}
}

// expect compares what was reported since the last time.
func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if got := strings.Join(j.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("reported:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	j.lines = nil
}

func mustStart(t *testing.T, s Settings) *Names {
	t.Helper()
	n, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRX14KeepsTheLastAnswer(t *testing.T) {
	notFound := errors.New("no such host")
	synctest.Test(t, func(t *testing.T) {
		var j journal
		f := &fakeDNS{script: map[string][]answer{"app": {
			{addresses: "10.0.0.2 10.0.0.1"},
			{addresses: "10.0.0.1 10.0.0.2"}, // the same
			{err: errors.New("server misbehaving")},
			{err: notFound},
			{}, // empty
			{hang: true},
			{addresses: "10.0.0.1 10.0.0.2"},
			{err: notFound},
			{addresses: "10.0.0.3"},
		}}}
		n := mustStart(t, j.settings(f, "app:80"))
		j.expect(t, "app:80 = [10.0.0.1:80 10.0.0.2:80]")
		f.next()
		j.expect(t)
		f.next()
		j.expect(t, "app:80: look up app: server misbehaving")
		for range 3 {
			f.next()
			j.expect(t) // one line for a series of failures
		}
		f.next()
		j.expect(t)
		f.next()
		j.expect(t, "app:80: look up app: no such host") // a new series
		f.next()
		j.expect(t, "app:80 = [10.0.0.3:80]")
		n.Close()
	})
}

func TestRX14EmptyAnswerIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		n := mustStart(t, j.settings(&fakeDNS{script: map[string][]answer{"app": {{addresses: "0.0.0.0 224.0.0.1"}}}}, "app:80"))
		j.expect(t, "app:80: look up app: the answer has no address of a server")
		n.Close()
	})
}

func TestRX14TenThousandAnswers(t *testing.T) {
	var many strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&many, "10.%d.%d.%d ", i>>16, (9999-i)>>8, (9999-i)&255)
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDNS{script: map[string][]answer{"app": {{addresses: many.String()}}}}
		var got []netip.AddrPort
		n := mustStart(t, Settings{Names: []string{"app:80"}, Lookup: f.lookup, Changed: func(_ string, a []netip.AddrPort) { got = a }})
		if len(got) != MaxAddresses || got[0].String() != "10.0.0.0:80" || got[255].String() != "10.0.0.255:80" {
			t.Errorf("addresses = %d from %v to %v, want the first 256 in order", len(got), got[0], got[len(got)-1])
		}
		n.Close()
	})
}

func TestSortedWithoutDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		n := mustStart(t, j.settings(&fakeDNS{script: map[string][]answer{"app": {
			{addresses: "2001:db8::2 10.0.0.9 ::ffff:10.0.0.9 10.0.0.10 10.0.0.9"},
		}}}, "app:80"))
		j.expect(t, "app:80 = [10.0.0.9:80 10.0.0.10:80 [2001:db8::2]:80]")
		n.Close()
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		f := &fakeDNS{script: map[string][]answer{"app": {{addresses: "10.0.0.1"}}}}
		n := mustStart(t, j.settings(f, "app:80", "app:80"))
		time.Sleep(5 * time.Minute)
		n.Close()
		for i := range f.times[1:] {
			if got := f.times[i+1].Sub(f.times[i]); got < 27*time.Second || got > 33*time.Second {
				t.Errorf("pause %d = %v, want 30s ± 10 %%", i, got)
			}
		}
		if len(f.times) < 9 {
			t.Errorf("look-ups in 5 minutes = %d, want at least 9", len(f.times))
		}
	})
}

// TestFirstAnswerIsSoughtSooner: a name that never had an answer is asked again after 1, 2, 4 s and so on.
func TestFirstAnswerIsSoughtSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		f := &fakeDNS{script: map[string][]answer{"app": {{err: errors.New("refused")}}}}
		n := mustStart(t, j.settings(f, "app:80"))
		time.Sleep(10 * time.Minute)
		n.Close()
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			want *= time.Second
			if got := f.times[i+1].Sub(f.times[i]); got < want*9/10 || got > want*11/10 {
				t.Errorf("pause %d = %v, want %v ± 10 %%", i, got, want)
			}
		}
	})
}

func TestRX14StartGoesOnWithoutAResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		f := &fakeDNS{script: map[string][]answer{"good": {{addresses: "10.0.0.1"}}, "bad": {{hang: true}, {addresses: "10.0.0.2"}}}}
		began := time.Now()
		n := mustStart(t, j.settings(f, "good:80", "bad:80"))
		if got := time.Since(began); got != timeout {
			t.Errorf("Start took %v, want %v", got, timeout)
		}
		j.expect(t, "good:80 = [10.0.0.1:80]", "bad:80: look up bad: context deadline exceeded")
		time.Sleep(1100 * time.Millisecond)
		j.expect(t, "bad:80 = [10.0.0.2:80]")
		n.Close()
	})
}

// TestRX14StartIsBoundedForManyNames: 100 names without an answer, of which 16 are asked at once, do not add up.
func TestRX14StartIsBoundedForManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("n%d:80", i))
		}
		hang := func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }
		began := time.Now()
		n := mustStart(t, Settings{Names: names, Lookup: hang})
		if got := time.Since(began); got != timeout {
			t.Errorf("Start took %v, want %v", got, timeout)
		}
		n.Close()
	})
}

func TestStartWithAnswersIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		f := &fakeDNS{script: map[string][]answer{"app": {{addresses: "10.0.0.1"}}}}
		began := time.Now()
		n := mustStart(t, j.settings(f, "app:80"))
		if got := time.Since(began); got != 0 {
			t.Errorf("Start took %v, want 0s", got)
		}
		n.Close()
		time.Sleep(5 * time.Minute)
		if len(f.times) != 1 {
			t.Errorf("look-ups = %d, want none after Close", len(f.times)-1)
		}
	})
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"app", ":80", "app:http", "app:65536", "app:-1"} {
		if _, err := Start(Settings{Names: []string{name}}); err == nil {
			t.Errorf("Start(%q) = nil error, want one", name)
		}
	}
}
