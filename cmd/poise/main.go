// Command poise is the load balancer; everything it does is in internal/cli.
package main

func main() {}
