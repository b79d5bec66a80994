package stats

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// busy is a source of two loops that did everything, and one server that did nothing.
func busy() Source {
	return Source{
		Snapshots: func() []Snapshot {
			var a, b Loop
			everything(&a)
			everything(&b)
			b.s.LongTurns++
			return []Snapshot{a.Snapshot(), b.Snapshot()}
		},
		Names: func() Names {
			return Names{
				Listeners: []Name{{1, "web"}},
				Routes:    []RouteName{{3, "web", "api"}},
				Pools:     []PoolNow{{ID: 2, Name: "app", Waiting: 3, Limit: 20, Opened: true, Levels: []Level{{"0", "local", 0.6}, {"0", "other", 0.1}, {"backup", "", 0.3}}}},
				Servers: []ServerNow{
					{ID: 40, Pool: "app", Server: "a:1", State: "up", Weight: 0.5, InFlight: 3, ProbesPassed: 9, ProbesFailed: 1, Ejections: []Count{{"failures", 2}, {"latency", 0}}},
					{ID: 41, Pool: "app", Server: "b:1", State: "down", InFlight: 2, Agent: &AgentNow{Answered: 4, Failed: 2, Share: 0.5}},
				},
			}
		},
		Reloads:    func() Reloads { return Reloads{OK: true, Last: time.Unix(1000, 0), Succeeded: 3, Failed: 1} },
		LogDropped: func() uint64 { return 17 }, LogWriteErrors: func() uint64 { return 5 },
		Version: "1.2.3", Revision: "abc",
	}
}

func scrape(t *testing.T, s Source) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(s).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("GET /metrics = %d, %v: %s", w.Code, err, body)
	}
	return string(body)
}

