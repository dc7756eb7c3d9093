package e2e

import (
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// What random walks have found, made short.

// TestNICComesAgain attaches a NIC that went and came again under its name: it keeps its table,
// also one that the configuration names, which its own rules still use.
func TestNICComesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	a := b.attach(net1, netlab.Object{"table": 9015})
	a.must(t, "ADD")
	b.pod.NS.IP(t, "link", "del", "net1")
	b.plug(t, net1)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertNoFiles(t, b.dataDir)
}

// TestDefaultThatOneRecordKnows takes a default out of main that came after another attachment
// took main: it returns with the attachment that alone remembers it.
func TestDefaultThatOneRecordKnows(t *testing.T) {
	t.Parallel()
	b := newBench(t, net1)
	taker := b.attach(net1, netlab.Object{"mainDefault": "take"})
	taker.must(t, "ADD")
	b.plug(t, eth0.withoutDefaults())
	b.plug(t, net2.withoutDefaults())
	late := "default via " + net2.gateways[0] + " dev net2"
	b.pod.NS.IP(t, append([]string{"route", "append"}, append(strings.Fields(late), "metric", "100")...)...)
	other := b.attach(eth0.withoutDefaults(), nil)
	other.must(t, "ADD")
	other.must(t, "DEL")
	taker.must(t, "DEL")
	if main := b.pod.NS.IP(t, "-4", "route", "show", "default"); !strings.Contains(main, late) {
		t.Errorf("somebody else's default is lost; main has\n%s", main)
	}
	assertNoFiles(t, b.dataDir)
}

// TestDefaultMadeWhileAnotherHasMain lets an attachment that takes main be added again by another
// gateway while a later one has it: the default that it would have has its fallback, which the
// other's ADD leaves, and comes when the other leaves.
func TestDefaultMadeWhileAnotherHasMain(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0.withoutDefaults(), net1.withoutDefaults())
	first := b.attach(eth0.withoutDefaults(), netlab.Object{"mainDefault": "take"})
	second := b.attach(net1.withoutDefaults(), netlab.Object{"mainDefault": "take"})
	first.must(t, "ADD")
	second.must(t, "ADD")
	gateway := providerA.gateway4().Next().Next().String()
	first = b.attach(eth0.withoutDefaults(), netlab.Object{"mainDefault": "take", "gateways": []string{gateway}})
	first.must(t, "ADD")
	first.must(t, "CHECK")
	second.must(t, "ADD")
	first.must(t, "CHECK")
	second.must(t, "DEL")
	if main := b.pod.NS.IP(t, "-4", "route", "show", "default"); !strings.Contains(main, "default via "+gateway+" dev eth0") {
		t.Errorf("the default of the one that takes main is not there; main has\n%s", main)
	}
	first.must(t, "DEL")
	assertNoFiles(t, b.dataDir)
}
