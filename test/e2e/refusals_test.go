package e2e

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestRefusalsOfMain has a pod whose init container closed one remote in main, in each way that
// there is. Nothing goes there from the address of a NIC either, and the other remotes answer.
func TestRefusalsOfMain(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"blackhole", "unreachable", "prohibit", "throw"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			s.allowOutgoing(t)
			pod := netlab.NewPod(t)
			s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
			list := s.chained(providerB, netlab.Object{"rpFilter": "strict"})
			before := pod.NS.Snapshot(t)
			s.runtime.MustAdd(t, list, pod, "net1")
			for _, to := range clients { // so that it is no other thing that refuses
				if _, err := (netlab.Client{NS: pod.NS, Source: providerB.pod(to)}).Talk(s.client.Echo(t, addrPort(to))); err != nil {
					t.Fatal(err)
				}
			}
			s.runtime.MustDel(t, list, pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))

			for _, to := range clients {
				pod.NS.IP(t, "route", "add", kind, to.String())
			}
			before = pod.NS.Snapshot(t)
			s.runtime.MustAdd(t, list, pod, "net1")
			s.runtime.MustCheck(t, list, pod, "net1")
			capture := pod.NS.Capture(t, "net1")
			for _, to := range clients {
				server := s.client.Echo(t, addrPort(to))
				for _, local := range []provider{providerA, providerB} {
					if _, err := (netlab.Client{NS: pod.NS, Source: local.pod(to)}).Talk(server); err == nil {
						t.Errorf("%v answers %v, though main has a %s route to it", to, local.pod(to), kind)
					}
				}
				packets := capture.Matching(t, func(packet netlab.Packet) bool { return packet.Dst.Addr() == to })
				if len(packets) > 0 {
					t.Errorf("packets to %v, which main refuses, on net1:\n%s", to, netlab.List(packets))
				}
			}
			for _, gateway := range []string{"10.255.1.2", "2001:db8:ff:1::2"} { // another remote
				server := s.client.Echo(t, addrPort(netip.MustParseAddr(gateway)))
				if _, err := (netlab.Client{NS: pod.NS, Source: providerB.pod(server.Addr())}).Talk(server); err != nil {
					t.Errorf("beside what main refuses: %v", err)
				}
			}
			s.runtime.MustDel(t, list, pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
			assertNoFiles(t, s.dataDir)
		})
	}
}

// TestRefusalsOfMainChange has refusals that come to main after ADD, and go: CHECK tells, and ADD
// again follows. A refusal of everything, and what the kernel made, are none that a source has.
func TestRefusalsOfMainChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t, "route add blackhole default metric 5000", "-6 route add unreachable default metric 5000")
	before := b.pod.NS.Snapshot(t)
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	if table := b.pod.NS.IP(t, "-4", "route", "show", "table", "7300"); strings.Contains(table, "blackhole") {
		t.Errorf("the source table has what main does with the rest:\n%s", table)
	}
	added := b.pod.NS.Snapshot(t)
	refusals := []string{"blackhole 169.254.169.254", "unreachable 10.0.0.0/8", "-6 prohibit 2001:db8:7::/48"}
	change := func(verb string) {
		for _, r := range refusals {
			family, route := "-4", r
			if rest, ok := strings.CutPrefix(r, "-6 "); ok {
				family, route = "-6", rest
			}
			b.pod.NS.IP(t, append([]string{family, "route", verb}, strings.Fields(route)...)...)
		}
	}
	change("add")
	assertCode(t, a.fails(t, "CHECK", "blackhole 169.254.169.254", "unreachable 10.0.0.0/8", "prohibit 2001:db8:7::/48", "by what main has now"), codeMissing)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	for _, remote := range []string{"169.254.169.254", "10.1.2.3"} {
		if answer, err := b.pod.NS.Command("", "ip", "route", "get", remote, "from", providerB.pod4.String()); err == nil {
			t.Errorf("main refuses %s, and not from net1's address: %s", remote, answer)
		}
	}
	change("del")
	assertCode(t, a.fails(t, "CHECK", "main has lost its ground", "blackhole 169.254.169.254"), codeMissing)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	assertSame(t, "what came and went left something", added, b.pod.NS.Snapshot(t))
	change("add")
	a.must(t, "ADD")
	change("del")
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir)
}

// TestRefusalsOfMainWithoutNIC has a NIC that goes before DEL. Its routes go with it; those that
// refuse have no device that could take them along.
func TestRefusalsOfMainWithoutNIC(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t, "route add blackhole 169.254.169.254", "-6 route add unreachable 2001:db8:7::/48")
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	b.pod.NS.IP(t, "link", "del", "net1")
	a.must(t, "DEL")
	assertNothingOfOurs(t, b.pod.NS)
	assertNoFiles(t, b.dataDir)
}

// TestRefusalsOfMainLost has an ADD whose record and rules are lost: its table is known by its
// routes, those that refuse among them, and goes with DEL.
func TestRefusalsOfMainLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t, "route add blackhole 169.254.169.254", "-6 route add unreachable 2001:db8:7::/48")
	a := b.attach(net1, netlab.Object{"table": 100, "mainDefault": "keep"})
	routing := func() netlab.Snapshot { // settings stay as they are where the record is lost
		return b.pod.NS.Snapshot(t).Without(func(line string) bool { return strings.HasPrefix(line, "net/") })
	}
	before := routing()
	a.must(t, "ADD")
	added := routing()
	succeed(t, os.RemoveAll(b.dataDir))
	for _, family := range families {
		b.pod.NS.IP(t, family, "rule", "flush", "protocol", "73")
	}
	a.must(t, "ADD")
	assertSame(t, "ADD after the loss made something else", added, routing())
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, routing())
}
