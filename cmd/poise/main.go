// Command poise is the load balancer; everything it does is in internal/cli.
package main

import (
	"os"

	"poise/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
