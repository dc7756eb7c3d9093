package view

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/node"
)

// keysOf are all keys of a value of JSON, with where they are.
func keysOf(value any, path string, keys map[string]bool) {
	switch x := value.(type) {
	case map[string]any:
		for key, v := range x {
			keys[path+key] = true
			keysOf(v, path+key+".", keys)
		}
	case []any:
		for _, v := range x {
			keysOf(v, path, keys)
		}
	}
}

// TestKeys holds the keys of the JSON: programs go by them. Keys are added, and never change or go.
func TestKeys(t *testing.T) {
	full := Pod{
		Container: "x",
		NICs: []NIC{{
			Kind: "veth", Idle: "no carrier", Network: "a", MainDefault: "yield",
			Addresses: []Address{{Tentative: true, Deprecated: true}}, Sources: []Source{{Gateways: []string{"a"}}},
		}},
		Defaults: []Default{{}}, Rules: []Rule{{}}, Tables: []Table{{}}, VIPs: []VIP{{}},
	}
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	keysOf(value, "", keys)
	var got []string
	for key := range keys {
		got = append(got, key)
	}
	slices.Sort(got)
	want := strings.Fields(`container defaults defaults.family defaults.next defaults.owners name netns nics nics.addresses
		nics.addresses.deprecated nics.addresses.prefix nics.addresses.tentative nics.idle nics.index nics.kind nics.mainDefault
		nics.mtu nics.name nics.network nics.rpFilter nics.rpFilter.by nics.rpFilter.mode nics.sources nics.sources.gateways
		nics.sources.source nics.sources.table nics.up rules rules.family rules.role rules.rule tables tables.name tables.routes
		vips vips.address vips.device`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestListsAreLists: in JSON an empty list is one, and not null.
func TestListsAreLists(t *testing.T) {
	text, err := json.Marshal(of(&fib.Snapshot{Links: []fib.Link{{Index: 2, Name: "eth0"}}}, node.Pod{}))
	if err != nil || strings.Contains(string(text), "null") {
		t.Errorf("%s %v", text, err)
	}
}

// TestRoles has the rules of a pod with symroute, and those of others.
func TestRoles(t *testing.T) {
	source := netip.MustParsePrefix("203.0.113.144/32")
	ours := func(r fib.Rule) fib.Rule {
		r.Family, r.Protocol = fib.V4, 73
		return r
	}
	for want, r := range map[string]fib.Rule{
		"decision": ours(fib.Rule{Priority: 32765, From: source, Action: fib.Goto, Target: 40000}),
		"anchor":   ours(fib.Rule{Priority: 40000, Action: fib.Nop}),
		"source":   ours(fib.Rule{Priority: 40012, From: source, Action: fib.Lookup, Table: 7300}),
		"via main": ours(fib.Rule{Priority: 40011, From: source, Action: fib.Lookup, Table: 254}),
		"refusal":  ours(fib.Rule{Priority: 40015, From: source, Action: fib.Unreachable}),
		"bound":    ours(fib.Rule{Priority: 49000, OIF: "net1", Action: fib.Lookup, Table: 7300}),
		"guard":    ours(fib.Rule{Priority: 49998, From: source, Action: fib.Unreachable}),
		"fallback": ours(fib.Rule{Priority: 49999, Action: fib.Lookup, Table: 7300}),
		"kernel":   {Family: fib.V4, Priority: 32766, Action: fib.Lookup, Table: 254, Protocol: 2},
		"foreign":  {Family: fib.V4, Priority: 100, Action: fib.Lookup, Table: 99},
	} {
		if got := roleOf(r); got != want {
			t.Errorf("%v is %q, want %q", r, got, want)
		}
	}
}
