package symmetry

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// site is a pod with an attachment of net1, and what that has.
type site struct {
	cfg    *config.Config
	seen   *fib.Snapshot
	state  state.State
	others []state.State // of other attachments
}

// check asks a kernel everything.
func (s site) check(k Kernel) state.Deviations { return Check(k, s.cfg, s.seen, s.state, s.others) }

func (s site) questions() []question { return questions(s.cfg, s.seen, s.state, s.others) }

// nic is a NIC of a pod and its addresses. A ? behind an address marks it
// tentative, lo: before it puts it on lo; a ! before the name is for a NIC that
// is down.
type nic struct {
	name      string
	addresses string
}

// newSite makes a site from the NICs of a pod, the keys beside type, and the
// addresses and routes of the result, JSON, with more to plan from. The snapshot is that
// after the plan was carried out, as far as rules and routes go.
func newSite(t *testing.T, nics []nic, conf, prev string, more ...func(*plan.Input)) site {
	t.Helper()
	s := site{seen: snapshot(nics)}
	if conf != "" {
		conf = ", " + conf
	}
	var err error
	if s.cfg, err = config.Parse([]byte(`{"cniVersion": "1.1.0", "name": "data", "type": "symroute"` + conf + `, "prevResult": ` + prev + `}`)); err != nil {
		t.Fatalf("configuration: %v", err)
	}
	in := plan.Input{
		Config: s.cfg,
		Key:    record.Key{Network: "data", ContainerID: "c1", IfName: "net1"},
		InPod:  slices.Repeat([]bool{true}, len(s.cfg.Prev.Interfaces)),
		Seen:   s.seen,
		Routes: func(uint32) ([]fib.Route, error) { return nil, nil },
	}
	for _, m := range more {
		m(&in)
	}
	desired, err := plan.Build(in)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	s.state, s.others = desired.State, record.States(in.Others)
	for _, c := range plan.Changes(in, desired) {
		switch c := c.(type) {
		case change.AddRule:
			s.seen.Rules = append(s.seen.Rules, c.Rule)
		case change.AddRoute:
			s.seen.Routes = append(s.seen.Routes, c.Route)
		case change.DelFromMain:
			s.seen.Routes = slices.DeleteFunc(s.seen.Routes, c.Route.Equal)
		}
	}
	slices.SortStableFunc(s.seen.Rules, byPriority)
	return s
}

func byPriority(a, b fib.Rule) int { return cmp.Compare(a.Priority, b.Priority) }

func snapshot(nics []nic) *fib.Snapshot {
	s := &fib.Snapshot{}
	for i, n := range append([]nic{{"lo", ""}}, nics...) {
		name, down := strings.CutPrefix(n.name, "!")
		l := fib.Link{Index: i + 1, Name: name, Up: !down, Loopback: name == "lo", HasIPv4: true, IPv6: true}
		s.Links = append(s.Links, l)
		for _, text := range strings.Fields(n.addresses) {
			text, tentative := strings.CutSuffix(text, "?")
			index := l.Index
			if vip, ok := strings.CutPrefix(text, "lo:"); ok {
				text, index = vip, 1
			}
			s.Addresses = append(s.Addresses, fib.Address{Index: index, Prefix: netip.MustParsePrefix(text), Tentative: tentative})
		}
	}
	for _, f := range fib.Families() {
		for priority, table := range map[uint32]uint32{0: unix.RT_TABLE_LOCAL, 32766: unix.RT_TABLE_MAIN} {
			s.Rules = append(s.Rules, fib.Rule{Family: f, Priority: priority, Action: fib.Lookup, Table: table, Protocol: unix.RTPROT_KERNEL})
		}
	}
	return s
}

// lines trims the lines of a text, so that tests can indent it.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
