// Package discover keeps lists of addresses for servers that are given by name.
//
// Each name is looked up at start and every 30 s, off the loops, and each address that it has becomes a server of its own. The
// package never makes a pool smaller because of a look-up that failed, and knows nothing of pools: it reports lists.
//
// Start reading at name.run.
package discover

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// MaxAddresses is how many servers one name can make: an answer of thousands is a mistake or an attack.
	MaxAddresses = 256

	interval = 30 * time.Second
	// timeout is that of one look-up, and what Start waits for all of them together.
	timeout = 5 * time.Second
	// firstRetry is the pause after the first failure of a name that never had an answer; it doubles up to interval.
	firstRetry = time.Second
	// jitter is the share of a pause by which it may be shorter or longer: names must not stay in step.
	jitter = 0.1
	// atOnce is how many look-ups run at the same time.
	atOnce = 16
)

// Lookup returns the addresses of host.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// Settings say what is looked up, and who is told.
type Settings struct {
	// Names are "host:port". One that is there twice is looked up once.
	Names []string
	// Lookup is System(net.Resolver) but in tests. It must return when its context ends.
	Lookup Lookup
	// Changed is told a name's addresses when they differ from before: sorted, without doubles, at least one, at
	// most MaxAddresses. They are its to keep.
	Changed func(name string, addresses []netip.AddrPort)
	// Failed, where set, is told the first failure of a series; the addresses of before stay.
	Failed func(name string, err error)
}

// System looks names up with r, IPv4 and IPv6.
func System(r *net.Resolver) Lookup {
	return func(ctx context.Context, host string) ([]netip.Addr, error) { return r.LookupNetIP(ctx, "ip", host) }
}

// Names are being looked up until Close.
type Names struct {
	settings Settings
	slots    chan struct{}
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	// report lets Changed and Failed be called one at a time.
	report sync.Mutex
}

// Start looks all names up, and goes on doing so. It returns when each name was looked up once, or after 5 s: what came until then
// was reported. It fails when a name is not "host:port".
func Start(s Settings) (*Names, error) {
	var list []*name
	for _, text := range slices.Compact(slices.Sorted(slices.Values(s.Names))) {
		n, err := parse(text)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	all := &Names{settings: s, slots: make(chan struct{}, atOnce), cancel: cancel}
	first := make(chan struct{}, len(list)) // room for all: nobody waits to tell that it is ready
	for _, n := range list {
		n.Names = all
		all.wait.Add(1)
		go n.run(ctx, first)
	}
	patience := time.NewTimer(timeout)
	defer patience.Stop()
	for range list {
		select {
		case <-first:
		case <-patience.C:
			return all, nil
		}
	}
	return all, nil
}

// Close ends all look-ups, and waits for their goroutines. Nothing is reported afterwards.
func (n *Names) Close() {
	n.cancel()
	n.wait.Wait()
}

// name is one name, and what it stood for last.
type name struct {
	*Names
	text, host string
	port       uint16
	addresses  []netip.AddrPort // nil: never an answer
	failing    bool
}

func parse(text string) (*name, error) {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return nil, fmt.Errorf("server name %q: %w", text, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || host == "" {
		return nil, fmt.Errorf("server name %q: want host:port", text)
	}
	return &name{text: text, host: host, port: uint16(port)}, nil
}

// run is the goroutine of a name. After the first look-up it tells first.
func (n *name) run(ctx context.Context, first chan<- struct{}) {
	defer n.wait.Done()
	retry := firstRetry
	for told := false; ; {
		select {
		case n.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		addresses, err := n.resolve(ctx)
		<-n.slots
		if ctx.Err() != nil {
			return
		}
		n.take(addresses, err)
		if !told {
			told = true
			first <- struct{}{}
		}

		pause := interval
		if n.addresses == nil {
			pause, retry = retry, min(2*retry, interval)
		}
		timer := time.NewTimer(time.Duration(float64(pause) * (1 - jitter + 2*jitter*rand.Float64())))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// take compares an answer with the last one, and reports what is new.
func (n *name) take(addresses []netip.AddrPort, err error) {
	n.report.Lock()
	defer n.report.Unlock()
	if err != nil {
		if !n.failing && n.settings.Failed != nil {
			n.settings.Failed(n.text, err)
		}
		n.failing = true
		return
	}
	n.failing = false
	if !slices.Equal(addresses, n.addresses) {
		n.addresses = addresses
		n.settings.Changed(n.text, slices.Clone(addresses))
	}
}

// resolve makes one look-up. Its addresses are in their final form; there is at least one, or an error.
func (n *name) resolve(ctx context.Context) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := n.settings.Lookup(ctx, n.host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", n.host, err)
	}
	addresses := make([]netip.AddrPort, 0, len(answer))
	for _, a := range answer {
		if a = a.Unmap(); a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
			addresses = append(addresses, netip.AddrPortFrom(a, n.port))
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("look up %s: %w", n.host, errNoAddress)
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	addresses = slices.Compact(addresses)
	// Cut after sorting, so that the same answer in another order makes the same servers.
	return slices.Clone(addresses[:min(len(addresses), MaxAddresses)]), nil
}

var errNoAddress = errors.New("the answer has no address of a server")
