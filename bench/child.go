package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// child is a process that we have started.
type child struct {
	who   string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   <-chan string // its lines; nil where nobody reads them
	log   string        // the file with what it prints
	pids  []int         // it, and what it has started
	ended chan struct{}
}

// start runs a program. What it prints goes to a file in dir, or its standard output to lines.
func start(dir, name string, lines bool, command []string) (*child, error) {
	c := &child{who: name, cmd: exec.Command(command[0], command[1:]...), log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if lines {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer func() { _ = w.Close() }() // likewise
		c.cmd.Stdout, c.out = w, newLines(r)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.pids = []int{c.cmd.Process.Pid}
	go c.wait()
	return c, nil
}

func (c *child) wait() {
	_ = c.cmd.Wait() // why it ended is in its log
	close(c.ended)
}

// stop ends the process: its input's end is enough for our own children, the others are asked to, and none is waited for too long.
func (c *child) stop() {
	_ = c.in.Close()
	if c.out == nil {
		_ = c.cmd.Process.Signal(terminate)
	}
	select {
	case <-c.ended:
		return
	case <-time.After(3 * time.Second):
	}
	for _, pid := range tree(c.cmd.Process.Pid) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
	<-c.ended
}

// line is the next line that the child prints.
func (c *child) line(ctx context.Context, limit time.Duration) (string, error) {
	select {
	case l, ok := <-c.out:
		if !ok {
			return "", c.failure("ended early")
		}
		return l, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(limit):
		return "", c.failure(fmt.Sprintf("said nothing for %v", limit))
	}
}

// failure is an error with what the child has printed last.
func (c *child) failure(what string) error {
	b, _ := os.ReadFile(c.log)
	text := strings.TrimSpace(string(b))
	if lines := strings.Split(text, "\n"); len(lines) > 5 {
		text = strings.Join(lines[len(lines)-5:], "\n")
	}
	if text == "" {
		return fmt.Errorf("%s %s", c.who, what)
	}
	return fmt.Errorf("%s %s: %s", c.who, what, text)
}
