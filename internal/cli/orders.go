package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poise/internal/admin"
	"poise/internal/app"
)

// orderTimeout is what a reload may take: names are looked up, and first probes waited for.
const orderTimeout = 25 * time.Second

// orders is who takes a command's orders.
type orders struct {
	admin, tokenFile *string
}

func ordersTo(cmd *cobra.Command) *orders {
	o := &orders{admin: cmd.Flags().String("admin", defaultAdmin, "the admin `ADDRESS` of the Poise to change: host:port or unix:/path")}
	o.tokenFile = cmd.Flags().String("token-file", "", "the `FILE` with its token, where the configuration names one; not needed over a Unix socket")
	if err := cmd.MarkFlagFilename("token-file"); err != nil {
		panic(err) // the flag was added just above
	}
	return o
}

func (p *program) reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running Poise read its configuration again",
		Long: `The file that the running Poise was started with is read again and checked in full. With a mistake nothing changes, it is printed, and the exit
code is 1. It is the same as the signal HUP, but it waits and tells how it went.`,
		Example: "  poise check -c poise.yaml && poise reload",
	}
	to := ordersTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.give(cmd.Context(), to, "/v1/reload", struct{}{}) }
	return cmd
}

func (p *program) drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain POOL/SERVER",
		Short: "Send a server no new clients",
		Long: `Requests that run go on, and clients that affinity ties to the server stay on it: until poise ready, or for as long as --for says; then the server
is in maintenance. It lasts over reloads.`,
		Example: "  poise drain app/10.0.0.1:8080 --for 5m",
		Args:    cobra.ExactArgs(1),
	}
	to := ordersTo(cmd)
	limit := cmd.Flags().Duration("for", 0, "after this `DURATION` the server gets no requests at all; 0: tied clients stay")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *limit < 0 {
			return errors.New("--for is below 0")
		}
		return p.order(cmd.Context(), to, args[0], admin.Order{State: admin.Drain, For: *limit})
	}
	return cmd
}

func (p *program) stateCommand(state, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: state + " POOL/SERVER", Short: short, Long: long, Example: "  poise " + state + " app/10.0.0.1:8080", Args: cobra.ExactArgs(1),
	}
	to := ordersTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.order(cmd.Context(), to, args[0], admin.Order{State: state})
	}
	return cmd
}

func (p *program) maintCommand() *cobra.Command {
	return p.stateCommand(admin.Maint, "Send a server no requests at all",
		"Requests that run go on, and so do probes; no new one is sent, not of clients that affinity ties to the server either. It lasts over reloads.")
}

func (p *program) readyCommand() *cobra.Command {
	return p.stateCommand(admin.Ready, "End a server's drain or maintenance", "From now on only the server's health decides.")
}

func (p *program) weightCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "weight POOL/SERVER N",
		Short:   "Give a server another weight",
		Long:    "It lasts until a reload finds another weight for the server in the file than was there before.",
		Example: "  poise weight app/10.0.0.1:8080 3",
		Args:    cobra.ExactArgs(2),
	}
	to := ordersTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 0 || n > admin.MaxWeight {
			return fmt.Errorf("weight %q is no number from 0 to %d", args[1], admin.MaxWeight)
		}
		return p.order(cmd.Context(), to, args[0], admin.Order{Weight: &n})
	}
	return cmd
}

// order gives an order for the server that a person calls POOL/SERVER.
func (p *program) order(ctx context.Context, to *orders, name string, o admin.Order) error {
	body, err := ask(ctx, *to.admin, "/v1/status")
	if err != nil {
		return failed(err)
	}
	var s app.Status
	if err := json.Unmarshal(body, &s); err != nil || s.Started.IsZero() {
		return failed(fmt.Errorf("what answers at %s is not Poise's admin address", *to.admin))
	}
	pool, server := called(&s, name)
	if server == "" {
		return fmt.Errorf("%q is not POOL/SERVER; poise status lists them", name)
	}
	return p.give(ctx, to, "/v1/pools/"+url.PathEscape(pool)+"/servers/"+url.PathEscape(server), o)
}

// called takes a name apart. Both parts may hold a slash, so those that there are go first.
func called(s *app.Status, name string) (pool, server string) {
	for _, p := range s.Pools {
		for _, v := range p.Servers {
			if p.Name+"/"+v.Name == name {
				return p.Name, v.Name
			}
		}
	}
	pool, server, _ = strings.Cut(name, "/")
	return pool, server
}

// give posts what is to change, and prints what Poise says about it.
func (p *program) give(ctx context.Context, to *orders, path string, what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return failed(err)
	}
	token, err := to.token()
	if err != nil {
		return failed(err)
	}
	answer, err := talk(ctx, *to.admin, demand{method: http.MethodPost, path: path, body: body, token: token, patience: orderTimeout})
	if err != nil {
		return failed(err)
	}
	for line := range strings.Lines(string(answer)) {
		if _, err := fmt.Fprintln(p.out, printable(strings.TrimRight(line, "\n"))); err != nil {
			return written(err)
		}
	}
	return nil
}

// token reads what changes over TCP need.
func (o *orders) token() (string, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(*o.admin, "http://"), "/")
	if strings.HasPrefix(address, "unix:") {
		return "", nil
	}
	token, err := "", error(nil)
	if *o.tokenFile != "" {
		token, err = admin.ReadToken(*o.tokenFile)
	} else if _, _, bad := net.SplitHostPort(address); bad == nil {
		token, err = admin.FindToken(address)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: Poise writes its token there for the user that it runs as; where admin.token_file is set, name it with --token-file", err)
	}
	return token, err
}
