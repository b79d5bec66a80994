package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"poise/internal/config"
)

// quick is a balancer that needs no file: one listener, one pool.
type quick struct {
	listen     string
	to         []string
	policy     choice
	selfSigned bool   // clients speak TLS
	healthPath string // empty: no probes
	accessLog  bool
	admin      string // "off" turns it off
}

func (p *program) proxyCommand() *cobra.Command {
	q := quick{policy: policies()}
	cmd := &cobra.Command{
		Use:        "proxy",
		SuggestFor: []string{"balance", "lb"},
		Short:      "Balance over some servers, without a configuration file",
		Example: `  poise proxy --listen :8080 --to 127.0.0.1:9001 --to 127.0.0.1:9002
  poise proxy --listen :8443 --tls-self-signed --to 127.0.0.1:9001
  poise proxy --to 127.0.0.1:9001 --health-path /healthz --save poise.yaml`,
	}
	f := cmd.Flags()
	f.StringVar(&q.listen, "listen", ":8080", "the `ADDRESS` for clients: host:port, :port or unix:/path")
	f.BoolVar(&q.selfSigned, "tls-self-signed", false, "serve HTTPS, with a certificate that is made at start and signed by nobody else")
	f.StringSliceVar(&q.to, "to", nil, "a server's `ADDRESS`, host:port or unix:/path; once for each server, or with commas")
	q.policy.flag(cmd, "policy", "", "how a server is chosen")
	f.StringVar(&q.healthPath, "health-path", "", "the `PATH` that servers are probed at; without it they are not probed")
	f.BoolVar(&q.accessLog, "access-log", true, "print a JSON line for each request to standard output")
	f.StringVar(&q.admin, "admin", defaultAdmin, "the `ADDRESS` for status and metrics: host:port, unix:/path, or off")
	save := f.String("save", "", "write the configuration to this new `FILE` too")
	if err := cmd.MarkFlagFilename("save", "yaml", "yml"); err != nil {
		panic(err) // the flag was added just above
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		if len(q.to) == 0 {
			return errors.New("no server to send requests to: name each with --to")
		}
		cfg, text, err := p.build(q.config())
		if err != nil {
			return err
		}
		if *save != "" {
			if err := saveNew(*save, text); err != nil {
				return failed(err)
			}
			fmt.Fprintf(p.err, "poise: saved; from now on this does the same: poise run -c %s\n", *save)
		}
		return p.serve(cfg, nil)
	}
	return cmd
}

func policies() choice {
	return choice{value: config.LeastRequests, words: []string{config.LeastRequests, config.RoundRobin, config.Random, config.IPHash}}
}

// config is the configuration that q stands for, not yet checked.
func (q *quick) config() *config.Config {
	c := config.Default()
	c.Listen = config.Addresses{config.Address(q.listen)}
	for _, to := range q.to {
		c.Single.Servers = append(c.Single.Servers, &config.Server{Address: config.Address(to), Weight: 1})
	}
	c.Single.Policy.Name = q.policy.value
	if q.healthPath != "" {
		c.Single.Health = defaultHealth()
		c.Single.Health.HTTP.Path = q.healthPath
	}
	if q.selfSigned {
		pool := c.Single
		pool.Name = "default"
		c.Pools, c.Single = config.Pools{&pool}, config.Default().Single
		c.Listeners = []*config.Listener{{Addresses: c.Listen, Pool: pool.Name, TLS: &config.ListenerTLS{SelfSigned: true}}}
		c.Listen = nil
	}
	c.AccessLog.Enabled = q.accessLog
	if c.Admin.Enabled = q.admin != "off"; c.Admin.Enabled {
		c.Admin.Address = config.Address(q.admin)
	}
	return c
}

// defaultHealth is what health has where a file only asks for it.
func defaultHealth() *config.Health {
	c, problems := config.Parse("defaults", []byte("{listen: ':0', servers: ['127.0.0.1:1'], health: {http: {}}}"), nil)
	if problems.HasErrors() {
		panic(fmt.Sprintf("cli: the constant configuration has mistakes: %v", problems))
	}
	return c.Pools[0].Health
}

// build checks a configuration that has no file, as if it had one, and returns its text too.
func (p *program) build(made *config.Config) (*config.Config, []byte, error) {
	text, err := made.Marshal()
	if err != nil {
		return nil, nil, failed(err)
	}
	cfg, problems := whole(config.Parse("these flags, as a configuration", text, nil))
	if err := problems.Format(p.err, p.color(p.err)); err != nil {
		return nil, nil, failed(err)
	}
	if cfg == nil {
		return nil, nil, &exitError{exitUsage, errors.New("not started: " + verdict(problems))}
	}
	return cfg, text, nil
}

// saveNew writes a configuration to a file that must not be there yet.
func saveNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and is not overwritten: choose another name for --save", path)
	}
	if err != nil {
		return fmt.Errorf("cannot save the configuration: %w", err)
	}
	const head = "# Made by poise proxy on %s. What is not here has its default: docs/configuration.md tells which.\n"
	_, err = fmt.Fprintf(f, head+"%s", time.Now().Format(time.DateOnly), text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot save the configuration: %w", err)
	}
	return nil
}
