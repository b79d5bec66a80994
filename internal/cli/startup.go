package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"poise/internal/app"
	"poise/internal/config"
)

// maxShown is how many servers of a pool are named at the start.
const maxShown = 20

// firstRound is how long the first probes may take: the longest timeout, and a little for the answer. After five seconds Poise counts as
// ready without them.
func firstRound(cfg *config.Config) time.Duration {
	var longest time.Duration
	for _, p := range cfg.Pools {
		if p.Health != nil {
			longest = max(longest, p.Health.Timeout)
		}
	}
	return min(longest+100*time.Millisecond, 5*time.Second)
}

// showStart tells what runs, and where.
func (s *service) showStart() {
	st := s.app.Status()
	driver, reason := s.app.Driver()
	if reason != "" {
		driver += " (" + reason + ")"
	}
	s.line("loops", fmt.Sprintf("%d, on %s", st.Loops, driver))
	for i, l := range st.Listeners {
		at := strings.Join(urls(&l), ", ")
		if l.Name != string(s.config.Listeners[i].Addresses[0]) { // that is the default
			at += ", named " + l.Name
		}
		s.line("listener", at)
		if l.SelfSigned != "" {
			s.line("", "its certificate is self-signed; SHA-256 fingerprint "+l.SelfSigned)
		}
	}
	if !s.config.Admin.Enabled {
		s.line("admin", "off")
		return
	}
	admin := string(s.config.Admin.Address)
	ask := "poise status"
	if admin != defaultAdmin {
		ask += " --admin " + admin
	}
	if socket, ok := s.config.Admin.Address.Unix(); ok {
		s.line("admin", admin)
		s.line("look at", ask+"; curl --unix-socket "+socket+" http://localhost/metrics")
		return
	}
	s.line("admin", "http://"+admin)
	s.line("look at", ask+"; http://"+admin+"/metrics")
}

// urls are a listener's addresses as clients write them: with the scheme, where it is not the usual one.
func urls(l *app.ListenerStatus) []string {
	if !l.TLS {
		return l.Addresses
	}
	var list []string
	for _, a := range l.Addresses {
		if !strings.HasPrefix(a, "unix:") {
			a = "https://" + a
		}
		list = append(list, a)
	}
	return list
}

// showPools tells how each server does after its first probe.
func (s *service) showPools() {
	for _, p := range s.app.Status().Pools {
		up := 0
		for _, v := range p.Servers {
			if v.State != "down" {
				up++
			}
		}
		s.line("pool", fmt.Sprintf("%s, %s, %d of %s up", p.Name, p.Policy, up, count(len(p.Servers), "server")))
		for _, v := range p.Servers[:min(len(p.Servers), maxShown)] {
			s.line("", describe(&v))
		}
		if more := len(p.Servers) - maxShown; more > 0 {
			s.line("", fmt.Sprintf("and %d more", more))
		}
		if up == 0 {
			s.line("", "no server of this pool is up: its clients get 503 unless one answers all the same")
		}
	}
}

// describe is one server's line.
func describe(v *app.ServerStatus) string {
	text := "  " + v.Name + "  " + v.State
	switch {
	case v.Backup:
		text += ", backup"
	case v.Tier > 0:
		text += ", tier " + strconv.Itoa(v.Tier)
	}
	if v.Zone != "" {
		text += ", zone " + v.Zone
	}
	if v.LastProbe != "" {
		text += ": " + v.LastProbe
	}
	return text
}

func (s *service) line(title, text string) {
	fmt.Fprintf(s.err, "%-9s %s\n", title, printable(text))
}
