// Package lvs plans what an LVS real server has beside routing: the addresses of the virtual
// services, and the tunnels by which packets for them come.
package lvs

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Pod is where a real server is planned.
type Pod struct {
	Config *config.Config
	Seen   *fib.Snapshot
	// Mine are the states that the attachment may be in, Others those of the others.
	Mine, Others []state.State
}

// Server is what a real server has.
type Server struct {
	VIPs []state.VIP
	// Tunnels are the devices by which packets come, all to be up.
	Tunnels []fib.Link
	// Reply is the NIC that replies leave by.
	Reply fib.Link
}

// loopbackIndex is that of lo (LOOPBACK_IFINDEX).
const loopbackIndex = 1

// WithTunnels is what was seen with the tunnels in it that have to be made, as the kernel
// will make them: of the settings that are the default ones.
func (p Pod) WithTunnels() *fib.Snapshot {
	lvs := p.Config.LVS
	if lvs == nil || lvs.Mode != config.LVSTunnel {
		return p.Seen
	}
	seen := *p.Seen
	for _, f := range fib.Families() {
		l := tunnelFor(lvs, f)
		if _, ok := seen.Link(l.Name); ok || !uses(lvs, f) {
			continue
		}
		l.Index = p.freeIndex(seen)
		l.HasIPv4, l.HasIPv6, l.IPv6, l.AnyToAny, l.Settings = true, true, true, true, seen.Default
		seen.Links = append(slices.Clip(seen.Links), l)
	}
	return &seen
}

// freeIndex is an index that no device has, nor had one that is remembered.
func (p Pod) freeIndex(seen fib.Snapshot) int {
	last := 0
	for _, l := range seen.Links {
		last = max(last, l.Index)
	}
	for _, s := range slices.Concat(p.Mine, p.Others) {
		for _, n := range s.NICs {
			last = max(last, n.Index)
		}
		for _, m := range s.Settings {
			for _, d := range slices.Concat(m.Devices, m.Originals) {
				last = max(last, d.Index)
			}
		}
		if s.Main == nil {
			continue
		}
		for _, r := range slices.Concat(s.Main.Defaults, s.Main.Displaced) {
			for _, h := range r.Hops {
				last = max(last, h.Index)
			}
		}
	}
	return last + 1
}

// Plan plans what a real server has; nil where the pod is none. With is what WithTunnels
// returned, own the attachment's NIC. A wrong configuration is a config.Faults, a pod in no
// state for it wraps state.ErrUnfit; the server is then as good as it gets, for more faults to be found.
func (p Pod) Plan(with *fib.Snapshot, own fib.Link) (*Server, error) {
	lvs := p.Config.LVS
	if lvs == nil {
		return nil, nil //nolint:nilnil // none is no error
	}
	s := &Server{}
	var found config.Findings
	var err error
	if s.Reply, err = p.replyLink(own); err != nil {
		s.Reply = own
		found.Add(err)
	}
	devices := map[fib.Family]fib.Link{}
	for _, f := range fib.Families() {
		if !uses(lvs, f) {
			continue
		}
		if devices[f], err = s.device(p, with, f); err != nil {
			found.Add(err)
			continue
		}
		if _, known := linkAt(s.Tunnels, devices[f].Index); !known && !devices[f].Loopback {
			s.Tunnels = append(s.Tunnels, devices[f])
		}
	}
	for _, a := range lvs.VIPs {
		found.Add(p.notOnNIC(a))
		want := vip(a, devices[fib.FamilyOf(a)])
		if there, foreign := p.foreignVIP(want.Address); foreign {
			want = state.VIP{Address: there, Foreign: true} // theirs to configure, and to take away
		}
		s.VIPs = append(s.VIPs, want)
	}
	return s, found.Err()
}

// device finds where VIPs of a family are.
func (s *Server) device(p Pod, with *fib.Snapshot, f fib.Family) (fib.Link, error) {
	switch {
	case f == fib.V6 && !s.Reply.IPv6:
		return fib.Link{}, config.Faults{{Path: "lvs.vips", Problem: fmt.Sprintf("holds IPv6 addresses, but IPv6 is off on %s", s.Reply.Name)}}
	case p.Config.LVS.Mode == config.LVSDirect:
		return p.loopbackLink()
	}
	return p.tunnelLink(with, f)
}

