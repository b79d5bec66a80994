package cli

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poise/internal/demo"
)

const (
	demoListen  = "127.0.0.1:8080"
	demoSummary = 5 * time.Second
	demoDrain   = 2 * time.Second
)

func (p *program) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a balancer with three servers of its own, and some load",
		Long: `Starts three servers (one is slow, one fails at times), a balancer before them, and a little load. Every five seconds a
line tells what each server got. Nothing outside of this machine is touched; the one file that is written is the token for orders,
which goes at the end.`,
		Example: "  poise demo\n  poise demo --for 1m",
	}
	listen := cmd.Flags().String("listen", demoListen, "the balancer's `ADDRESS`; if the default one is taken, a free port")
	admin := cmd.Flags().String("admin", defaultAdmin, "the `ADDRESS` for status and metrics; if the default one is taken, a free port")
	limit := cmd.Flags().Duration("for", 0, "stop after this `DURATION`; 0: run until a signal comes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := quick{listen: *listen, admin: *admin, policy: policies(), healthPath: demo.HealthPath}
		for _, flag := range []struct {
			name  string
			value *string
		}{{"listen", &q.listen}, {"admin", &q.admin}} {
			if cmd.Flags().Changed(flag.name) {
				continue
			}
			if err := p.freePort(flag.value); err != nil {
				return failed(err)
			}
		}
		return p.demo(q, *limit)
	}
	return cmd
}

// freePort changes an address that is taken to one that is not.
func (p *program) freePort(address *string) error {
	l, err := net.Listen("tcp", *address)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		fmt.Fprintf(p.err, "poise: %s is taken, so this demo uses %s\n", *address, l.Addr())
		*address = l.Addr().String()
	}
	return l.Close()
}

// demo runs it all, and ends in the reverse order.
func (p *program) demo(q quick, limit time.Duration) (err error) {
	servers, err := demo.Start()
	if err != nil {
		return failed(err)
	}
	defer func() {
		if e := servers.Close(); e != nil && err == nil {
			err = failed(e)
		}
	}()
	q.to = servers.Addresses()
	made := q.config()
	made.Timeouts.Drain = demoDrain
	made.Single.Health.Interval, made.Single.Health.Timeout = time.Second, 500*time.Millisecond
	made.Single.Health.Fall = 2
	cfg, _, err := p.build(made)
	if err != nil {
		return err
	}
	s, err := p.start(cfg, nil)
	if err != nil {
		return err
	}
	s.showStart()
	url := "http://" + s.app.Status().Listeners[0].Addresses[0] + "/"
	s.invite(servers, url)
	v := &view{service: s, servers: servers, clients: demo.Load(url), seen: map[string]uint64{}}
	s.every, s.beat = demoSummary, v.summary
	if limit > 0 {
		s.until = time.After(limit)
	}
	s.wait()
	v.summary()
	v.clients.Close()
	return s.stop()
}

// invite tells what to try.
func (s *service) invite(servers demo.Servers, url string) {
	for _, v := range servers {
		s.line("server", fmt.Sprintf("%s at %s: %s", v.Name, v.Address, v.Does))
	}
	s.line("try", "curl -i "+url+"   (again and again: another server answers)")
	s.line("", "stop with Ctrl-C")
}

// view is what the summary lines are made from.
type view struct {
	*service
	servers demo.Servers
	clients *demo.Clients
	seen    map[string]uint64 // by address: requests up to the last line
}

// summary prints what happened since the last one.
func (v *view) summary() {
	name := map[string]string{}
	for _, s := range v.servers {
		name[s.Address] = s.Name
	}
	parts := []string{time.Now().Format(time.TimeOnly)}
	for _, s := range v.app.Status().Pools[0].Servers {
		all := s.Requests + s.Failures
		parts = append(parts, fmt.Sprintf("%s %3d (%s)", name[s.Address], all-v.seen[s.Address], s.State))
		v.seen[s.Address] = all
	}
	answers := v.clients.Answers()
	for _, code := range slices.Sorted(maps.Keys(answers)) {
		text := fmt.Sprintf("%d %s", code, http.StatusText(code))
		if code == 0 {
			text = "no answer"
		}
		parts = append(parts, fmt.Sprintf("%d x %s", answers[code], text))
	}
	fmt.Fprintln(v.err, strings.Join(parts, "  "))
}
