package app

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"poise/internal/admin"
	"poise/internal/clock"
	"poise/internal/pool"
)

func (a *App) startAdmin() error {
	c := a.o.Config.Admin
	if !c.Enabled {
		return nil
	}
	ln, err := admin.Listen(string(c.Address))
	if err != nil {
		return err
	}
	if a.token, err = a.writeToken(ln.Addr()); err != nil {
		return errors.Join(err, ln.Close())
	}
	h := admin.New(admin.Source{
		Ready: a.Ready, Metrics: a.metrics(), Status: func() any { return a.Status() }, Address: string(c.Address),
		Reload: a.reloadByOrder, Order: a.order, Token: a.token,
	})
	a.admin = admin.Serve(ln, h, a.o.Log)
	return nil
}

// writeToken writes the token for changes over TCP. Without a place of its own for it the program runs all the same, and refuses
// changes; a place that was asked for must do.
func (a *App) writeToken(bound net.Addr) (*admin.Token, error) {
	if bound.Network() != "tcp" {
		return nil, nil
	}
	if path := a.o.Config.Admin.TokenFile; path != "" {
		return admin.WriteToken(path)
	}
	t, err := admin.WriteToken(admin.TokenPath(bound.String()))
	if err != nil {
		a.o.Log.Warn("changes by command are refused: there is no place for their token; admin.token_file can name one", "error", err)
		return nil, nil
	}
	return t, nil
}

// reloadByOrder is Reload for the admin address.
func (a *App) reloadByOrder() (string, error) {
	problems, err := a.Reload()
	var text strings.Builder
	_ = problems.Format(&text, false) // a builder takes all
	var rejected *Rejected
	switch {
	case errors.As(err, &rejected):
		return "", &admin.Refused{Status: http.StatusUnprocessableEntity, Text: text.String() + "not reloaded, all is as it was: " + err.Error()}
	case err != nil:
		return "", &admin.Refused{Status: http.StatusConflict, Text: err.Error()}
	}
	return text.String() + "the configuration was reloaded", nil
}

// order gives a server an order of a person.
func (a *App) order(poolName, serverName string, o admin.Order) (string, error) {
	p, s, err := a.find(poolName, serverName)
	if err != nil {
		return "", err
	}
	var done []string
	var beside string
	ok := true
	if o.Weight != nil {
		ok = p.pool.Reweigh(clock.Now(), s, *o.Weight)
		done = append(done, fmt.Sprintf("has the weight %d", *o.Weight))
	}
	if o.State != "" {
		to := map[string]pool.Order{admin.Ready: pool.Ready, admin.Drain: pool.Draining, admin.Maint: pool.Maint}[o.State]
		ok = ok && p.pool.Order(clock.Now(), s, to, o.For)
		what := "is " + to.String()
		if o.For > 0 {
			what += ", then maint in " + o.For.String()
		}
		done = append(done, what)
		if agent := p.pool.Agent(s); s.Order() > to || agent.Down {
			beside = "\nits agent says " + agent.String() + ", which lasts until the agent says otherwise"
		}
	}
	if !ok {
		return "", &admin.Refused{Status: http.StatusNotFound, Text: "server " + serverName + " was removed at this moment"}
	}
	what := strings.Join(done, " and ")
	a.o.Log.Info("server "+what+" by order", "pool", poolName, "server", serverName)
	text := poolName + "/" + serverName + " " + what + beside
	if p.pool.Usable() == 0 {
		text += "\npool " + poolName + " has no server for new clients: they get 503"
	}
	return text, nil
}

// find finds a server by names; the error names those that there are.
func (a *App) find(poolName, serverName string) (*poolState, *pool.Server, error) {
	now := a.now.Load()
	p := now.pool(poolName)
	if p == nil {
		var names list
		for _, p := range now.pools {
			names = append(names, p.cfg.Name)
		}
		return nil, nil, &admin.Refused{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no pool %q; there are: %s", poolName, names)}
	}
	servers := p.pool.Servers()
	i := slices.IndexFunc(servers, func(s *pool.Server) bool { return s.Name == serverName })
	if i < 0 {
		var names list
		for _, s := range servers {
			names = append(names, s.Name)
		}
		return nil, nil, &admin.Refused{Status: http.StatusNotFound, Text: fmt.Sprintf("pool %s has no server %q; it has: %s", poolName, serverName, names)}
	}
	return p, servers[i], nil
}