func TestHandlerShowsSums(t *testing.T) {
	text := "\n" + scrape(t, busy())
	for _, want := range []string{
		`poise_listener_requests_total{code="5xx",listener="web"} 12`,
		`poise_listener_requests_total{code="other",listener="web"} 2`,
		`poise_listener_rejected_requests_total{listener="web",status="404"} 2`,
		`poise_listener_rejected_requests_total{listener="web",status="other"} 8`,
		`poise_listener_received_bytes_total{listener="web"} 44`,
		`poise_server_agent_answers_total{pool="app",result="answered",server="b:1"} 4`,
		`poise_server_agent_answers_total{pool="app",result="failed",server="b:1"} 2`,
		`poise_server_agent_weight_ratio{pool="app",server="b:1"} 0.5`,
		`poise_pool_level_share{pool="app",tier="0",zone="local"} 0.6`,
		`poise_pool_level_share{pool="app",tier="0",zone="other"} 0.1`,
		`poise_pool_level_share{pool="app",tier="backup",zone=""} 0.3`,
		`poise_listener_sent_bytes_total{listener="web"} 88`,
		`poise_listener_connections{listener="web"} 2`,
		`poise_listener_connections_opened_total{listener="web"} 4`,
		`poise_listener_connections_refused_total{listener="web"} 2`,
		`poise_listener_client_aborts_total{listener="web"} 44`,
		`poise_route_in_flight_requests{listener="web",route="api"} 2`,
		`poise_route_duration_seconds_bucket{listener="web",route="api",le="2.5"} 0`,
		`poise_route_duration_seconds_bucket{listener="web",route="api",le="5"} 44`,
		`poise_route_duration_seconds_bucket{listener="web",route="api",le="+Inf"} 44`,
		`poise_route_duration_seconds_sum{listener="web",route="api"} 132`,
		`poise_route_duration_seconds_count{listener="web",route="api"} 44`,
		`poise_route_aborted_after_head_total{listener="web",route="api"} 44`,
		`poise_route_compressed_responses_total{encoding="br",listener="web",route="api"} 2`,
		`poise_route_compressed_in_bytes_total{encoding="br",listener="web",route="api"} 200`,
		`poise_route_compressed_out_bytes_total{encoding="br",listener="web",route="api"} 20`,
		`poise_route_compressions_skipped_total{listener="web",route="api"} 2`,
		`poise_route_refused_requests_total{by="rate_limit",listener="web",route="api"} 6`,
		`poise_route_refused_requests_total{by="rewrite",listener="web",route="api"} 4`,
		`poise_route_mirrored_requests_total{listener="web",result="answered",route="api"} 2`,
		`poise_route_mirrored_requests_total{listener="web",result="too_many",route="api"} 2`,
		`poise_pool_requests_total{code="4xx",pool="app"} 26`,
		`poise_pool_retries_total{pool="app"} 44`,
		`poise_pool_retries_refused_total{pool="app"} 44`,
		`poise_pool_unavailable_total{pool="app"} 2`,
		`poise_pool_in_flight_requests{pool="app"} 5`,
		`poise_pool_queue_length{pool="app"} 3`,
		`poise_pool_request_limit{pool="app"} 20`,
		`poise_pool_fail_open{pool="app"} 1`,
		`poise_pool_queued_total{pool="app"} 4`,
		`poise_pool_queue_timeouts_total{pool="app"} 2`,
		`poise_pool_queue_overflows_total{pool="app"} 2`,
		`poise_pool_servers{pool="app",state="up"} 1`,
		`poise_pool_servers{pool="app",state="checking"} 0`,
		`poise_server_up{pool="app",server="a:1"} 1`,
		`poise_server_up{pool="app",server="b:1"} 0`,
		`poise_server_weight{pool="app",server="a:1"} 0.5`,
		`poise_server_weight{pool="app",server="b:1"} 0`,
		`poise_server_in_flight_requests{pool="app",server="a:1"} 3`,
		`poise_server_failures_total{kind="timeout",pool="app",server="a:1"} 2`,
		`poise_server_connection_reuses_total{pool="app",server="a:1"} 2`,
		`poise_server_requests_total{code="2xx",pool="app",server="b:1"} 0`,
		`poise_server_duration_seconds_count{pool="app",server="a:1"} 44`,
		`poise_server_failures_total{kind="certificate",pool="app",server="a:1"} 2`,
		`poise_server_failures_total{kind="handshake",pool="app",server="a:1"} 2`,
		`poise_server_probes_total{pool="app",result="failed",server="a:1"} 1`,
		`poise_server_ejections_total{cause="failures",pool="app",server="a:1"} 2`,
		`poise_loop_long_turns_total{loop="0"} 1`,
		`poise_loop_long_turns_total{loop="1"} 2`,
		`poise_loop_panics_total{loop="0"} 1`,
		`poise_access_log_dropped_total 17`,
		`poise_access_log_write_errors_total 5`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			name, _, _ := strings.Cut(want, "{")
			t.Errorf("no line %s among:\n%s", want, linesOf(text, name))
		}
	}
	for _, want := range []string{`poise_build_info{goversion="go`, "\ngo_goroutines ", "\nprocess_open_fds "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

func linesOf(text, name string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, name) {
			b.WriteString(l)
		}
	}
	return b.String()
}

func TestHandlerIsLintFree(t *testing.T) {
	var own bytes.Buffer
	for l := range strings.Lines(scrape(t, busy())) {
		if strings.Contains(l, "poise_") {
			own.WriteString(l)
		}
	}
	problems, err := promlint.New(&own).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHandlerOfNothing(t *testing.T) {
	text := scrape(t, Source{Snapshots: func() []Snapshot { return nil }, Names: func() Names { return Names{} }})
	if !strings.Contains(text, "poise_build_info") || strings.Contains(text, "poise_access_log") {
		t.Error("a source without anything shows no build, or a log that is not there")
	}
}

// TestHandlerBadName: one name that no label can hold costs its own figures, not the others'.
func TestHandlerBadName(t *testing.T) {
	s := busy()
	s.Names = func() Names {
		return Names{Listeners: []Name{{1, "\xff"}, {2, "good"}}}
	}
	if text := scrape(t, s); !strings.Contains(text, `poise_listener_connections{listener="good"} 0`) {
		t.Errorf("no figures of the good listener:\n%s", linesOf(text, "poise_listener"))
	}
}
