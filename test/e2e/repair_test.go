package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestLostRulesOfANamedTable: all rules of an attachment are gone, its routes and its record are
// there. CHECK says what is missing, ADD repairs it in the table that it has.
func TestLostRulesOfANamedTable(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]netlab.Object{"named": {"table": 100}, "found": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			a := b.attach(net1, keys)
			a.must(t, "ADD")
			whole := b.pod.NS.Snapshot(t).Sorted()
			for range 2 { // a table that drifts does so each time
				flushOwnRules(t, b)
				if failure := a.run(t, "CHECK").Failed(t); failure == nil || failure.Code != 102 {
					t.Errorf("CHECK without rules says %v, want code 102", failure)
				}
				a.must(t, "ADD")
				a.must(t, "CHECK")
				assertSame(t, "ADD did not bring back the rules", whole, b.pod.NS.Snapshot(t).Sorted())
			}
		})
	}
}

// TestLostRulesAndRecord: with rules and record both gone, ADD and DEL know the routes by their
// protocol and NIC.
func TestLostRulesAndRecord(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"ADD", "DEL"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1.withoutDefaults())
			before := rulesAndRoutes(t, b)
			a := b.attach(net1.withoutDefaults(), netlab.Object{"table": 100})
			a.must(t, "ADD")
			whole := b.pod.NS.Snapshot(t).Sorted()
			flushOwnRules(t, b)
			if err := os.RemoveAll(b.dataDir); err != nil {
				t.Fatal(err)
			}
			if verb == "ADD" {
				a.must(t, "ADD")
				a.must(t, "CHECK")
				assertSame(t, "ADD did not bring back the rules", whole, b.pod.NS.Snapshot(t).Sorted())
			}
			a.must(t, "DEL")
			if diff := cmp.Diff(before, rulesAndRoutes(t, b)); diff != "" {
				t.Errorf("rules and routes are not those before ADD (-before +after):\n%s", diff)
			}
		})
	}
}

// rulesAndRoutes are those of the pod, without its settings.
func rulesAndRoutes(t *testing.T, b *bench) string {
	t.Helper()
	var out string
	for _, family := range families {
		out += b.pod.NS.IP(t, family, "rule") + b.pod.NS.IP(t, family, "route", "show", "table", "all", "type", "unicast")
	}
	return out
}

// flushOwnRules deletes all rules of our protocol.
func flushOwnRules(t *testing.T, b *bench) {
	t.Helper()
	for _, family := range families {
		for line := range strings.Lines(b.pod.NS.IP(t, family, "rule")) {
			if words := strings.Fields(line); strings.Contains(line, "proto 73") {
				b.pod.NS.IP(t, append([]string{family, "rule", "del", "priority", strings.TrimSuffix(words[0], ":")}, words[1:]...)...)
			}
		}
	}
}

// TestDisplacedWithRulesOfItsOwn: the NIC that another attachment displaced has prefixes that go
// by main and refusals. A changed ADD of its own attachment succeeds, and its DEL takes them.
func TestDisplacedWithRulesOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	before := b.pod.NS.Snapshot(t).Sorted()
	displaced := b.attach(eth0, netlab.Object{"viaMain": []string{"10.96.0.0/12"}})
	displaced.must(t, "ADD")
	taker := b.attach(net1, netlab.Object{"mainDefault": "take"})
	taker.must(t, "ADD")
	for _, prefixes := range [][]string{{"10.96.0.0/12", "10.112.0.0/12"}, {"10.112.0.0/12"}, {}} {
		displaced = displaced.with("viaMain", prefixes)
		displaced.must(t, "ADD")
		displaced.must(t, "CHECK")
		taker.must(t, "CHECK")
		rules := b.pod.NS.IP(t, "-4", "rule")
		for _, prefix := range []string{"10.96.0.0/12", "10.112.0.0/12"} {
			if has, want := strings.Contains(rules, "to "+prefix), strings.Contains(fmt.Sprint(prefixes), prefix); has != want {
				t.Errorf("with viaMain %v a rule for %s: %t\n%s", prefixes, prefix, has, rules)
			}
		}
	}
	displaced.with("viaMain", []string{"10.96.0.0/12"}).must(t, "ADD")
	displaced.must(t, "DEL")
	if rules := b.pod.NS.IP(t, "-4", "rule"); strings.Contains(rules, "10.96.0.0/12") {
		t.Errorf("DEL left a rule of viaMain:\n%s", rules)
	}
	taker.must(t, "CHECK")
	taker.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t).Sorted())
	assertNoFiles(t, b.dataDir)
}

// TestRenamedNetwork: the conflist was renamed between ADD and DEL. The attachment is the
// container's interface: it goes, with a note.
func TestRenamedNetwork(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	before := b.pod.NS.Snapshot(t).Sorted()
	a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
	a.must(t, "ADD")
	call := a.with("name", "new-name").must(t, "DEL")
	if note := string(call.Stderr); !strings.Contains(note, "net-of-net1") || !strings.Contains(note, "new-name") {
		t.Errorf("DEL does not say which network's attachment it removes: %q", note)
	}
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t).Sorted())
	assertNoFiles(t, b.dataDir)
}

// TestDelOfAnotherContainer: the interface belongs to another container by now. DEL says so
// and leaves it.
func TestDelOfAnotherContainer(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	whole := b.pod.NS.Snapshot(t).Sorted()
	late := a
	late.containerID = "earlier"
	call := late.must(t, "DEL")
	if note := string(call.Stderr); !strings.Contains(note, a.containerID) {
		t.Errorf("DEL does not say whose the interface is: %q", note)
	}
	assertSame(t, "a late DEL changed the pod", whole, b.pod.NS.Snapshot(t).Sorted())
	a.must(t, "CHECK")
	a.must(t, "DEL")
}

// TestLastTable: no number comes behind the largest.
func TestLastTable(t *testing.T) {
	t.Parallel()
	two := net1
	two.addresses = append([]string{"198.18.7.144/24"}, two.addresses...)
	two.gateways = append([]string{"198.18.7.1"}, two.gateways...)
	b := newBench(t, eth0, two)
	a := b.attach(two, netlab.Object{"table": 4294967295})
	failure := a.fails(t, "ADD", "table", "leaves no room")
	if failure.Code != 7 {
		t.Errorf("code %d, want 7", failure.Code)
	}
	a.with("table", 4294967294).must(t, "ADD")
	a.with("table", 4294967294).must(t, "CHECK")
	a.must(t, "DEL")
}

// TestFullDataDir: where a repeated ADD finds no room for its record, nothing is done, and
// nothing has to be taken back.
func TestFullDataDir(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	if err := os.Mkdir(b.dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", b.dataDir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(b.dataDir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	filler := filepath.Join(b.dataDir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the directory is not full: %v", err)
	}
	failure := a.with("viaMain", []string{"10.96.0.0/12"}).fails(t, "ADD", "no space left")
	if strings.Contains(failure.Msg, "could not be taken back") {
		t.Errorf("nothing was done, and the message says: %s", failure.Msg)
	}
	a.must(t, "CHECK")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	a.must(t, "DEL")
	assertNoFiles(t, b.dataDir)
}
