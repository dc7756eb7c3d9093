package walk

import (
	"maps"
	"slices"
)

// Shrink makes a walk shorter as long as it still fails: it leaves out steps, many
// at first, then NICs, keys of configurations and what IPAM gave, until nothing
// more can go or it has tried often enough.
func Shrink(w Walk, tries int, fails func(Walk) bool) Walk {
	better := func(candidate Walk) bool {
		if tries <= 0 {
			return false
		}
		tries--
		return fails(candidate)
	}
	for before := -1; before != w.size() && tries > 0; {
		before = w.size()
		for _, reduce := range []func(Walk, func(Walk) bool) Walk{withoutSteps, withoutNICs, withoutKeys, withoutExtras} {
			w = reduce(w, better)
		}
	}
	return w
}

// size is what shrinking reduces.
func (w Walk) size() int {
	size := len(w.NICs) + len(w.Steps) + w.All + w.Default
	for _, n := range w.NICs {
		size += len(n.Addresses) + len(n.Routes) + len(n.Settings) + n.Metric + n.MTU
	}
	for _, s := range w.Steps {
		size += len(s.Config) + len(s.Lines)
		if s.Kill != nil {
			size++
		}
	}
	return size
}

func withoutSteps(w Walk, fails func(Walk) bool) Walk {
	for length := (len(w.Steps) + 1) / 2; length > 0; length /= 2 {
		for at := len(w.Steps) - length; at >= 0; at-- {
			if at+length > len(w.Steps) {
				continue
			}
			c := w.clone()
			c.Steps = slices.Delete(c.Steps, at, at+length)
			if fails(c) {
				w = c
			}
		}
	}
	return w
}

// withoutNICs leaves out NICs with all that happens to them.
func withoutNICs(w Walk, fails func(Walk) bool) Walk {
	for _, n := range w.NICs {
		c := w.clone()
		c.NICs = slices.DeleteFunc(c.NICs, func(o NIC) bool { return o.Name == n.Name })
		c.Steps = slices.DeleteFunc(c.Steps, func(s Step) bool { return s.NIC == n.Name })
		if fails(c) {
			w = c
		}
	}
	return w
}

// withoutKeys leaves out keys, kills, and some of what others do at once.
func withoutKeys(w Walk, fails func(Walk) bool) Walk {
	for i := range w.Steps {
		if w.Steps[i].Kill != nil {
			c := w.clone()
			c.Steps[i].Kill = nil
			if fails(c) {
				w = c
			}
		}
		for _, key := range slices.Sorted(maps.Keys(w.Steps[i].Config)) {
			c := w.clone()
			delete(c.Steps[i].Config, key)
			if fails(c) {
				w = c
			}
		}
		for j := len(w.Steps[i].Lines) - 1; j >= 0 && len(w.Steps[i].Lines) > 1; j-- {
			c := w.clone()
			c.Steps[i].Lines = slices.Delete(c.Steps[i].Lines, j, j+1)
			if fails(c) {
				w = c
			}
		}
	}
	return w
}

// withoutExtras makes the pod simpler: fewer addresses, routes and settings.
func withoutExtras(w Walk, fails func(Walk) bool) Walk {
	attempt := func(change func(*Walk)) {
		c := w.clone()
		change(&c)
		if c.size() < w.size() && fails(c) {
			w = c
		}
	}
	for i := range w.NICs {
		attempt(func(c *Walk) { c.NICs[i].Routes = nil })
		attempt(func(c *Walk) { c.NICs[i].Settings = nil })
		attempt(func(c *Walk) { c.NICs[i].Metric = 0 })
		attempt(func(c *Walk) { c.NICs[i].MTU = 0 })
		for j := len(w.NICs[i].Addresses) - 1; j >= 0 && len(w.NICs[i].Addresses) > 1; j-- {
			attempt(func(c *Walk) { c.NICs[i].Addresses = slices.Delete(slices.Clone(c.NICs[i].Addresses), j, j+1) })
		}
	}
	attempt(func(c *Walk) { c.All = 0 })
	attempt(func(c *Walk) { c.Default = 0 })
	return w
}
