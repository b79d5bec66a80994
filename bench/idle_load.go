package main

import (
	"errors"
	"fmt"
	"time"

	"poise/internal/sys"
)

// opening is how many connections are opened at once: few, so that no listening socket's queue overflows.
const opening = 16

// idle opens the connections with a request on each, and has another request on each once the parent says so.
func (g *generator) idle(parent <-chan string, tell func(loadEvent)) error {
	if _, err := sys.RaiseDescriptorLimit(); err != nil {
		return err
	}
	clients := make([]client, g.spec.Idle)
	for i := range clients {
		clients[i].generator = g
	}
	began := time.Now()
	if err := g.everyOne(clients, parent); err != nil {
		return err
	}
	tell(loadEvent{Event: "idle", Requests: int64(len(clients)), Seconds: time.Since(began).Seconds()})
	if _, ok := <-parent; !ok {
		return errors.New("interrupted")
	}
	began = time.Now()
	if err := g.everyOne(clients, parent); err != nil {
		return err
	}
	tell(loadEvent{Event: "end", Requests: int64(len(clients)), Seconds: time.Since(began).Seconds()})
	return nil
}

// everyOne has one request of every client.
func (g *generator) everyOne(clients []client, parent <-chan string) error {
	over := make(chan error, opening)
	g.loop.Call(func() {
		for i := range opening {
			g.loop.Go(func() { over <- some(clients, i) })
		}
	})
	for range opening {
		select {
		case err := <-over:
			if err != nil {
				return err
			}
		case <-parent:
			return errors.New("interrupted")
		}
	}
	return nil
}

// some is the part of one fiber in everyOne.
func some(clients []client, from int) error {
	for i := from; i < len(clients); i += opening {
		if err := clients[i].do(); err != nil {
			return fmt.Errorf("connection %d of %d: %w", i+1, len(clients), err)
		}
	}
	return nil
}
