package e2e

import (
	"flag"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// faultsAll asks for the long forms of the tests that inject faults: every fault at
// every place, instead of a choice that is spread over all of them.
var faultsAll = flag.Bool("faults.all", false, "inject every fault at every place, and walk all walks (many minutes)")

// faultCase is a run of the executable that shall survive every fault.
type faultCase struct {
	name string
	make func(t *testing.T) (*bench, attachment)
	// before, where set, are the keys of an ADD that came before: the one with the
	// faults changes the attachment that is there.
	before netlab.Object
	// verbs are those that get the faults.
	verbs []string
	// killed says that the short form kills at every place, too.
	killed bool
}

var (
	addAndDel  = []string{"ADD", "DEL"}
	faultCases = []faultCase{
		{
			name: "IPv4", verbs: addAndDel,
			make: func(t *testing.T) (*bench, attachment) {
				t.Helper()
				b := newBench(t, eth0.only(0), net1.only(0))
				return b, b.attach(net1.only(0), nil)
			},
		},
		{
			name: "dual stack", verbs: addAndDel,
			make: func(t *testing.T) (*bench, attachment) {
				t.Helper()
				b := newBench(t, eth0, net1)
				return b, b.attach(net1, netlab.Object{"viaMain": []string{"10.96.0.0/12"}})
			},
		},
		{
			name: "strict, all lowered", verbs: addAndDel,
			make: func(t *testing.T) (*bench, attachment) {
				t.Helper()
				b := newBench(t, eth0, net1.withoutDefaults())
				b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
				return b, b.attach(net1.withoutDefaults(), netlab.Object{"rpFilter": "strict"})
			},
		},
		{name: "strict, default taken, ARP isolated", verbs: addAndDel, make: faultBench, killed: true},
		{
			name: "a changed attachment", verbs: []string{"ADD"}, make: faultBench,
			before: netlab.Object{
				"rpFilter": "loose", "mainDefault": "yield", "arp": "keep", "sources": []string{"203.0.113.200"}, "table": 8000,
			},
		},
		{
			name: "real server, dr", verbs: addAndDel,
			make: func(t *testing.T) (*bench, attachment) { t.Helper(); return lvsFaultBench(t, "dr") },
		},
		{
			name: "real server, tunnel", verbs: addAndDel,
			make: func(t *testing.T) (*bench, attachment) { t.Helper(); return lvsFaultBench(t, "tunnel") },
		},
	}
)

// only is the NIC with one of its addresses.
func (n nic) only(i int) nic {
	n.addresses, n.gateways = n.addresses[i:i+1], n.gateways[i:i+1]
	return n
}

// faultBench is a pod for which ADD has many different things to do.
func faultBench(t *testing.T) (*bench, attachment) {
	t.Helper()
	b := newBench(t, eth0, net1)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	return b, b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": "take", "arp": "isolate"})
}

// lvsFaultBench is a pod with a real server to be. Its strict mode lowers that of all.
func lvsFaultBench(t *testing.T, mode string) (*bench, attachment) {
	t.Helper()
	b := lvsBench(t, mode)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	return b, b.attach(net1.withoutDefaults(), lvsKeys(mode, netlab.Object{"rpFilter": "strict"}))
}

// TestFaults lets the system calls of ADD and DEL fail, one after the other and each
// in many ways, and kills the executable at each. After an error the pod is as it
// was; whatever happened, the next DEL leaves nothing, and so do the next ADD and
// its DEL.
//
// With -faults.all every place gets every fault. Otherwise it gets one, and the next
// place another. (With -short: a few places.)
func TestFaults(t *testing.T) {
	t.Parallel()
	figures := newFigures(t)
	for i, c := range faultCases {
		for _, verb := range c.verbs {
			t.Run(c.name+"/"+verb, func(t *testing.T) {
				t.Parallel()
				lab := newFaultLab(t, c, verb, figures)
				lab.tryEach(lab.places(), i)
			})
		}
	}
}

// TestFaultsWhileTakingBack lets ADD fail at its very end, where there is the most to
// take back, and then one system call of the way back, too: what ADD says of the pod
// is true, and DEL does the rest.
func TestFaultsWhileTakingBack(t *testing.T) {
	t.Parallel()
	figures := newFigures(t)
	for i, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lab := newFaultLab(t, c, "ADD", figures)
			end, wayBack := lab.wayBack()
			lab.tryEach(wayBack, i, end)
		})
	}
}
