package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// running is a candidate that serves, and answers.
type running struct {
	candidate
	*child
	address string
	tls     bool
	http2   bool
}

// bed is what one scenario runs in: the servers, and all candidates before them.
type bed struct {
	*equipment
	cpus    cpus
	o       *options
	servers *child
	address string // of the servers
	on      []*running
}

// newBed starts the servers.
func (e *equipment) newBed(ctx context.Context, o *options, on cpus, flags ...string) (*bed, error) {
	servers, err := start(e.dir, "servers", true, pinned(on.rest, slices.Concat([]string{e.self, "serve"}, flags)))
	if err != nil {
		return nil, err
	}
	b := &bed{equipment: e, cpus: on, o: o, servers: servers}
	if b.address, err = servers.line(ctx, 10*time.Second); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bed) stop() {
	for _, r := range b.on {
		r.stop()
	}
	b.servers.stop()
}

// add starts a candidate, and waits until it answers.
func (b *bed) add(ctx context.Context, c candidate, p place) (*running, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p.dir, p.port, p.server, p.logs, p.buffers = b.dir, ports[0], cmp.Or(p.server, b.address), b.o.logs, b.o.buffers
	command, err := c.command(p)
	if err != nil {
		return nil, err
	}
	if p.admin != 0 {
		command = slices.Concat(traceCollections, command)
	}
	started, err := start(b.dir, c.name, false, pinned(b.cpus.balanced, command))
	if err != nil {
		return nil, err
	}
	r := &running{candidate: c, child: started, address: fmt.Sprintf("127.0.0.1:%d", p.port), tls: p.tls, http2: p.http2}
	if err := r.answers(ctx); err != nil {
		r.stop()
		return nil, err
	}
	r.pids = tree(r.pids[0])
	b.on = append(b.on, r)
	return r, nil
}

// answers waits until the candidate passes a request on.
func (r *running) answers(ctx context.Context) error {
	trust := &tls.Config{InsecureSkipVerify: true} // the certificate was made for this run
	var speaks http.Protocols
	speaks.SetHTTP1(!r.http2)
	speaks.SetHTTP2(r.http2)
	speaks.SetUnencryptedHTTP2(r.http2)
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust, Protocols: &speaks}}
	scheme := "http://"
	if r.tls {
		scheme = "https://"
	}
	until := time.Now().Add(10 * time.Second)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+r.address+"/small", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(request)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		select {
		case <-r.ended:
			return r.failure("ended at its start")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(until) {
			return r.failure(fmt.Sprintf("does not answer (%v)", err))
		}
	}
}

// freePorts finds ports that nobody uses. They are given back, so another program could take one before it is used.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// load starts the load child.
func (b *bed) load(spec loadSpec) (*child, error) {
	argument, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return start(b.dir, "load", true, pinned(b.cpus.rest, []string{b.self, "load", string(argument)}))
}

// event is the load's next line.
func (b *bed) event(ctx context.Context, load *child, want string) (loadEvent, error) {
	line, err := load.line(ctx, 2*patience+time.Minute)
	if err != nil {
		return loadEvent{}, err
	}
	var e loadEvent
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return e, fmt.Errorf("the load said %q: %w", line, err)
	}
	if e.Event != want {
		return e, b.servers.failure(fmt.Sprintf("and load: %s", e.Error))
	}
	return e, nil
}
