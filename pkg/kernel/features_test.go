package kernel

import (
	"testing"

	"github.com/symroute/symroute/pkg/fib"
)

// The kernels of the tests have all of it, but 5.10, which has no cookies.
func TestFeatures(t *testing.T) {
	for _, family := range []fib.Family{fib.V4, fib.V6} {
		if err := HasRules(family); err != nil {
			t.Errorf("%v: %v", family, err)
		}
	}
	has, err := HasCookies()
	if err != nil {
		t.Fatal(err)
	}
	n := newNetns(t).enter(t)
	identity, err := n.Identity("c1")
	if err != nil {
		t.Fatal(err)
	}
	if _, inode := Ambiguous(identity); inode == has {
		t.Errorf("HasCookies says %v, and a namespace is called %s", has, identity)
	}
}
