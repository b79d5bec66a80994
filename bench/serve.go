package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"poise/internal/fiber"
	"poise/internal/listen"
	"poise/internal/sys"
)

// serve is the child that all balancers pass requests to: one loop, answers that lie ready in memory. It prints its address, or those of its timed servers
// with commas, and ends with its standard input, so that it never outlives its parent.
func serve(t timed, out io.Writer, in io.Reader) error {
	runtime.GOMAXPROCS(loopProcs)
	loop, _, err := fiber.Start(0, fiber.Config{})
	if err != nil {
		return err
	}
	defer loop.Stop()
	s := &server{answers: map[string]*answer{}}
	for path, p := range pages() {
		s.answers[path] = &answer{bytes: p.response()}
	}
	for _, sc := range scenarios() {
		a := s.answers[sc.path]
		if sc.Socket {
			a.bytes, a.message, a.reply = socketAnswer(), frame(sc.upload, true), frame(sc.answer.length, false)
			continue
		}
		a.upload = sc.upload
	}
	var addresses []string
	for range max(1, t.Servers) {
		var h fiber.Handler = s
		if t.Servers > 0 {
			h = &timedServer{server: s, timed: t}
		}
		a, err := accept(loop, h)
		if err != nil {
			return err
		}
		addresses = append(addresses, a)
	}
	fmt.Fprintln(out, strings.Join(addresses, ","))
	_, err = io.Copy(io.Discard, in)
	return err
}

// accept has a handler serve at an address of its own.
func accept(loop *fiber.Loop, h fiber.Handler) (address string, err error) {
	socket, err := listen.Bind("127.0.0.1:0", 1)
	if err != nil {
		return "", err
	}
	loop.Call(func() {
		_, err = loop.Listen(socket.FDs[0], fiber.Accepting{Accept: func(c *fiber.Conn) { c.Idle(h, 0) }})
	})
	return socket.Address, err
}

// loopProcs leaves a loop's process processors beside the loop's own: a loop that wakes and finds none waits for tens of milliseconds.
const loopProcs = 3

type server struct{ answers map[string]*answer }

type answer struct {
	bytes  []byte
	upload int // how long a body the request must have

	message, reply []byte // of a WebSocket; nil: it is none
}

// Gone is fiber.Handler's: a connection that nobody uses has ended.
func (s *server) Gone(*fiber.Conn, error) {}

// Serve answers until the balancer closes the connection. What it does not expect is told, and the connection ends, which fails the run.
func (s *server) Serve(c *fiber.Conn) { s.serve(c, nil) }

// serve answers each request once slot, if there is one, has returned.
func (s *server) serve(c *fiber.Conn, slot func()) {
	for {
		err := s.serveOne(c, slot)
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !sys.IsReset(err) && !errors.Is(err, fiber.ErrStopped) { // a balancer that stops may reset
			fmt.Fprintf(os.Stderr, "server: %v\n", err)
		}
		_ = c.Close()
		return
	}
}

func (s *server) serveOne(c *fiber.Conn, slot func()) error {
	head, err := readHead(c)
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(head, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	a := s.answers[string(path)]
	if a == nil {
		return fmt.Errorf("asked for %q", path)
	}
	if a.upload > 0 {
		if n := lengthOf(head); n != a.upload {
			return fmt.Errorf("an upload of length %d, want %d (%q)", n, a.upload, head)
		}
	}
	c.Discard(len(head))
	if a.message != nil {
		return a.serveSocket(c)
	}
	if a.upload > 0 {
		c.Receive(fiber.Bodies) // and so it stays: the next request on it is another upload
		if err := readBody(c, a.upload); err != nil {
			return err
		}
	}
	if slot != nil {
		slot()
	}
	return c.Send(a.bytes)
}
