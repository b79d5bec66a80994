package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestZones has requests stay in Poise's zone while it suffices, spill while half of it is down, and go elsewhere when it is gone or full.
func TestZones(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		first, second, other := named(t, "home"), named(t, "home"), named(t, "elsewhere")
		p := testkit.Start(t, s, fmt.Sprintf(
			"zone: a\nlisten: 127.0.0.1:0\nservers: [{ address: %q, zone: b }, { address: %q, zone: a }, { address: %q, zone: a }]\neject: { enabled: false }\n%s\n",
			other.Addr, first.Addr, second.Addr, fastProbes))
		waitForLevels(t, p, "0 local: 100, 0 other: 0", "")
		if got, want := spread(t, p, 10), "map[home:10]"; got != want {
			t.Errorf("answers while all are up: %s, want %s", got, want)
		}
		kill(first)
		waitForLevels(t, p, "0 local: 70, 0 other: 30", `msg="pool spills" pool=default to="tier 0 local: 70 %, tier 0 other: 30 %"`)
		if got := spread(t, p, 200); !strings.Contains(got, "home") || !strings.Contains(got, "elsewhere") {
			t.Errorf("answers while half of the zone is up: %s, want some of both", got)
		}
		kill(second)
		waitForLevels(t, p, "0 local: 0, 0 other: 100", `to="tier 0 other: 100 %"`)
		if got, want := spread(t, p, 10), "map[elsewhere:10]"; got != want {
			t.Errorf("answers while the zone is down: %s, want %s", got, want)
		}
	})
}

// TestFullZone has what the zone has no room for go elsewhere instead of waiting.
func TestFullZone(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		other, home := named(t, "elsewhere"), newHeld(t)
		p := testkit.Start(t, s, fmt.Sprintf(
			"zone: a\nlisten: 127.0.0.1:0\nservers: [{ address: %q, zone: b }, { address: %q, zone: a, max_requests: 1 }]\nqueue: { timeout: 5s }\n",
			other.Addr, home.Addr))
		testkit.Dial(t, p.Addr).Send(getOf("/held"))
		home.want(t, "/held")
		if got, want := spread(t, p, 3), "map[elsewhere:3]"; got != want {
			t.Errorf("answers while the zone is full: %s, want %s", got, want)
		}
	})
}