// foreignVIP finds a VIP that somebody else has configured on its device.
func (p Pod) foreignVIP(v fib.Address) (fib.Address, bool) {
	a, ok := addressAt(p.Seen, v.Index, v.Prefix.Addr())
	return a, ok && a.Protocol != state.Protocol && !p.configured(v)
}

// configured reports whether the attachment configured an address, in any of the states
// that it may be in.
func (p Pod) configured(a fib.Address) bool {
	return slices.ContainsFunc(p.Mine, func(s state.State) bool {
		return s.Server != nil && slices.ContainsFunc(s.Server.VIPs, func(v state.VIP) bool {
			return !v.Foreign && v.Index == a.Index && v.Prefix.Addr() == a.Prefix.Addr()
		})
	})
}

func addressAt(s *fib.Snapshot, index int, ip netip.Addr) (fib.Address, bool) {
	i := slices.IndexFunc(s.Addresses, func(a fib.Address) bool { return a.Index == index && a.Prefix.Addr() == ip })
	if i < 0 {
		return fib.Address{}, false
	}
	return s.Addresses[i], true
}

// Notes tells of VIPs that the kernel may choose as source because somebody else has
// configured them so.
func (s *Server) Notes() []string {
	if s == nil {
		return nil
	}
	var out []string
	for _, v := range s.VIPs {
		if v.Protocol != state.Protocol && v.Prefix.Addr().Is6() && !v.Deprecated {
			out = append(out, fmt.Sprintf("the VIP %s was there before, and the kernel may choose it as source of the pod's own connections: "+
				"give it a preferred lifetime of 0 (ip addr change %s dev %s preferred_lft 0)", v, v.Prefix, s.deviceName(v.Index)))
		}
	}
	return out
}

// vip is a VIP as it is configured. In IPv4 its scope, in IPv6 its lifetime keeps
// the kernel from choosing it as a source (inet_select_addr, RFC 6724 rule 3).
func vip(a netip.Addr, l fib.Link) state.VIP {
	out := fib.Address{Index: l.Index, Prefix: fib.Host(a), Protocol: state.Protocol}
	if a.Is4() {
		out.Scope = unix.RT_SCOPE_HOST
	} else {
		out.Deprecated = true
	}
	return state.VIP{Address: out}
}

// replyLink finds the NIC that replies leave by.
func (p Pod) replyLink(own fib.Link) (fib.Link, error) {
	name := p.Config.LVS.ReplyBy
	if name == "" || name == own.Name {
		return own, nil
	}
	fault := func(format string, values ...any) error {
		return config.Faults{{Path: "lvs.replyBy", Problem: fmt.Sprintf(format, values...)}}
	}
	l, ok := p.Seen.Link(name)
	_, isTunnel := kindOf(l)
	master, _ := p.Seen.LinkAt(l.Master)
	switch {
	case !ok:
		return l, fault("the pod has no device %q; it has %s", name, p.Seen.LinkNames())
	case isTunnel:
		return l, fault("%s is the tunnel that requests come by; write the NIC that replies leave by", name)
	case p.Config.RPFilter == config.RPFilterStrict:
		return l, fault(`replies by %s make the path asymmetric on purpose, which "rpFilter": "strict" of %s forbids; write "rpFilter": "loose" or remove replyBy`, name, own.Name)
	case !l.Up:
		return l, fmt.Errorf("%w: %s is administratively down, and replies are to leave by it: set it up first (ip link set %s up)", state.ErrUnfit, name, name)
	case master.Kind == fib.KindVRF:
		return l, fmt.Errorf("%w: replies are to leave by %s, which is enslaved to the VRF %s", state.ErrUnfit, name, master.Name)
	}
	return l, nil
}

func (p Pod) loopbackLink() (fib.Link, error) {
	lo, ok := p.Seen.LinkAt(loopbackIndex)
	if !ok || !lo.Up {
		return lo, fmt.Errorf("%w: lo is down, and VIPs on it would not be reachable: set it up first (ip link set lo up)", state.ErrUnfit)
	}
	return lo, nil
}

