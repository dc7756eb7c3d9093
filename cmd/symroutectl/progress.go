package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells somebody at a terminal how far a command is that takes long.
type progress struct {
	w     io.Writer // nil: nobody looks
	what  string
	all   int
	start time.Time
	last  time.Time
	now   func() time.Time
}

// How long somebody waits without a word, and how often they get one.
const (
	silence = time.Second
	pace    = 200 * time.Millisecond
)

// progress begins to count up to a number.
func (a *app) progress(what string, all int) *progress {
	p := &progress{what: what, all: all, start: time.Now(), now: time.Now}
	if isTerminal(a.err) {
		p.w = a.err
	}
	return p
}

// report is told how far it is.
func (p *progress) report(done int) {
	now := p.now()
	if p.w == nil || now.Sub(p.start) < silence || now.Sub(p.last) < pace && done < p.all {
		return
	}
	p.last = now
	fmt.Fprintf(p.w, "\r%s %d of %d", p.what, done, p.all)
}

// end clears the line for what follows (ECMA-48, EL).
func (p *progress) end() {
	if !p.last.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
