package rules

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/accesslog"
	"poise/internal/clock"
	"poise/internal/config"
	"poise/internal/stats"
)

// TestTimeoutsAreDocumented compares the table of docs/failures.md with the configuration's own keys and defaults.
func TestTimeoutsAreDocumented(t *testing.T) {
	want := map[string]string{}
	var collect func(reflect.Type)
	collect = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			if key := f.Tag.Get("yaml"); key == ",inline" {
				collect(f.Type)
			} else {
				want[key] = f.Tag.Get("default")
			}
		}
	}
	collect(reflect.TypeFor[config.Timeouts]())
	_, section, _ := strings.Cut(read(t, "docs/failures.md"), "\n## Timeouts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		got[m[1]] = m[2]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeouts of the configuration and of docs/failures.md (-configuration +page):\n%s", diff)
	}
}

// TestMetricsAreDocumented compares the tables of docs/metrics.md with what a scrape shows: name, type and labels.
func TestMetricsAreDocumented(t *testing.T) {
	got := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(poise_\\w+)` \\| (\\w+) \\| ([^|]*) ?\\|").FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		var labels []string
		for _, l := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		got[m[1]] = m[2] + " " + strings.Join(labels, " ")
	}
	if diff := cmp.Diff(scraped(t), got); diff != "" {
		t.Errorf("metrics of a scrape and of docs/metrics.md (-scrape +page):\n%s", diff)
	}
}

// scraped are Poise's own metrics as a scrape of one listener, route, pool and server shows them: type, then labels.
func scraped(t *testing.T) map[string]string {
	t.Helper()
	h := stats.Handler(stats.Source{
		Snapshots: func() []stats.Snapshot {
			var l stats.Loop
			l.ClientOpened(0)
			l.Start(0)
			l.Exchange(&stats.Outcome{Status: 200, Duration: time.Second})
			l.Attempt(&stats.Attempt{Status: 200})
			return []stats.Snapshot{l.Snapshot()}
		},
		Names: func() stats.Names {
			return stats.Names{
				Listeners: []stats.Name{{Name: "l"}}, Routes: []stats.RouteName{{Listener: "l", Route: "r"}},
				Pools:   []stats.PoolNow{{Name: "p", Levels: []stats.Level{{}}}},
				Servers: []stats.ServerNow{{Pool: "p", Server: "s", State: "up", Ejections: []stats.Count{{Name: "failures"}}, Agent: &stats.AgentNow{}}},
			}
		},
		Reloads: func() stats.Reloads {
			return stats.Reloads{OK: true, Last: time.Unix(1000, 0), Succeeded: 3, Failed: 1}
		},
		Renewals:   func() stats.Renewals { return stats.Renewals{Certificates: []stats.Expiry{{}}} },
		LogDropped: func() uint64 { return 0 }, LogWriteErrors: func() uint64 { return 0 },
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	metrics := map[string]string{}
	types := map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" {
			types[words[2]] = words[3]
			continue
		}
		m := regexp.MustCompile(`^(poise_\w+)(?:\{(.*)\})? `).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[1]
		if types[name] == "" { // a histogram's part
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		}
		labels := map[string]bool{}
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels[l[1]] = true
			}
		}
		metrics[name] = types[name] + " " + strings.Join(slices.Sorted(maps.Keys(labels)), " ")
	}
	return metrics
}

// TestAccessLogKeysAreDocumented compares the table of docs/access-log.md with a record, in order, and so the example there.
func TestAccessLogKeysAreDocumented(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	l, err := accesslog.Open(accesslog.Settings{Path: file, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	shard := l.Shard(0)
	shard.Append(&accesslog.Record{Time: clock.Now()})
	shard.Flush()
	if err := l.Close(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := keysOf(t, string(b))
	page := read(t, "docs/access-log.md")
	_, table, _ := strings.Cut(page, "\n## Keys\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var got []string
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		got = append(got, m[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of a record and of docs/access-log.md (-record +page):\n%s", diff)
	}
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	if diff := cmp.Diff(want, keysOf(t, example)); diff != "" {
		t.Errorf("keys of a record and of the example (-record +example):\n%s", diff)
	}
}

// keysOf are the keys of a JSON object without nested ones, in order.
func keysOf(t *testing.T, object string) []string {
	t.Helper()
	if !json.Valid([]byte(object)) {
		t.Fatalf("not JSON: %s", object)
	}
	var keys []string
	for _, m := range regexp.MustCompile(`[{,]"(\w+)":`).FindAllStringSubmatch(object, -1) {
		keys = append(keys, m[1])
	}
	return keys
}
