// Command bench compares Poise with HAProxy and nginx, or with itself at another revision: the same load over each, in turn, on equal terms. Its first
// figure is CPU time of the balancer's own processes per request.
//
// It starts everything itself: the servers and the load generator are children of this program, the balancers are other programs. It shares with Poise only
// the loops of internal/fiber, so that servers and load are cheap; what is on the wire it writes and reads by itself.
//
// Start reading at scenarios, then candidates, then session.measure; serve.go and load.go are the children.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	ctx, release := untilSignal(context.Background())
	err := command(os.Stdout, os.Stderr).ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	release()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "bench: interrupted; everything is stopped and removed")
		os.Exit(130) // as shells do: 128 and SIGINT's number
	case err != nil:
		for _, e := range causes(err) {
			fmt.Fprintf(os.Stderr, "bench: %v\n", e)
		}
		os.Exit(1)
	}
}

// causes are the errors that were joined.
func causes(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
