package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what processes have used since their start.
type usage struct {
	cpu time.Duration // exact: the scheduler's own count
	// user and system are in ticks, by samples: they only say how cpu is split.
	user, system int64
	sleeps       int64 // how often a thread gave up its CPU to wait
	at           time.Time
	over         time.Duration // of a difference: the time between
}

func (u usage) since(v usage) usage {
	return usage{cpu: u.cpu - v.cpu, user: u.user - v.user, system: u.system - v.system, sleeps: u.sleeps - v.sleeps, over: u.at.Sub(v.at)}
}

// cores is how many cores a difference kept busy.
func (u usage) cores() float64 { return u.cpu.Seconds() / u.over.Seconds() }

// tick is the unit of /proc/stat's times, the same on every system.
const tick = 10 * time.Millisecond

// usageOfMachine is that of all processes and of the kernel, by samples.
func usageOfMachine() (usage, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	u := usage{at: time.Now()}
	for i, field := range strings.Fields(line)[1:] {
		if i != 3 && i != 4 && i < 8 { // neither idle nor waiting for disks; guests are part of user
			u.cpu += time.Duration(atoi(field)) * tick
		}
	}
	return u, nil
}

// usageOf adds up the processes.
func usageOf(pids []int) (usage, error) {
	total := usage{at: time.Now()}
	for _, pid := range pids {
		fields, err := statOf(pid)
		if err != nil {
			return usage{}, err
		}
		total.user += atoi(fields[11])
		total.system += atoi(fields[12])
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return usage{}, err
		}
		for _, thread := range threads {
			ns, sleeps := threadUsage(fmt.Sprintf("/proc/%d/task/%s", pid, thread.Name()))
			total.cpu += ns
			total.sleeps += sleeps
		}
	}
	return total, nil
}

// threadUsage is 0 for a thread that has just ended.
func threadUsage(dir string) (cpu time.Duration, sleeps int64) {
	if b, err := os.ReadFile(filepath.Join(dir, "schedstat")); err == nil {
		ns, _, _ := strings.Cut(string(b), " ")
		cpu = time.Duration(atoi(ns))
	}
	if b, err := os.ReadFile(filepath.Join(dir, "status")); err == nil {
		sleeps = numberAfter(string(b), "\nvoluntary_ctxt_switches:")
	}
	return cpu, sleeps
}

// statOf are the fields of /proc/PID/stat that follow the name: the state, then the parent.
func statOf(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	text := string(b)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:]), nil // a name may hold anything
}

// resident is what the processes have in memory, in bytes.
func resident(pids []int) (int64, error) {
	var total int64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		total += numberAfter(string(b), "\nVmRSS:") * kib
	}
	return total, nil
}

// tree is a process and all that it has started.
func tree(root int) []int {
	all := []int{root}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	parents := map[int]int{}
	for _, e := range entries {
		pid := int(atoi(filepath.Base(e)))
		if fields, err := statOf(pid); err == nil {
			parents[pid] = int(atoi(fields[1]))
		}
	}
	for i := 0; i < len(all); i++ { // grows while it runs
		for pid, parent := range parents {
			if parent == all[i] {
				all = append(all, pid)
			}
		}
	}
	return all
}

// numberAfter is the number that follows a label, or 0.
func numberAfter(text, label string) int64 {
	_, rest, _ := strings.Cut(text, label)
	if f := strings.Fields(rest); len(f) > 0 {
		return atoi(f[0])
	}
	return 0
}

func atoi(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // the kernel writes numbers
	return n
}
