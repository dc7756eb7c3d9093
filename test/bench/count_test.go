package bench

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// counts are what one run does, as far as that is the same each time.
type counts struct {
	systemCalls map[string]int // beside those of an executable of Go that does nothing
	ofRuntime   int            // system calls of Go's runtime, which vary
	netlink     [][]byte       // datagrams sent, each of which is a round trip
	allocations int            // objects
	bytes       int            // allocated
}

// count counts what each command of a contestant's plugins does. Plugins of which
// there is no build that reports its allocations do not tell those.
func (b *bench) count(t testing.TB, c contestant) {
	t.Helper()
	pods := b.pods(t, c, 2)
	idle := traced(t, call{plugin{name: emptyGo, path: b.paths.emptyGo}, "ADD", pods[0], c.shape.last()}).byName()
	for _, verb := range c.verbs {
		twins := calls(c.chain, verb, pods[1], c.shape.last())
		for i, each := range calls(c.chain, verb, pods[0], c.shape.last()) {
			trace := traced(t, each)
			n := counts{
				systemCalls: without(trace.byName(), idle),
				ofRuntime:   len(trace) - total(trace.byName()),
				netlink:     trace.toNetlink(),
			}
			if path, ok := b.paths.reporting[each.plugin.name]; ok {
				twins[i].plugin.path = path
				n.allocations, n.bytes = allocated(t, twins[i])
			}
			b.counts[row{c.shape.name, verb, each.plugin.name}] = n
		}
	}
	b.remove(t, pods)
}

// allocated is what a plugin that reports it has allocated. With one processor less
// is left to chance.
func allocated(t testing.TB, c call) (objects, size int) {
	t.Helper()
	c.plugin.env = append(c.plugin.env, "GOMAXPROCS=1")
	report := c.must(t).report
	if _, err := fmt.Fscan(bytes.NewReader(report), &objects, &size); err != nil {
		t.Fatalf("%v reports %q: %v", c, report, err)
	}
	return objects, size
}

// devices are those of a pod without NICs besides lo.
func devices(t testing.TB, pod *netlab.NS) []string {
	t.Helper()
	var names []string
	for line := range bytes.Lines(procNet(t, pod, "dev")) { // "    lo:   0   0 ..."
		name, _, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if ok && string(name) != "lo" {
			names = append(names, string(name))
		}
	}
	return names
}