// tunnelLink finds the tunnel for VIPs of a family, or that it can be made.
func (p Pod) tunnelLink(with *fib.Snapshot, f fib.Family) (fib.Link, error) {
	fault := func(format string, values ...any) error {
		path := "lvs.device"
		if p.Config.LVS.Device == "" {
			path = "lvs.mode"
		}
		return config.Faults{{Path: path, Problem: fmt.Sprintf(format, values...)}}
	}
	l, _ := with.Link(tunnelFor(p.Config.LVS, f).Name)
	if _, exists := p.Seen.Link(l.Name); !exists {
		for _, other := range p.Seen.Links {
			if other.AnyToAny && other.Kind == l.Kind {
				return l, fault("%s accepts packets of everybody already, and the kernel makes no second device of that kind: name it in lvs.device", other.Name)
			}
		}
	}
	t, ok := kindOf(l)
	switch {
	case f == fib.V4 && losesRoutes(p.Seen, l):
		return l, fmt.Errorf("%w: %s has IPv4 routes and no address, and would lose them with the VIP (the kernel flushes them with the last address): give it one of its own", state.ErrUnfit, l.Name)
	case !ok:
		return l, fault("%s is no tunnel that a director sends through (ipip, ip6tnl, sit, gre, ip6gre); name one in lvs.device, or remove the key", l.Name)
	case !slices.Contains(t.carries, f):
		return l, fault("%s, of kind %s, carries no %s packets, and lvs.vips has such addresses; remove lvs.device (tunl0 and ip6tnl0 are then used), or name one that does", l.Name, l.Kind, f)
	}
	return l, nil
}

// losesRoutes reports whether a device has IPv4 routes and no address
// (fib_inetaddr_event).
func losesRoutes(s *fib.Snapshot, l fib.Link) bool {
	return slices.ContainsFunc(s.Table(state.MainTable), func(r fib.Route) bool { return r.Family == fib.V4 && r.Uses(l.Index) }) &&
		!slices.ContainsFunc(s.Addresses, func(a fib.Address) bool { return a.Index == l.Index && a.Prefix.Addr().Is4() })
}

// notOnNIC refuses a VIP that a NIC has, which would answer for it.
func (p Pod) notOnNIC(v netip.Addr) error {
	for _, a := range p.Seen.Addresses {
		if l, ok := p.Seen.LinkAt(a.Index); ok && a.Prefix.Addr() == v && !Silent(l) {
			return fmt.Errorf("%w: the VIP %s is an address of %s, which would answer for it: take it away there, or from lvs.vips", state.ErrUnfit, v, l.Name)
		}
	}
	return nil
}

// Sources are the VIPs' sources, to be routed by the NIC that replies leave by.
func (s *Server) Sources(own fib.Link) []state.Source {
	var out []state.Source
	for _, v := range s.VIPs {
		source := state.Source{Prefix: fib.Host(v.Prefix.Addr()), Arrival: own.Index}
		if l, ok := linkAt(s.Tunnels, v.Index); ok {
			k, _ := kindOf(l)
			source.Arrival = l.Index
			source.MaxMSS = maxMSS(source.Family(), own.MTU, s.Reply.MTU, k.overhead)
		}
		out = append(out, source)
	}
	return out
}

func linkAt(links []fib.Link, index int) (fib.Link, bool) {
	i := slices.IndexFunc(links, func(l fib.Link) bool { return l.Index == index })
	if i < 0 {
		return fib.Link{}, false
	}
	return links[i], true
}

// deviceName names the device of a VIP.
func (s *Server) deviceName(index int) string {
	if l, ok := linkAt(s.Tunnels, index); ok {
		return l.Name
	}
	return "lo"
}

// TunnelModes wants loose mode of IPv4 tunnels: their packets are answered by
// another NIC, which strict mode would not bear. The configuration may say that
// the mode be off.
func (s *Server) TunnelModes(cfg *config.Config, want func(string, fib.Link, config.RPFilter)) (faults config.Faults) {
	if s == nil {
		return nil
	}
	for _, l := range s.Tunnels {
		if !slices.ContainsFunc(s.VIPs, func(v state.VIP) bool { return v.Index == l.Index && v.Prefix.Addr().Is4() }) {
			continue
		}
		path := "interfaces." + l.Name + ".rpFilter"
		switch mode, own := cfg.Interfaces[l.Name]; {
		case own && mode == config.RPFilterStrict:
			faults = append(faults, config.Fault{Path: path, Problem: fmt.Sprintf("strict would drop every request that comes by %s, for replies leave by %s; remove it", l.Name, s.Reply.Name)})
		case own:
		default:
			want(path, l, config.RPFilterLoose)
		}
	}
	return faults
}
