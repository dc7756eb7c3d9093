package main

import (
	"strings"
	"testing"
	"time"
)

// Somebody at a terminal is told after a second how far it is, a few times each second, and at the end.
func TestProgress(t *testing.T) {
	var said strings.Builder
	start := time.Now()
	now := start
	p := &progress{w: &said, what: "checked", all: 800, start: start, now: func() time.Time { return now }}
	for _, step := range []struct {
		at   time.Duration
		done int
	}{{100 * time.Millisecond, 40}, {999 * time.Millisecond, 100}, {1001 * time.Millisecond, 120}, {1100 * time.Millisecond, 140}, {1300 * time.Millisecond, 160}, {1310 * time.Millisecond, 800}} {
		now = start.Add(step.at)
		p.report(step.done)
	}
	p.end()
	if want := "\rchecked 120 of 800\rchecked 160 of 800\rchecked 800 of 800\r\x1b[K"; said.String() != want {
		t.Errorf("got %q, want %q", said.String(), want)
	}
	said.Reset()
	quick := &progress{w: &said, what: "checked", all: 1, start: start, now: func() time.Time { return start }}
	quick.report(1)
	quick.end()
	nobody := &progress{all: 1, start: start.Add(-time.Hour), now: time.Now}
	nobody.report(1)
	nobody.end()
	if said.Len() > 0 {
		t.Errorf("got %q, want nothing", said.String())
	}
}
