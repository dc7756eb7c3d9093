package plan

import (
	"fmt"
	"net/netip"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// notesOnNode tells where the node itself, say a kubelet with its probes, talks to a NIC that has
// no source table and is answered by one of the attachment's: the node's address lies in a subnet of
// that, to which main knows no other way. It is the one client of such a subnet that is known to
// talk to the NIC. Told on the first ADD.
func (s situation) notesOnNode(st state.State) []string {
	if len(s.states) > 0 || s.Node == nil {
		return nil
	}
	type asked struct {
		index  int
		family fib.Family
	}
	done := map[asked]bool{}
	all := append(s.otherStates(), st)
	sources := state.Sources(all)
	routed := map[fib.Family]map[int]bool{}
	for _, f := range fib.Families() {
		routed[f] = state.RoutedNICs(all, f)
	}
	var notes []string
	for _, a := range s.Seen.Addresses {
		ip, f := a.Prefix.Addr(), fib.FamilyOf(a.Prefix.Addr())
		l, ok := s.Seen.LinkAt(a.Index)
		if !ok || l.Loopback || ip.IsLinkLocalUnicast() || done[asked{a.Index, f}] || sources[fib.Host(ip)] {
			continue
		}
		done[asked{a.Index, f}] = true // the node reaches all of them the same way
		if routed[f][a.Index] {
			continue
		}
		node := s.Node(ip)
		if n, ok := s.answering(st, node); ok {
			notes = append(notes, fmt.Sprintf("the node talks to %s of %s from %s, and is answered by %s, which has that subnet; "+
				"where %s does not reach the node (macvlan), probes fail: chain symroute to the network of %s, too", ip, l.Name, node, n.Name, n.Name, l.Name))
		}
	}
	return notes
}

// answering is the NIC of the attachment in whose subnet an address lies, as main has it.
func (s situation) answering(st state.State, a netip.Addr) (state.NIC, bool) {
	var best fib.Route
	for _, r := range s.Seen.Table(state.MainTable) {
		if a.IsValid() && r.Dst.Contains(a) && r.TOS == 0 && !r.From.IsValid() && r.Dst.Bits() > best.Dst.Bits() {
			best = r
		}
	}
	for _, n := range st.NICs {
		if n.Role == state.Attached && best.Dst.Bits() > 0 && best.Uses(n.Index) {
			return n, true
		}
	}
	return state.NIC{}, false
}
