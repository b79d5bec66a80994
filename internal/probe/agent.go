package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"poise/internal/health"
	"poise/internal/pool"
)

// Agent says how the agents of a pool's servers are asked: programs beside them that say in a line of text how much they can take.
type Agent struct {
	Port     int // of the agent, at the server's own host
	Interval time.Duration
	Timeout  time.Duration // of one question in all
	Send     string        // what is sent first; empty: nothing
	Slots    Slots         // nil: MaxInFlight of its own
}

// NewAgents returns what asks agents, as New does for probes. report is called with every line that comes; where none comes, Last says why. Servers at Unix
// sockets have no agent, since they have no host.
func NewAgents(a Agent, report func(s *pool.Server, answer string)) *Probers {
	return start(&Probers{
		interval: a.Interval, timeout: a.Timeout, port: a.Port, slots: a.Slots, overIP: true,
		ask: func(ctx context.Context, to target) (string, error) { return askAgent(ctx, to.address, a.Send) },
		report: func(s *pool.Server, answer string, r health.Result) {
			if r.OK {
				report(s, answer)
			}
		},
	})
}

// askAgent connects, says what there is to say, and reads a line.
func askAgent(ctx context.Context, address, send string) (string, error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if send != "" {
		if _, err := io.WriteString(conn, send); err != nil {
			return "", err
		}
	}
	return readLine(conn)
}

// maxLine is how long an agent's line is, at most.
const maxLine = 4 << 10

// readLine reads up to the first end of a line, or the end of all. What is cut off is no line: half a word may mean something else.
func readLine(conn net.Conn) (string, error) {
	b := make([]byte, maxLine+1)
	for n := 0; n < len(b); {
		more, err := conn.Read(b[n:])
		if end := bytes.IndexAny(b[n:n+more], "\r\n"); end >= 0 {
			return string(b[:n+end]), nil
		}
		n += more
		switch {
		case err == io.EOF && n > 0:
			return string(b[:n]), nil
		case err != nil:
			return "", err
		}
	}
	return "", fmt.Errorf("a line of more than %d bytes", maxLine)
}
