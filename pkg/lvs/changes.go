package lvs

import (
	"slices"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Remember is what has to be remembered of a real server.
func (s *Server) Remember(p Pod) *state.Server {
	if s == nil {
		return nil
	}
	m := &state.Server{VIPs: s.VIPs}
	for _, l := range s.Tunnels {
		m.Tunnels = append(m.Tunnels, p.before(l))
	}
	return m
}

// before is how a tunnel was before the first attachment came that uses it.
func (p Pod) before(l fib.Link) state.Tunnel {
	for _, t := range tunnelsOf(slices.Concat(p.Mine, p.Others)) {
		if t.Index == l.Index && present(p.Seen, t) {
			return t
		}
	}
	_, exists := p.Seen.LinkAt(l.Index)
	return state.Tunnel{Index: l.Index, Name: l.Name, Kind: l.Kind, Made: !exists, Down: !l.Up}
}

// tunnelsOf lists the tunnels that are used in any of the states.
func tunnelsOf(states []state.State) []state.Tunnel {
	var out []state.Tunnel
	for _, s := range states {
		if s.Server == nil {
			continue
		}
		for _, t := range s.Server.Tunnels {
			if !slices.ContainsFunc(out, func(o state.Tunnel) bool { return o.Index == t.Index }) {
				out = append(out, t)
			}
		}
	}
	return out
}

func present(s *fib.Snapshot, t state.Tunnel) bool {
	l, ok := s.LinkAt(t.Index)
	return ok && l.Name == t.Name && l.Kind == t.Kind
}

// Made makes the tunnels that are not there.
func (s *Server) Made(p Pod) []change.Change {
	if s == nil {
		return nil
	}
	var out []change.Change
	for _, l := range s.Tunnels {
		if _, ok := p.Seen.LinkAt(l.Index); !ok {
			out = append(out, change.MakeLink{Index: l.Index, Name: l.Name, Kind: l.Kind})
		}
	}
	return out
}

// Changes sets tunnels up and configures the VIPs, and takes away what an earlier ADD made
// of either and this one does not ask for.
func (s *Server) Changes(p Pod) []change.Change {
	return slices.Concat(s.tunnelsUp(), s.configure(p), p.RemoveVIPs(s), p.RemoveTunnels(s))
}

func (s *Server) tunnelsUp() []change.Change {
	if s == nil {
		return nil
	}
	var out []change.Change
	for _, l := range s.Tunnels {
		if !l.Up {
			out = append(out, change.SetLink{Index: l.Index, Name: l.Name, Up: true})
		}
	}
	return out
}

// configure configures the VIPs that are not there, and anew those that somebody has made
// sources for the kernel to choose.
func (s *Server) configure(p Pod) []change.Change {
	if s == nil {
		return nil
	}
	var out []change.Change
	for _, v := range s.VIPs {
		there, ok := addressAt(p.Seen, v.Index, v.Prefix.Addr())
		if ok && there.Deprecated == v.Deprecated {
			continue
		}
		if ok {
			out = append(out, change.DelAddress{Address: there})
		}
		out = append(out, change.AddAddress{Address: v.Address})
	}
	return out
}

// RemoveVIPs takes the attachment's VIPs away, but for those that stay.
func (p Pod) RemoveVIPs(stays *Server) []change.Change {
	var out []change.Change
	for _, a := range p.Seen.Addresses {
		if !stays.has(a) && fib.IsHost(a.Prefix) && p.configured(a) {
			out = append(out, change.DelAddress{Address: a})
		}
	}
	return out
}

func (s *Server) has(a fib.Address) bool {
	return s != nil && slices.ContainsFunc(s.VIPs, func(v state.VIP) bool { return v.Index == a.Index && v.Prefix == a.Prefix })
}

// RemoveTunnels leaves the tunnels that nobody else uses as they were before, but for those
// that stay.
func (p Pod) RemoveTunnels(stays *Server) []change.Change {
	var out []change.Change
	others := tunnelsOf(p.Others)
	for _, t := range slices.Backward(tunnelsOf(p.Mine)) {
		l, _ := p.Seen.LinkAt(t.Index)
		used := slices.ContainsFunc(others, func(o state.Tunnel) bool { return o.Index == t.Index })
		if stays.uses(t.Index) || used || !present(p.Seen, t) {
			continue
		}
		if t.Down && l.Up {
			out = append(out, change.SetLink{Index: t.Index, Name: t.Name, Up: false})
		}
		if t.Made {
			out = append(out, change.DelLink{Index: t.Index, Name: t.Name, Kind: t.Kind})
		}
	}
	return out
}

func (s *Server) uses(index int) bool {
	if s == nil {
		return false
	}
	_, ok := linkAt(s.Tunnels, index)
	return ok
}

// Verify looks for the VIPs and the tunnels of a real server.
func Verify(seen *fib.Snapshot, s *state.Server) state.Deviations {
	if s == nil {
		return nil
	}
	var out state.Deviations
	for _, t := range s.Tunnels {
		got := "none"
		if now, ok := seen.LinkAt(t.Index); ok {
			got = "down"
			if now.Up {
				continue
			}
		}
		out = append(out, state.Deviation{Kind: state.Lost, What: "the tunnel " + t.Name, Want: "present and up", Got: got})
	}
	for _, v := range s.VIPs {
		there, ok := addressAt(seen, v.Index, v.Prefix.Addr())
		switch {
		case !ok:
			out = append(out, state.Deviation{Kind: state.Lost, What: "the VIP " + v.String() + " on " + s.DeviceOf(v), Want: "present", Got: "none"})
		case v.Deprecated && !there.Deprecated:
			out = append(out, state.Deviation{
				Kind: state.Setting, What: "the VIP " + v.String(), Want: "with a preferred lifetime of 0",
				Got: "one that the kernel may choose as source",
			})
		}
	}
	return out
}
