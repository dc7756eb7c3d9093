package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestCheckFinds breaks routing in one way after the other. CHECK names the
// break, and changes nothing.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		keys   netlab.Object
		damage []string // ip commands
		sysctl string
		down   bool // link down and up
		words  []string
	}{
		{
			name:   "a deleted source rule",
			damage: []string{"rule del from 203.0.113.144 lookup 7300 protocol 73"},
			words:  []string{"203.0.113.144"},
		},
		{
			name:   "a deleted decision",
			damage: []string{"rule del from 203.0.113.144 goto 40000 protocol 73"},
			words:  []string{"from 203.0.113.144 goto 40000"},
		},
		{
			name:   "a deleted decision about the device",
			damage: []string{"-6 rule del oif net1 goto 40000 protocol 73"},
			words:  []string{"oif net1 goto 40000"},
		},
		{
			name:   "a deleted anchor, without which no decision is carried out",
			damage: []string{"rule del nop protocol 73"},
			words:  []string{"40000", "nop", "203.0.113.144"},
		},
		{
			name:   "a deleted fallback",
			damage: []string{"rule del from all lookup 7300 priority 49999 protocol 73"},
			words:  []string{"from all lookup 7300"},
		},
		{
			name:   "a deleted way of the device's by main",
			damage: []string{"rule del oif net1 lookup main protocol 73"},
			words:  []string{"oif net1 lookup main"},
		},
		{
			name:   "a deleted IPv6 source rule",
			damage: []string{"-6 rule del from 2001:db8:b::144 lookup 7300 protocol 73"},
			words:  []string{"2001:db8:b::144"},
		},
		{
			name:   "a deleted device rule",
			damage: []string{"rule del oif net1 lookup 7300 protocol 73"},
			words:  []string{"oif net1"},
		},
		{
			name:   "a deleted refusal",
			damage: []string{"rule del from 203.0.113.144 unreachable protocol 73"},
			words:  []string{"203.0.113.144", "unreachable"},
		},
		{
			name:   "a deleted viaMain rule",
			keys:   netlab.Object{"viaMain": []string{"10.96.0.0/12"}},
			damage: []string{"rule del from 203.0.113.144 to 10.96.0.0/12 lookup main protocol 73"},
			words:  []string{"10.96.0.0/12"},
		},
		{
			name:   "a deleted default route",
			damage: []string{"route del default table 7300"},
			words:  []string{"7300", "203.0.113.1"},
		},
		{
			name:   "a deleted connected route",
			damage: []string{"route del 203.0.113.0/24 table 7300"},
			words:  []string{"203.0.113.0/24", "7300"},
		},
		{
			name:   "a deleted IPv6 default route",
			damage: []string{"-6 route del default table 7300"},
			words:  []string{"7300", "2001:db8:b::1"},
		},
		{
			name:   "a changed gateway",
			damage: []string{"route replace default via 203.0.113.254 dev net1 table 7300 protocol 73"},
			words:  []string{"203.0.113.1", "203.0.113.254"},
		},
		{
			name:   "a changed IPv6 gateway",
			damage: []string{"-6 route del default table 7300", "-6 route add default via 2001:db8:b::fe dev net1 table 7300 protocol 73"},
			words:  []string{"2001:db8:b::1", "2001:db8:b::fe"},
		},
		{
			name:   "a gateway on another NIC",
			damage: []string{"route replace default via 198.51.100.1 dev eth0 table 7300 protocol 73"},
			words:  []string{"198.51.100.1", "eth0"},
		},
		{
			name:   "a foreign rule ahead of ours",
			damage: []string{"rule add from 203.0.113.144 lookup main priority 100"},
			words:  []string{"203.0.113.144", "100"},
		},
		{
			name:   "a foreign IPv6 rule ahead of ours",
			damage: []string{"-6 rule add from 2001:db8:b::/64 lookup main priority 100"},
			words:  []string{"2001:db8:b::", "100"},
		},
		{
			name:   "a foreign rule with our priority ahead of ours",
			damage: []string{"rule add from all to 192.0.2.0/24 lookup main priority 32762"},
			keys:   netlab.Object{"checkDestinations": []string{"192.0.2.7"}},
			words:  []string{"192.0.2.7"},
		},
		{
			name:   "a foreign rule in the block ahead of ours",
			damage: []string{"rule add from all lookup main priority 40001"},
			words:  []string{"203.0.113.144", "40001"},
		},
		{
			name:   "a twin of our rule under another protocol",
			damage: []string{"rule add from 203.0.113.144 lookup 7300 priority 40012"},
			words:  []string{"203.0.113.144", "twin"},
		},
		{
			name:   "a twin of our decision under another protocol",
			damage: []string{"rule add from 203.0.113.144 goto 40000 priority 32765"},
			words:  []string{"203.0.113.144", "twin"},
		},
		{
			name: "our decision in our name, and to another place",
			damage: []string{
				"rule del from 203.0.113.144 goto 40000 protocol 73",
				"rule add from 203.0.113.144 goto 49000 priority 32765 protocol 73",
			},
			words: []string{"203.0.113.144", "goto 40000"},
		},
		{
			name:   "addresses that go with the link",
			sysctl: "net/ipv6/conf/net1/keep_addr_on_down=0",
			words:  []string{"keep_addr_on_down", "net1"},
		},
		{
			name:   "strict mode set by hand",
			sysctl: "net/ipv4/conf/net1/rp_filter=1",
			words:  []string{"rp_filter", "net1"},
		},
		{
			name:   "strict mode lost",
			keys:   netlab.Object{"rpFilter": "strict"},
			sysctl: "net/ipv4/conf/net1/rp_filter=0",
			words:  []string{"rp_filter", "net1"},
		},
		{
			name:   "all raised over off",
			keys:   netlab.Object{"rpFilter": "off"},
			sysctl: "net/ipv4/conf/all/rp_filter=1",
			words:  []string{"rp_filter"},
		},
		{
			name:  "a table flushed by link down and up",
			down:  true,
			words: []string{"7300"},
		},
		{
			name:   "a flushed table",
			damage: []string{"route flush table 7300"},
			words:  []string{"7300"},
		},
		{
			name:   "a removed main default",
			damage: []string{"route del default via 198.51.100.1 dev eth0"},
			words:  []string{"default", "main"},
		},
		{
			name:   "a removed IPv6 main default",
			damage: []string{"-6 route del default via 2001:db8:a::1 dev eth0"},
			words:  []string{"default", "main"},
		},
		{
			name:   "local no longer first",
			damage: []string{"rule add lookup local priority 32765", "rule del priority 0"},
			words:  []string{"local"},
		},
		{
			name:   "another way for one destination only",
			keys:   netlab.Object{"checkDestinations": []string{"192.0.2.7"}},
			damage: []string{"route add 192.0.2.0/24 via 203.0.113.9 dev net1 table 7300"},
			words:  []string{"192.0.2.7", "203.0.113.9"},
		},
		{
			name:   "the NIC set down",
			damage: []string{"link set net1 down"},
			words:  []string{"net1"},
		},
		{
			name:   "the NIC's address removed",
			damage: []string{"addr del 203.0.113.144/24 dev net1"},
			words:  []string{"203.0.113.0/24"}, // what the kernel dropped with it
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			a := b.attach(net1, test.keys)
			a.must(t, "ADD")
			added := b.pod.NS.Snapshot(t)
			a.must(t, "CHECK")
			assertSame(t, "CHECK changed the pod", added, b.pod.NS.Snapshot(t))

			b.pod.NS.Batch(t, test.damage...)
			if test.sysctl != "" {
				b.pod.NS.SetSysctl(t, test.sysctl)
			}
			if test.down {
				bounce(t, b.pod.NS, "net1")
			}
			assertCode(t, a.fails(t, "CHECK", test.words...), append(deviations, codeState)...)
		})
	}

	t.Run("every deviation at once", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, netlab.Object{"arp": "isolate"})
		a.must(t, "ADD")
		b.pod.NS.Batch(t,
			"rule del from 203.0.113.144 lookup 7300 protocol 73",
			"-6 route del default table 7300")
		b.pod.NS.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=1", "net/ipv4/conf/net1/arp_announce=0")
		failure := a.fails(t, "CHECK", "203.0.113.144", "2001:db8:b::1", "rp_filter", "arp_announce")
		assertCode(t, failure, deviations...)
	})
	t.Run("through libcni", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, providerA, providerB)
		pod := netlab.NewPod(t)
		list := s.chained(providerB, nil)
		s.runtime.MustAdd(t, s.chained(providerA, nil), pod, "eth0")
		s.runtime.MustAdd(t, list, pod, "net1")
		s.runtime.MustCheck(t, list, pod, "net1")
		pod.NS.IP(t, "rule", "del", "from", providerB.pod4.String(), "unreachable", "protocol", "73")
		err := s.runtime.Check(list, pod, "net1")
		if err == nil || !strings.Contains(err.Error(), providerB.pod4.String()) {
			t.Errorf("CHECK says %v, want it to name %v", err, providerB.pod4)
		}
	})
	t.Run("what is none of its business", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		b.pod.NS.Batch(t,
			"rule add fwmark 7 lookup 555 priority 100",
			"rule add from 198.51.100.87 lookup main priority 101",
			"route add 10.0.0.0/8 via 198.51.100.9 dev eth0",
			"route add default via 198.51.100.9 dev eth0 table 555")
		b.pod.NS.SetSysctl(t, "net/ipv4/conf/eth0/rp_filter=1", "net/ipv4/conf/net1/arp_notify=1")
		a.must(t, "CHECK")
	})
	t.Run("an address that no source covers", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		b.pod.NS.IP(t, "addr", "add", "2001:db8:b::aaaa/64", "dev", "net1", "nodad")
		b.pod.NS.Settle(t, "net1")
		call := a.must(t, "CHECK")
		if !strings.Contains(string(call.Stderr), "2001:db8:b::aaaa") {
			t.Errorf("standard error does not warn of it: %q", call.Stderr)
		}
	})
	t.Run("a default that Multus moved", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		b.pod.NS.Batch(t,
			"route del default via 198.51.100.1 dev eth0",
			"route add default via 203.0.113.1 dev net1")
		a.must(t, "CHECK")
	})
	const unknown = "nothing is remembered of it: ADD again"
	t.Run("without ADD", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		assertCode(t, b.attach(net1, nil).fails(t, "CHECK", unknown), codeMissing)
	})
	t.Run("after DEL", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		a.must(t, "DEL")
		assertCode(t, a.fails(t, "CHECK", unknown), codeMissing)
	})
	t.Run("without the record", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		succeed(t, os.RemoveAll(b.dataDir))
		assertCode(t, a.fails(t, "CHECK", unknown), codeMissing)
		a.must(t, "ADD")
		a.must(t, "CHECK")
	})
	t.Run("an address of another NIC that came later", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		b.pod.NS.IP(t, "addr", "add", "198.51.100.99/24", "dev", "eth0")
		assertTells(t, a.must(t, "CHECK"), "198.51.100.99")
		a.must(t, "ADD") // after which nothing of it can leave by net1
		if call := a.must(t, "CHECK"); len(call.Stderr) > 0 {
			t.Errorf("CHECK says\n%s", call.Stderr)
		}
		b.pod.NS.IP(t, "route", "del", "default", "dev", "eth0")
		if _, err := b.pod.NS.Command("", "ip", "route", "get", client4.String(), "from", "198.51.100.99"); err == nil {
			t.Error("it leaves by net1 when main has no default")
		}
	})
}

// TestCheckProvesStrictMode lets something else open the door that strict mode
// closed: CHECK's questions find it, whatever the settings say.
func TestCheckProvesStrictMode(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	strict := netlab.Object{"rpFilter": "strict"}
	eth0, net1 := b.attach(eth0, strict), b.attach(net1, strict)
	eth0.must(t, "ADD")
	net1.must(t, "ADD")
	eth0.must(t, "CHECK")
	net1.must(t, "CHECK")
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=0", "net/ipv4/conf/all/rp_filter=0")
	assertCode(t, net1.fails(t, "CHECK", "net1"), deviations...)
}
