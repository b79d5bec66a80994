package health

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestAgentHears(t *testing.T) {
	down := Agent{Down: true, Why: "disk"}
	for _, tt := range []struct {
		name    string
		before  Agent
		answer  string
		want    Agent
		unknown string // joined by |
	}{
		{"nothing changes nothing", down, "", Agent{Down: true}, ""},
		{"a share", Agent{}, "75%", Agent{Weighs: true, Share: 75}, ""},
		{"a share of nothing", Agent{}, "0%", Agent{Weighs: true}, ""},
		{"more than the whole", Agent{}, "300%", Agent{Weighs: true, Share: 300}, ""},
		{"weight:N", Agent{}, "weight:40", Agent{Weighs: true, Share: 40}, ""},
		{"weight:N%", Agent{}, "weight:40%", Agent{Weighs: true, Share: 40}, ""},
		{"a limit", Agent{}, "maxconn:30", Agent{MaxRequests: 30}, ""},
		{"no limit any more", Agent{MaxRequests: 30}, "maxconn:0", Agent{}, ""},
		{"all separators and capitals", Agent{}, " 50%,MaxConn:3\tDrain , UP", Agent{Weighs: true, Share: 50, MaxRequests: 3, Order: AgentDrain}, ""},
		{"maint", Agent{Order: AgentDrain}, "maint", Agent{Order: AgentMaint}, ""},
		{"ready ends drain and maint, not down", Agent{Order: AgentMaint, Down: true}, "ready", Agent{Down: true}, ""},
		{"up ends down, not drain", Agent{Order: AgentDrain, Down: true, Why: "x"}, "up", Agent{Order: AgentDrain}, ""},
		{"down", Agent{}, "down", Agent{Down: true}, ""},
		{"fail", Agent{}, "fail", Agent{Down: true}, ""},
		{"failed", Agent{}, "Failed", Agent{Down: true}, ""},
		{"stopped", Agent{}, "stopped", Agent{Down: true}, ""},
		{"why", Agent{}, "down # disk, up 50% full ", Agent{Down: true, Why: "disk, up 50% full"}, ""},
		{"why without a space", Agent{}, "down#disk", Agent{Down: true, Why: "disk"}, ""},
		{"why belongs to down alone", Agent{}, "up #all is well", Agent{}, ""},
		{"a new answer has a new reason", down, "20% #slow", Agent{Down: true, Why: "slow", Weighs: true, Share: 20}, ""},
		{"the later word counts", Agent{}, "down maint 10% up ready 20%", Agent{Weighs: true, Share: 20}, ""},
		{"unknown words are passed over", Agent{}, "cpu:5 50% hello", Agent{Weighs: true, Share: 50}, "cpu:5|hello"},
		{"what is no number", Agent{}, "% weight: weight:% maxconn: -1% +1% 1.5% maxconn:1e3 0x1%", Agent{}, "%|weight:|weight:%|maxconn:|-1%|+1%|1.5%|maxconn:1e3|0x1%"},
		{"a number alone", Agent{}, "50", Agent{}, "50"},
		{"a number without end", Agent{}, "99999999% maxconn:99999999", Agent{}, "99999999%|maxconn:99999999"},
		{"a broken number leaves the one before", Agent{MaxRequests: 4, Weighs: true, Share: 9}, "x% maxconn:y", Agent{MaxRequests: 4, Weighs: true, Share: 9}, "x%|maxconn:y"},
		{"bytes that are no text", Agent{}, "up\x00 \x1b[2J down #\x1b]0;\xffx", Agent{Down: true, Why: "?]0;?x"}, "up?|?[2J"},
		{"other digits are none", Agent{}, "５０%", Agent{}, "５０%"},
		{"a long reason", Agent{}, "down #" + strings.Repeat("ö", 300), Agent{Down: true, Why: strings.Repeat("ö", 100) + "..."}, ""},
		{"a long reason, cut within a character", Agent{}, "down #x" + strings.Repeat("ö", 300), Agent{Down: true, Why: "x" + strings.Repeat("ö", 99) + "..."}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, unknown := tt.before.Hear(tt.answer)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("after %q (-want +got):\n%s", tt.answer, diff)
			}
			if got := strings.Join(unknown, "|"); got != tt.unknown {
				t.Errorf("unknown = %q, want %q", got, tt.unknown)
			}
		})
	}
}

func TestAgentInWords(t *testing.T) {
	for want, a := range map[string]Agent{
		"":                                   {},
		"drain":                              {Order: AgentDrain},
		"0%":                                 {Weighs: true},
		"down":                               {Down: true},
		"maint 50% maxconn:3 down #the disk": {Order: AgentMaint, Weighs: true, Share: 50, MaxRequests: 3, Down: true, Why: "the disk"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%+v in words = %q, want %q", a, got, want)
		}
	}
}

func FuzzAgentHears(f *testing.F) {
	for _, s := range []string{"50% up", "weight:7%,maxconn:3\tdrain", "down #why", "maint ready hello \x00", "##", "down #" + strings.Repeat("\xf0\x9f\x98\x80", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		a, unknown := Agent{Weighs: true, Share: 50, Down: true}.Hear(answer)
		if a.Share < 0 || a.MaxRequests < 0 || a.Order > AgentMaint || (!a.Down && a.Why != "") {
			t.Fatalf("after %q: %+v", answer, a)
		}
		for _, text := range append(unknown, a.Why) {
			if len(text) > maxSaid+3 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\r\x1b") {
				t.Fatalf("%q leaves %q, want it short and printable", answer, text)
			}
		}
		again, _ := Agent{}.Hear(a.String())
		if a.Why = ""; again.Why == "" && again != a { // a reason may begin or end with what is cut off
			t.Fatalf("%+v in its own words makes %+v", a, again)
		}
	})
}
