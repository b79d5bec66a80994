package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// spread asks n times and counts who has answered.
func spread(t *testing.T, p *testkit.Poise, n int) string {
	t.Helper()
	got := map[string]int{}
	for range n {
		r := testkit.Dial(t, p.Addr).Get("/")
		if r.StatusCode != 200 {
			t.Errorf("GET = %d %q", r.StatusCode, r.Body)
		}
		got[r.Body]++
	}
	return fmt.Sprint(got)
}

// levels is what share of the requests each level has by the status, such as "0: 70, 1: 30", or "0 local: 100".
func levels(p *testkit.Poise) string {
	var parts []string
	for _, l := range p.App.Status().Pools[0].Levels {
		parts = append(parts, fmt.Sprintf("%s: %d", strings.TrimSpace(l.Tier+" "+l.Zone), l.Share))
	}
	return strings.Join(parts, ", ")
}

// waitForLevels waits until the status says want, and the log told.
func waitForLevels(t *testing.T, p *testkit.Poise, want, told string) {
	t.Helper()
	testkit.Eventually(t, "levels "+want, func() bool { return levels(p) == want })
	testkit.Eventually(t, "log of "+told, func() bool { return strings.Contains(p.Log.String(), told) })
}

// kill ends a server, also for connections that Poise has kept.
func kill(s *testkit.Server) {
	s.Stop()
	s.CloseConns()
}

func TestTiers(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		first, second, spare, backup := named(t, "tier 0"), named(t, "tier 0"), named(t, "tier 1"), named(t, "backup")
		p := testkit.Start(t, s, fmt.Sprintf(
			"listen: 127.0.0.1:0\nservers: [%s, %s, { address: %q, tier: 1 }, { address: %q, backup: true }]\neject: { enabled: false }\n%s\n",
			first.Addr, second.Addr, spare.Addr, backup.Addr, fastProbes))
		waitForLevels(t, p, "0: 100, 1: 0, backup: 0", "")
		if got, want := spread(t, p, 10), "map[tier 0:10]"; got != want {
			t.Errorf("answers while all are up: %s, want %s", got, want)
		}
		kill(first)
		waitForLevels(t, p, "0: 70, 1: 30, backup: 0", `msg="pool spills" pool=default to="tier 0: 70 %, tier 1: 30 %"`)
		if s.Loops == 1 { // else each loop has a cycle of its own
			if got, want := spread(t, p, 100), "map[tier 0:70 tier 1:30]"; got != want {
				t.Errorf("answers while half of tier 0 is up: %s, want %s", got, want)
			}
		} else if got := spread(t, p, 200); !strings.Contains(got, "tier 1") || strings.Contains(got, "backup") {
			t.Errorf("answers while half of tier 0 is up: %s, want some of tier 1 and none of the backup", got)
		}
		kill(second)
		waitForLevels(t, p, "0: 0, 1: 100, backup: 0", `to="tier 1: 100 %"`)
		if got, want := spread(t, p, 10), "map[tier 1:10]"; got != want {
			t.Errorf("answers while none of tier 0 is up: %s, want %s", got, want)
		}
		kill(spare)
		waitForLevels(t, p, "0: 0, 1: 0, backup: 100", `to="backup: 100 %"`)
		if got, want := spread(t, p, 10), "map[backup:10]"; got != want {
			t.Errorf("answers while no tier is up: %s, want %s", got, want)
		}
	})
}
