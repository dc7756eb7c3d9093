package bench

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// measurement is what one run of a process took.
type measurement struct {
	wall   time.Duration // from before it exists until it is gone
	cpu    time.Duration // user and system
	faults int           // page faults
	peak   int           // KiB of memory
}

// measure runs a plugin by testdata/launch.c.
func measure(t testing.TB, launch string, c call) measurement {
	t.Helper()
	report := c.must(t, launch).report
	var m measurement
	var wall, cpu int64
	if _, err := fmt.Fscan(bytes.NewReader(report), &wall, &cpu, &m.faults, &m.peak); err != nil {
		t.Fatalf("%s reports %q: %v", launch, report, err)
	}
	m.wall, m.cpu = time.Duration(wall)*time.Nanosecond, time.Duration(cpu)*time.Microsecond
	return m
}

// and is one process after the other.
func (m measurement) and(next measurement) measurement {
	return measurement{
		wall:   m.wall + next.wall,
		cpu:    m.cpu + next.cpu,
		faults: m.faults + next.faults,
		peak:   max(m.peak, next.peak),
	}
}

// samples are the measurements of one command of one contestant.
type samples []measurement

// quantity is one number of a measurement.
type quantity func(measurement) float64

func wall(m measurement) float64   { return m.wall.Seconds() * 1000 }
func cpu(m measurement) float64    { return m.cpu.Seconds() * 1000 }
func faults(m measurement) float64 { return float64(m.faults) }
func peak(m measurement) float64   { return float64(m.peak) }

func (s samples) median(of quantity) float64 { return s.quartile(2, of) }

func (s samples) quartile(number int, of quantity) float64 {
	var values []float64
	for _, m := range s {
		values = append(values, of(m))
	}
	return quartile(number, values)
}

// quartile is the first, the second (the median) or the third of some values.
func quartile(number int, values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)*number/4]
}
