package fib

import (
	"encoding/json"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpaque(t *testing.T) {
	given := map[string]Opaque{"a": "\x00\xff", "b": ""}
	text, err := json.Marshal(given)
	if want := `{"a":"00ff","b":""}`; err != nil || string(text) != want {
		t.Errorf("got %s (%v), want %s", text, err, want)
	}
	var again map[string]Opaque
	if err := json.Unmarshal(text, &again); err != nil || again["a"] != given["a"] {
		t.Errorf("read as %q (%v)", again, err)
	}
}

// What is asked about to see where the default leads must not be on a link by itself.
func TestOffLink(t *testing.T) {
	for _, f := range Families() {
		all := OffLink(f)
		for _, a := range all {
			if FamilyOf(a) != f || !a.IsGlobalUnicast() || a.IsPrivate() {
				t.Errorf("%s: %s", f, a)
			}
		}
		if len(all) < 3 {
			t.Errorf("%s: %d are few", f, len(all))
		}
	}
}

func TestSnapshotLists(t *testing.T) {
	route := func(table uint32, dst string, index int) Route {
		p := prefix(dst)
		return Route{Family: FamilyOf(p.Addr()), Dst: p, Table: table, Type: unix.RTN_UNICAST, Hops: []Hop{{Index: index}}}
	}
	s := &Snapshot{
		Links:     []Link{{Index: 1, Name: "lo"}, {Index: 5, Name: "net1", Settings: Settings{RPFilter: 1}}},
		Addresses: []Address{{Index: 5, Prefix: prefix("192.0.2.7/24")}},
		Routes:    []Route{route(254, "0.0.0.0/0", 5), route(254, "10.0.0.0/8", 5), route(7300, "0.0.0.0/0", 9), route(254, "::/0", 5)},
		All:       Settings{RPFilter: 2},
	}
	if l, ok := s.LinkAt(5); !ok || l.Name != "net1" || s.EffectiveRPFilter(l) != 2 {
		t.Errorf("link 5 is %+v, %t", l, ok)
	}
	if _, ok := s.Link("net2"); ok {
		t.Error("there is a net2")
	}
	if got := s.LinkNames(); got != "lo, net1" {
		t.Errorf("links are %s", got)
	}
	if a, ok := s.Address(addr("192.0.2.7")); !ok || a.Index != 5 {
		t.Errorf("the address is %+v, %t", a, ok)
	}
	if got := len(s.Table(254)); got != 3 {
		t.Errorf("main has %d routes, want 3", got)
	}
	if got := len(s.Defaults(254)); got != 2 {
		t.Errorf("main has %d defaults, want 2", got)
	}
	s.NameHops(s.Routes)
	if first, other := s.Routes[0].Hops[0].Dev, s.Routes[2].Hops[0].Dev; first != "net1" || other != "" {
		t.Errorf("hops are by %q and %q", first, other)
	}
}
