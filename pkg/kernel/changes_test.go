package kernel

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// One socket hears what changes in a namespace that had no number before, and the number tells which it is.
func TestChanges(t *testing.T) {
	changes, err := WatchChanges()
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := OpenNumbers()
	if err != nil {
		t.Fatal(err)
	}
	defer numbers.Close()
	a, b := newNetns(t, "link add net1 type veth peer name wire", "link set dev wire up"), newNetns(t)
	ids := map[string]int{}
	for name, ns := range map[string]*testNS{"a": a, "b": b} {
		id, err := numbers.Of(ns.path)
		if err != nil || id < 0 {
			t.Fatalf("the number of %s is %d, %v", name, id, err)
		}
		again, err := numbers.Of(ns.path)
		if err != nil || again != id {
			t.Errorf("the number of %s is %d at first and %d then, %v", name, id, again, err)
		}
		ids[name] = id
	}
	if ids["a"] == ids["b"] {
		t.Fatal("two namespaces have one number")
	}
	for _, step := range []struct {
		do   string
		want func(Change) bool
	}{
		{"link set dev net1 up", func(c Change) bool { return c.Link > 1 && c.Running }},
		{"rule add from 10.9.9.9 lookup 999", func(c Change) bool { return c.Link == 0 }},
		{"route add 10.8.0.0/16 dev net1", func(c Change) bool { return c.Link == 0 }},
		{"address add 10.7.0.1/32 dev net1", func(c Change) bool { return c.Link == 0 }},
		{"link set dev net1 down", func(c Change) bool { return c.Link > 1 && !c.Running }},
		{"link del dev net1", func(c Change) bool { return c.Link > 1 && !c.Running }},
	} {
		a.ip(t, step.do)
		until(t, changes, step.do, func(c Change) bool { return c.Namespace == ids["a"] && step.want(c) })
	}
	a.ip(t, "link add net2 type bridge")
	until(t, changes, "a link in a", func(c Change) bool { return c.Namespace == ids["a"] })
	a.set(t, 2, "ipv4/conf/net2/rp_filter")
	until(t, changes, "rp_filter", func(c Change) bool { return c.Namespace == ids["a"] && c.Link == 0 })

	ended := make(chan error)
	go func() {
		for {
			if _, err := changes.Next(); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := changes.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next ends by %v, want os.ErrClosed", err)
	}
}

// until reads changes until one is the wanted.
func until(t *testing.T, changes *Changes, what string, is func(Change) bool) {
	t.Helper()
	for {
		all, err := changes.Next()
		if err != nil {
			t.Fatalf("after %s: %v", what, err)
		}
		if slices.ContainsFunc(all, is) {
			return
		}
	}
}

func TestNumberOfNothing(t *testing.T) {
	numbers, err := OpenNumbers()
	if err != nil {
		t.Fatal(err)
	}
	defer numbers.Close()
	for _, path := range []string{"", "/run/netns/there-is-none", "/dev/null"} {
		if _, err := numbers.Of(path); !errors.Is(err, ErrGone) {
			t.Errorf("%q: %v, want %v", path, err, ErrGone)
		}
	}
}

// What is cut off or no message at all ends no agent.
func FuzzDecodeChanges(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, []byte{})
	f.Fuzz(func(_ *testing.T, messages, control []byte) {
		decodeChanges(messages, number(control))
	})
}
