package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// terminate asks a program to end; package os has no name for it.
const terminate = syscall.SIGTERM

// untilSignal is a context that ends when the person, or the system, wants the program to.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(parent, os.Interrupt, terminate)
}
