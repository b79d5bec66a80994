package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// equipment is what a comparison needs that lasts longer than one scenario.
type equipment struct {
	dir        string // removed at the end
	self       string // this program, for its children
	candidates []candidate
	notes      []string // what was left out, and why
	cpus       cpus
}

// cpus are the CPUs that the balancer has for itself, and those of servers and load; empty where nothing is pinned.
type cpus struct{ balanced, rest string }

// cleanUp removes everything.
func (e *equipment) cleanUp() { _ = os.RemoveAll(e.dir) }

// note keeps what the reader of the results has to know. What is said of each scenario is kept once.
func (e *equipment) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(e.notes, text) {
		e.notes = append(e.notes, text)
	}
}

// newEquipment finds the programs, and builds Poise where no binary was named.
func newEquipment(ctx context.Context, o *options, progress io.Writer) (*equipment, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "poise-bench-")
	if err != nil {
		return nil, err
	}
	e := &equipment{dir: dir, self: self}
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's processes are another user's
		return e, err
	}
	if err := certificate(dir); err != nil {
		return e, err
	}
	if !o.unpinned {
		e.cpus = e.separate()
	}
	names, err := chosen(o.candidates, candidateNames())
	if err != nil {
		return e, fmt.Errorf("--balancers: %w", err)
	}
	for _, name := range names {
		if err := e.add(ctx, o, name, progress); err != nil {
			return e, err
		}
	}
	fmt.Fprintln(progress, "trying all of them")
	if err := e.rehearse(ctx, o); err != nil {
		return e, err
	}
	if len(e.candidates) == 0 {
		return e, errors.New("nothing is left to measure: " + strings.Join(e.notes, "; "))
	}
	return e, nil
}

// rehearse leaves out what does not serve here, such as a Poise with io_uring where the system refuses that, before anything is measured.
func (e *equipment) rehearse(ctx context.Context, o *options) error {
	b, err := e.newBed(ctx, o, e.cpus)
	if err != nil {
		return err
	}
	defer b.stop()
	var serving []candidate
	for _, c := range e.candidates {
		if _, err := b.add(ctx, c, place{}); err != nil {
			e.note("%s is left out: %v", c.name, err)
			continue
		}
		serving = append(serving, c)
	}
	e.candidates = serving
	return ctx.Err()
}

// add finds one candidate, or notes why it is left out.
func (e *equipment) add(ctx context.Context, o *options, name string, progress io.Writer) error {
	c := candidateNamed(name)
	if c.isPeer() {
		if err := c.find(); err != nil {
			e.note("%s is left out: %v", name, err)
			return nil
		}
	} else {
		if o.poise == "" {
			fmt.Fprintln(progress, "building Poise")
			o.poise = filepath.Join(e.dir, "poise")
			if err := build(ctx, o.poise, ""); err != nil {
				return err
			}
		}
		c.binary = o.poise
		if err := c.check(e.dir); errors.Is(err, errUnknownDriver) {
			e.note("%s is left out: %v", name, err)
			return nil
		} else if err != nil {
			return err
		}
	}
	e.candidates = append(e.candidates, c)
	return nil
}

// find looks for a peer's binary.
func (c *candidate) find() error {
	variable := strings.ToUpper(c.name)
	c.binary = os.Getenv(variable)
	if c.binary == "" {
		c.binary = c.name
	}
	path, err := exec.LookPath(c.binary)
	if err != nil {
		return fmt.Errorf("%w (%s= names another binary)", err, variable)
	}
	c.binary = path
	return nil
}

var errUnknownDriver = errors.New("the binary does not know this driver")

// check asks a Poise whether it knows the driver.
func (c *candidate) check(dir string) error {
	command, err := c.command(place{dir: dir, port: 1, server: "127.0.0.1:1"})
	if err != nil {
		return err
	}
	command[1] = "check"
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err == nil {
		return nil
	}
	if strings.Contains(string(out), fmt.Sprintf("driver: %q is not known", c.driver)) {
		return errUnknownDriver
	}
	return fmt.Errorf("%s check: %w: %s", c.binary, err, oneLine(out))
}

func oneLine(b []byte) string { return strings.Join(strings.Fields(string(b)), " ") }

// build builds Poise as it is shipped, from the module that dir is in.
func build(ctx context.Context, to, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, "poise/cmd/poise")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build Poise: %w: %s", err, oneLine(out))
	}
	return nil
}

// separate chooses the last CPU that we may use for the balancer, and the others for servers and load.
func (e *equipment) separate() cpus {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		e.note("nothing is pinned: %v", err)
		return cpus{}
	}
	_, list, _ := strings.Cut(string(b), "\nCpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	all, err := cpuList(strings.TrimSpace(list))
	if err != nil || len(all) < 2 {
		e.note("nothing is pinned: of CPUs there are only %q", list)
		return cpus{}
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		e.note("nothing is pinned: %v", err)
		return cpus{}
	}
	last := len(all) - 1
	return cpus{balanced: all[last], rest: strings.Join(all[:last], ",")}
}

// cpuList reads the kernel's form of a set of CPUs, such as 0-3,8.
func cpuList(text string) ([]string, error) {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		var from, to int
		if n, err := fmt.Sscanf(part, "%d-%d", &from, &to); n == 0 {
			return nil, fmt.Errorf("read %q as a set of CPUs: %w", text, err)
		} else if n == 1 {
			to = from
		}
		for i := from; i <= to; i++ {
			all = append(all, fmt.Sprint(i))
		}
	}
	return all, nil
}

// pinned makes a command run on some CPUs only.
func pinned(on string, command []string) []string {
	if on == "" {
		return command
	}
	return slices.Concat([]string{"taskset", "-c", on}, command)
}

func output(name string, args ...string) string {
	b, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	}
	return string(b)
}
