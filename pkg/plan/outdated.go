package plan

import (
	"fmt"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Outdated says where the source tables of the attachment differ from what ADD would make of them
// now, in default routes and in what is on the link: since ADD main has got, changed or lost a
// default route that the table goes by, or a connected prefix of the NIC. ADD again mends that.
//
// The configuration of in is that of the record, with which ADD would be repeated. What is wrong
// with the tables as they were made is for Verify to say.
func Outdated(in Input) state.Deviations {
	cfg := *in.Config
	cfg.RequireGateway = false // that a gateway is gone is to be said, too
	in.Config = &cfg
	now, err := Build(in)
	if err != nil {
		return nil //nolint:nilerr // the pod is in no state for ADD: what is wrong with it Verify says
	}
	var out state.Deviations
	there := byPlace(in.Seen.Routes)
	for _, n := range in.Mine.State.NICs {
		i := slices.IndexFunc(now.State.NICs, func(x state.NIC) bool { return x.Index == n.Index && x.Role == n.Role })
		if i < 0 || n.Role == state.Replies {
			continue // it goes with another attachment; Replies keeps what its NIC had then
		}
		for _, f := range fib.Families() {
			had, wanted := following(n, f), following(now.State.NICs[i], f)
			if n.IsRouted(f) && now.State.NICs[i].IsRouted(f) {
				out = append(out, wantedNow(byPlace(had), wanted)...)
				out = append(out, unwantedNow(there, had, byPlace(wanted))...)
			}
		}
	}
	return out
}

// following are the routes of a NIC's tables that follow main: how far the link reaches, what is
// refused, and the defaults. Others stay as they were on ADD.
func following(n state.NIC, f fib.Family) []fib.Route {
	return slices.DeleteFunc(state.State{NICs: []state.NIC{n}}.Routes(), func(r fib.Route) bool {
		return r.Family != f || r.Dst.Bits() > 0 && len(r.Gateways()) > 0
	})
}

// wantedNow are the routes that ADD would make and has not made.
func wantedNow(had map[fib.Place][]fib.Route, wanted []fib.Route) state.Deviations {
	var out state.Deviations
	for _, r := range wanted {
		rivals := had[r.Place()]
		if slices.ContainsFunc(rivals, func(h fib.Route) bool { return asAdded(r, h) }) {
			continue
		}
		got := "none"
		if len(rivals) > 0 {
			got = texts(rivals)
		}
		out = append(out, outdated(r, fmt.Sprintf("the %s route %q, by what main has now", r.Family, r), got))
	}
	return out
}

// unwantedNow are the routes that ADD has made, that are there, and that it would not make now.
func unwantedNow(there map[fib.Place][]fib.Route, had []fib.Route, wanted map[fib.Place][]fib.Route) state.Deviations {
	var out state.Deviations
	for _, r := range had {
		if len(wanted[r.Place()]) == 0 && slices.ContainsFunc(there[r.Place()], r.Equal) {
			out = append(out, outdated(r, fmt.Sprintf("no %s route %q, for main has lost its ground", r.Family, r), "it"))
		}
	}
	return out
}

func outdated(r fib.Route, want, got string) state.Deviation {
	return state.Deviation{Kind: state.Lost, What: "the table " + fib.TableText(r.Table), Want: want, Got: got + ": ADD again"}
}
