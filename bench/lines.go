package main

import (
	"bufio"
	"io"
)

// newLines gives the lines that r brings, and is closed at its end. Whoever asks for it reads on, or ends the process.
func newLines(r io.Reader) <-chan string {
	lines := make(chan string, 16)
	go readLines(r, lines)
	return lines
}

func readLines(r io.Reader, lines chan<- string) {
	defer close(lines)
	for s := bufio.NewScanner(r); s.Scan(); {
		lines <- s.Text()
	}
}
