package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestNotesOnNode: the node reaches the pod's eth0 from an address that main reaches by net1.
func TestNotesOnNode(t *testing.T) {
	const pod = `
		eth0
		10.244.0.5/24
		10.244.0.6/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64
		-4 route default via 10.244.0.1 dev eth0
		-6 route default via fe80::1 dev eth0`
	const told = "the node talks to 10.244.0.5 of eth0 from 10.20.30.9, and is answered by net1, which has that subnet; " +
		"where net1 does not reach the node (macvlan), probes fail: chain symroute to the network of eth0, too"
	a := attachment{prev: dualResult}
	for _, tc := range []struct {
		name         string
		pod          string // beside the above
		earlier      []attachment
		node4, node6 string // the node's addresses towards eth0; empty: none
		want         []string
	}{
		{name: "in net1's subnet", node4: "10.20.30.9", want: []string{told}},
		{
			name: "in both families", node4: "10.20.30.9", node6: "2001:db8:30::9",
			want: []string{told, strings.NewReplacer("10.244.0.5", "2001:db8:1::5", "10.20.30.9", "2001:db8:30::9").Replace(told)},
		},
		{name: "in eth0's", node4: "10.244.0.1", node6: "2001:db8:1::1"},
		{name: "beyond the gateway", node4: "192.0.2.9"},
		{name: "nowhere"},
		{name: "main has a closer way by eth0", pod: "-4 route 10.20.30.9 dev eth0", node4: "10.20.30.9"},
		{
			name: "eth0 has a source table", node4: "10.20.30.9",
			earlier: []attachment{{ifname: "eth0", prev: `{"ips": [{"address": "10.244.0.5/24"}, {"address": "10.244.0.6/24"}]}`}},
		},
		{name: "told before", earlier: []attachment{a}, node4: "10.20.30.9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := scenario{pod: pod + "\n" + tc.pod, earlier: tc.earlier}.start(t)
			in := p.input(a)
			asked := 0
			in.Node = func(to netip.Addr) netip.Addr {
				asked++
				text := tc.node4
				if to.Is6() {
					text = tc.node6
				}
				address, _ := netip.ParseAddr(text)
				return address
			}
			notes := slices.DeleteFunc(p.buildFrom(in).Notes, func(note string) bool { return !strings.Contains(note, "the node") })
			compare(t, "notes", tc.want, notes)
			if asked > 2 {
				t.Errorf("the node was asked %d times, want once for each family of eth0", asked)
			}
		})
	}
}
