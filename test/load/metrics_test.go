package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// adminClient asks Poise for its metrics, over one connection: it works when there are no descriptors for another one.
type adminClient struct {
	socket string
	http   http.Client
}

func newAdminClient(t testing.TB, socket string) *adminClient {
	tr := &http.Transport{
		MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &adminClient{socket: socket, http: http.Client{Transport: tr, Timeout: testkit.Patience}}
}

// metrics is a scrape.
type metrics string

func (a *adminClient) metrics(t testing.TB) metrics {
	t.Helper()
	resp, err := a.http.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics = %d %s, %v", resp.StatusCode, b, err)
	}
	return metrics(b)
}

// sum adds up a metric over all labels, or over those that begin as given; -1 if there is none.
func (m metrics) sum(name string) int {
	sum, found := 0.0, false
	for line := range strings.Lines(string(m)) {
		after, ok := strings.CutPrefix(line, name)
		if !ok || (after[0] != '{' && after[0] != ' ' && !strings.Contains(name, "{")) {
			continue
		}
		value := strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sum, found = sum+v, true
		}
	}
	if !found {
		return -1
	}
	return int(sum)
}
