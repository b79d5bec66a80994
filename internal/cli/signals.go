package cli

import (
	"os"
	"os/signal"
	"syscall" // for the signals' names only
)

// The signals that mean something. INT is os.Interrupt.
const (
	sigTerm   = syscall.SIGTERM
	sigQuit   = syscall.SIGQUIT
	sigReload = syscall.SIGHUP
	sigReopen = syscall.SIGUSR1
)

// notify starts to deliver the signals of a long-running command. A closed standard output must not end it: SIGPIPE is ignored.
func notify() (<-chan os.Signal, func()) {
	signal.Ignore(syscall.SIGPIPE)
	c := make(chan os.Signal, 8) // more than anybody sends while one is handled
	signal.Notify(c, os.Interrupt, sigTerm, sigQuit, sigReload, sigReopen)
	return c, func() { signal.Stop(c) }
}

// stops tells whether a signal asks for the end.
func stops(s os.Signal) bool { return s == os.Interrupt || s == sigTerm || s == sigQuit }
