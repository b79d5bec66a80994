package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poise/internal/app"
)

// defaultAdmin is the configuration's default too.
const defaultAdmin = "127.0.0.1:9900"

const (
	statusTimeout = 5 * time.Second
	maxStatus     = 64 << 20 // bytes; some 200,000 servers
)

func (p *program) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "status",
		SuggestFor: []string{"stats", "list", "show"},
		Short:      "Show the listeners and servers of a running Poise",
		Example:    "  poise status\n  poise status --admin unix:/run/poise.sock -o json",
	}
	admin := cmd.Flags().String("admin", defaultAdmin, "the admin `ADDRESS` of the Poise to ask: host:port or unix:/path")
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		body, err := ask(cmd.Context(), *admin, "/v1/status")
		if err != nil {
			return failed(err)
		}
		var s app.Status
		if err := json.Unmarshal(body, &s); err != nil || s.Started.IsZero() {
			return failed(fmt.Errorf("what answers at %s is not Poise's admin address", *admin))
		}
		if asJSON() {
			_, err := p.out.Write(body) // with what a newer Poise may have added
			return written(err)
		}
		return written(printStatus(p.out, &s, time.Now()))
	}
	return cmd
}

// demand is a request to an admin address.
type demand struct {
	method, path string
	body         []byte
	token        string // empty: none
	patience     time.Duration
}

// ask gets a path from an admin address.
func ask(ctx context.Context, admin, path string) ([]byte, error) {
	return talk(ctx, admin, demand{method: http.MethodGet, path: path, patience: statusTimeout})
}

// talk makes a demand, and returns the body of an answer that is fine.
func talk(ctx context.Context, admin string, c demand) ([]byte, error) {
	network, address, host := "tcp", strings.TrimSuffix(strings.TrimPrefix(admin, "http://"), "/"), "localhost"
	if socket, ok := strings.CutPrefix(admin, "unix:"); ok {
		network, address = "unix", socket
	} else {
		host = address
	}
	// A transport of its own, so that no proxy from the environment comes between.
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, c.method, "http://"+host+c.path, bytes.NewReader(c.body))
	if err != nil {
		return nil, fmt.Errorf("%q is no admin address: it is host:port or unix:/path", admin)
	}
	if c.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return nil, unanswered(admin, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer from %s broke off: %w", admin, err)
	case resp.StatusCode != http.StatusOK && c.method == http.MethodPost && len(body) > 0:
		return nil, refused(body)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s: %s", admin, resp.Status, printable(strings.TrimSpace(string(body[:min(len(body), 300)]))))
	}
	return body, nil
}

// refused is why Poise does not do what it was asked for, in its own words.
func refused(body []byte) error {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(string(body))) {
		lines = append(lines, printable(strings.TrimRight(line, "\n")))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// unanswered explains why nothing could be asked.
func unanswered(admin string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("nobody answers at %s (%w): is Poise running? Its admin address may be another one (--admin or %s), or turned off",
			admin, op.Err, variable("admin"))
	}
	return fmt.Errorf("asking %s: %w", admin, err)
}

func printStatus(w io.Writer, s *app.Status, now time.Time) error {
	mode := "ready"
	switch {
	case s.Draining:
		mode = "draining"
	case !s.Ready:
		mode = "not ready"
	}
	fmt.Fprintf(w, "poise %s, up %s, %s on %s, %s\n\n", printable(s.Version), age(now.Sub(s.Started)), count(s.Loops, "loop"), printable(s.Driver), mode)
	rows := [][]string{{"LISTENER", "ADDRESS", "CONNECTIONS", "REQUESTS"}}
	for _, l := range s.Listeners {
		rows = append(rows, []string{l.Name, strings.Join(urls(&l), ", "), strconv.FormatInt(l.Connections, 10), strconv.FormatUint(l.Requests, 10)})
	}
	if err := printTable(w, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printTable(w, serverRows(s.Pools))
}

// serverRows are the table of servers; with what their agents say where there are agents.
func serverRows(pools []app.PoolStatus) [][]string {
	rows := [][]string{{"POOL", "SERVER", "STATE", "FOR", "WEIGHT", "IN FLIGHT", "REQUESTS", "FAILURES", "LAST PROBE"}}
	agents, asked := []string{"AGENT"}, false
	for _, pool := range pools {
		for _, v := range pool.Servers {
			rows = append(rows, serverRow(pool.Name, &v))
			asked = asked || v.Agent != ""
			agents = append(agents, cmp.Or(v.Agent, "-"))
		}
	}
	if asked {
		for i := range rows {
			rows[i] = append(rows[i], agents[i])
		}
	}
	return rows
}

func serverRow(pool string, v *app.ServerStatus) []string {
	weight, probe := strconv.Itoa(v.Weight), v.LastProbe
	switch {
	case v.Backup:
		weight += " backup"
	case v.Tier > 0:
		weight += " tier " + strconv.Itoa(v.Tier)
	}
	if v.Zone != "" {
		weight += " zone " + v.Zone
	}
	if probe == "" {
		probe = "-"
	}
	return []string{
		pool, v.Name, v.State, age(time.Duration(v.Since * float64(time.Second))), weight,
		strconv.Itoa(v.InFlight), strconv.FormatUint(v.Requests, 10), strconv.FormatUint(v.Failures, 10), probe,
	}
}
