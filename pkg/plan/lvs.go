package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// RealServer is what an LVS real server has beside rules, routes and settings.
type RealServer struct {
	// VIPs are its addresses: on lo, or on a tunnel.
	VIPs []fib.Address
	// Tunnels are the devices by which packets come, all up.
	Tunnels []fib.Link

	reply fib.Link // the NIC that replies leave by
}

// tunnel is a way to carry packets inside others.
type tunnel struct {
	kind     string
	carries  []fib.Family
	overhead uint32 // bytes that it adds to a packet: headers of the outside
}

// tunnels lists those that a director can send through (ipvsadm(8), --ipip and
// --tun-type).
func tunnels() []tunnel {
	both := []fib.Family{fib.V4, fib.V6}
	return []tunnel{
		{fib.KindIPIP, []fib.Family{fib.V4}, ipv4Header},
		{fib.KindIP6Tunnel, both, ipv6Header},
		{"sit", []fib.Family{fib.V6}, ipv4Header},
		{"gre", both, ipv4Header + greHeader},
		{"ip6gre", both, ipv6Header + greHeader},
	}
}

// Lengths of headers without options, in bytes.
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	greHeader  = 4
)

func tunnelOf(l fib.Link) (tunnel, bool) {
	all := tunnels()
	i := slices.IndexFunc(all, func(t tunnel) bool { return t.kind == l.Kind })
	if i < 0 {
		return tunnel{}, false
	}
	return all[i], true
}

// fallback is the tunnel of a family that the kernel makes in every namespace.
func fallback(f fib.Family) fib.Link {
	if f == fib.V4 {
		return fib.Link{Name: "tunl0", Kind: fib.KindIPIP}
	}
	return fib.Link{Name: "ip6tnl0", Kind: fib.KindIP6Tunnel}
}

// tunnelFor names the tunnel for VIPs of a family, and its kind where it has to be
// made.
func tunnelFor(lvs *config.LVS, f fib.Family) fib.Link {
	l := fallback(f)
	if lvs.Device != "" {
		l.Name = lvs.Device
	}
	return l
}

// families lists the families of the VIPs.
func families(lvs *config.LVS) []fib.Family {
	return slices.DeleteFunc(slices.Collect(slices.Values([]fib.Family{fib.V4, fib.V6})), func(f fib.Family) bool {
		return !slices.ContainsFunc(lvs.VIPs, func(v netip.Addr) bool { return fib.FamilyOf(v) == f })
	})
}

// withTunnels is the input with the tunnels in it that have to be made, as the
// kernel will make them: of the settings that are the default ones.
func withTunnels(in Input) Input {
	lvs := in.Config.LVS
	if lvs == nil || lvs.Mode != config.LVSTunnel {
		return in
	}
	seen := *in.Seen
	for _, f := range families(lvs) {
		l := tunnelFor(lvs, f)
		if _, ok := seen.Link(l.Name); ok {
			continue
		}
		l.Index = freeIndex(seen, in.attachments())
		l.HasIPv4, l.IPv6, l.AnyToAny, l.Settings = true, true, true, seen.Default
		seen.Links = append(slices.Clip(seen.Links), l)
	}
	in.Seen = &seen
	return in
}

// freeIndex is an index that no device has, nor had one that is remembered.
func freeIndex(seen fib.Snapshot, attachments []record.Attachment) int {
	last := 0
	for _, l := range seen.Links {
		last = max(last, l.Index)
	}
	for _, a := range attachments {
		for _, s := range a.Settings {
			for _, d := range slices.Concat(s.Devices, s.Wants) {
				last = max(last, d.Index)
			}
		}
		for _, r := range decodeRoutes(&seen, a.Main) {
			for _, h := range r.Hops {
				last = max(last, h.Index)
			}
		}
	}
	return last + 1
}

// realServer plans what a real server has; nil where the pod is none.
func realServer(in, actual Input, links []fib.Link) (*RealServer, error) {
	lvs := in.Config.LVS
	if lvs == nil {
		return nil, nil //nolint:nilnil // none is no error
	}
	rs := &RealServer{}
	var err error
	if rs.reply, err = replyLink(in, links[0]); err != nil {
		return nil, err
	}
	devices := map[fib.Family]fib.Link{}
	for _, f := range families(lvs) {
		if f == fib.V6 && !rs.reply.IPv6 {
			return nil, config.Faults{{Path: "lvs.vips", Problem: fmt.Sprintf("holds IPv6 addresses, but IPv6 is off on %s", rs.reply.Name)}}
		}
		if lvs.Mode == config.LVSDirect {
			devices[f], err = loopbackLink(in)
		} else {
			devices[f], err = tunnelLink(in, actual, f)
		}
		if err != nil {
			return nil, err
		}
		if !devices[f].Loopback && !slices.ContainsFunc(rs.Tunnels, func(l fib.Link) bool { return l.Index == devices[f].Index }) {
			rs.Tunnels = append(rs.Tunnels, devices[f])
		}
	}
	for _, v := range lvs.VIPs {
		if err := notOnNIC(in, v); err != nil {
			return nil, err
		}
		rs.VIPs = append(rs.VIPs, vip(v, devices[fib.FamilyOf(v)]))
	}
	return rs, nil
}

// vip is a VIP as it is configured. In IPv4 its scope, in IPv6 its lifetime keeps
// the kernel from choosing it as a source (inet_select_addr, RFC 6724 rule 3).
func vip(a netip.Addr, l fib.Link) fib.Address {
	out := fib.Address{Index: l.Index, Prefix: fib.Host(a), Protocol: Protocol}
	if a.Is4() {
		out.Scope = unix.RT_SCOPE_HOST
	} else {
		out.Deprecated = true
	}
	return out
}

// replyLink finds the NIC that replies leave by.
func replyLink(in Input, own fib.Link) (fib.Link, error) {
	name := in.Config.LVS.ReplyBy
	if name == "" || name == own.Name {
		return own, nil
	}
	fault := func(format string, values ...any) error {
		return config.Faults{{Path: "lvs.replyBy", Problem: fmt.Sprintf(format, values...)}}
	}
	l, ok := in.Seen.Link(name)
	_, isTunnel := tunnelOf(l)
	master, _ := in.Seen.LinkAt(l.Master)
	switch {
	case !ok:
		return l, fault("the pod has no device %q; it has %s", name, linkNames(in.Seen))
	case isTunnel:
		return l, fault("%s is the tunnel that requests come by; write the NIC that replies leave by", name)
	case in.Config.RPFilter == config.RPFilterStrict:
		return l, fault(`replies by %s make the path asymmetric on purpose, which "rpFilter": "strict" of %s forbids; write "rpFilter": "loose" or remove replyBy`, name, own.Name)
	case !l.Up:
		return l, fmt.Errorf("%w: %s is administratively down, and replies are to leave by it: set it up first (ip link set %s up)", ErrState, name, name)
	case master.Kind == kindVRF:
		return l, fmt.Errorf("%w: replies are to leave by %s, which is enslaved to the VRF %s", ErrState, name, master.Name)
	}
	return l, nil
}

func loopbackLink(in Input) (fib.Link, error) {
	lo, ok := in.Seen.LinkAt(loopback)
	if !ok || !lo.Up {
		return lo, fmt.Errorf("%w: lo is down, and VIPs on it would not be reachable: set it up first (ip link set lo up)", ErrState)
	}
	return lo, nil
}

// tunnelLink finds the tunnel for VIPs of a family, or that it can be made.
func tunnelLink(in, actual Input, f fib.Family) (fib.Link, error) {
	fault := func(format string, values ...any) error {
		path := "lvs.device"
		if in.Config.LVS.Device == "" {
			path = "lvs.mode"
		}
		return config.Faults{{Path: path, Problem: fmt.Sprintf(format, values...)}}
	}
	l, _ := in.Seen.Link(tunnelFor(in.Config.LVS, f).Name)
	if _, exists := actual.Seen.Link(l.Name); !exists {
		for _, other := range actual.Seen.Links {
			if other.AnyToAny && other.Kind == l.Kind {
				return l, fault("%s accepts packets of everybody already, and the kernel makes no second device of that kind: name it in lvs.device", other.Name)
			}
		}
	}
	t, ok := tunnelOf(l)
	switch {
	case !ok:
		return l, fault("%s is no tunnel that a director sends through (ipip, ip6tnl, sit, gre, ip6gre); name one in lvs.device, or remove the key", l.Name)
	case !slices.Contains(t.carries, f):
		return l, fault("%s, of kind %s, carries no %s packets, and lvs.vips has such addresses; name another device, or chain symroute once for each family", l.Name, l.Kind, f)
	}
	return l, nil
}

// notOnNIC refuses a VIP that a NIC has, which would answer for it.
func notOnNIC(in Input, v netip.Addr) error {
	for _, a := range in.Seen.Addresses {
		if l, ok := in.Seen.LinkAt(a.Index); ok && a.Prefix.Addr() == v && !silent(l) {
			return fmt.Errorf("%w: the VIP %s is an address of %s, which would answer for it: take it away there, or from lvs.vips", ErrState, v, l.Name)
		}
	}
	return nil
}

// silent reports whether nobody can reach a device's addresses by its own link:
// there VIPs are kept.
func silent(l fib.Link) bool {
	_, isTunnel := tunnelOf(l)
	return l.Loopback || isTunnel || l.Kind == "dummy"
}

// sources are the VIPs' sources, to be routed by the NIC that replies leave by.
func (rs *RealServer) sources(own fib.Link) []Source {
	var out []Source
	for _, v := range rs.VIPs {
		s := Source{Prefix: v.Prefix, Arrival: own}
		if l, ok := find(rs.Tunnels, v.Index); ok {
			t, _ := tunnelOf(l)
			s.Arrival = l
			s.MaxMSS = maxMSS(s.Family(), own.MTU, rs.reply.MTU, t.overhead)
		}
		out = append(out, s)
	}
	return out
}

func find(links []fib.Link, index int) (fib.Link, bool) {
	i := slices.IndexFunc(links, func(l fib.Link) bool { return l.Index == index })
	if i < 0 {
		return fib.Link{}, false
	}
	return links[i], true
}

// maxMSS is the most that a client may put into a segment, so that the director
// can wrap it: packets come by the one NIC, wrapped, and answers leave by the
// other. 0 where nothing is known of the NICs.
func maxMSS(f fib.Family, mtuIn, mtuOut, overhead uint32) uint32 {
	headers := uint32(ipv4Header + tcpHeader)
	if f == fib.V6 {
		headers = ipv6Header + tcpHeader
	}
	if mtuIn <= overhead+headers || mtuOut <= headers {
		return 0
	}
	return min(mtuIn-overhead, mtuOut) - headers
}

// tunnelModes wants loose mode of IPv4 tunnels: their packets are answered by
// another NIC, which strict mode would not bear. The configuration may say that
// the mode be off.
func (rs *RealServer) tunnelModes(in Input, want func(string, fib.Link, config.RPFilter) error) error {
	if rs == nil {
		return nil
	}
	for _, l := range rs.Tunnels {
		path := "interfaces." + l.Name + ".rpFilter"
		switch mode, own := in.Config.Interfaces[l.Name]; {
		case own && mode == config.RPFilterStrict:
			return config.Faults{{Path: path, Problem: fmt.Sprintf("strict would drop every request that comes by %s, for replies leave by %s; remove it", l.Name, rs.reply.Name)}}
		case own:
		default:
			if err := want(path, l, config.RPFilterLoose); err != nil {
				return err
			}
		}
	}
	return nil
}

// replyNIC is the NIC that replies leave by, where it is not the attachment's
// own: it gets a table for the VIPs alone.
func (rs *RealServer) replyNIC(in Input, own fib.Link) (NIC, bool) {
	if rs == nil || rs.reply.Index == own.Index {
		return NIC{}, false
	}
	n := NIC{Link: rs.reply, replies: true, Sources: rs.sources(own)}
	for i, s := range n.Sources {
		n.Sources[i].Exit = replyExit(in, n, s.Family())
	}
	return n, true
}

// replyExit is how another NIC's packets leave: as its own attachment has it, or
// by the default route that main has, or would have without us.
func replyExit(in Input, n NIC, f fib.Family) []fib.Hop {
	for _, table := range tablesOf(in.Seen.Rules, n.Link.Name) {
		for _, r := range in.Seen.Table(table) {
			if r.Family == f && r.IsDefault() && r.Uses(n.Link.Index) {
				return normalHops(r.Hops)
			}
		}
	}
	return exits{in: in, nic: n}.fromKernel(f)
}

// tablesOf lists the source tables of a NIC, of whichever attachment.
func tablesOf(rules []fib.Rule, nic string) []uint32 {
	var out []uint32
	for _, r := range rules {
		if isOwner(r) && r.OIF == nic && !slices.Contains(out, r.Table) {
			out = append(out, r.Table)
		}
	}
	return out
}

// lvsMemory is what has to be remembered of a real server. What an earlier ADD
// made, and has not been taken back, stays.
func lvsMemory(in Input, rs *RealServer) *record.LVS {
	m := &record.LVS{}
	if in.Mine != nil && in.Mine.LVS != nil {
		m.Addresses = slices.DeleteFunc(slices.Clone(in.Mine.LVS.Addresses), func(v record.VIP) bool { return !present(in.Seen, v) })
		m.Devices = slices.DeleteFunc(slices.Clone(in.Mine.LVS.Devices), func(t record.Tunnel) bool { return !tunnelPresent(in.Seen, t) })
	}
	if rs != nil {
		for _, a := range rs.VIPs {
			if v := (record.VIP{Index: a.Index, Address: a.Prefix.Addr()}); !present(in.Seen, v) {
				m.Addresses = append(m.Addresses, v)
			}
		}
		for _, l := range rs.Tunnels {
			if !slices.ContainsFunc(m.Devices, func(t record.Tunnel) bool { return t.Index == l.Index }) {
				m.Devices = append(m.Devices, tunnelMemory(in, l))
			}
		}
	}
	if len(m.Addresses) == 0 && len(m.Devices) == 0 {
		return nil
	}
	return m
}

// tunnelMemory is how a tunnel was before the first attachment came that uses it.
func tunnelMemory(in Input, l fib.Link) record.Tunnel {
	for _, o := range in.Others {
		if t, ok := tunnelUsed(o, l.Index); ok {
			return t
		}
	}
	_, exists := in.Seen.LinkAt(l.Index)
	return record.Tunnel{Index: l.Index, Name: l.Name, Kind: l.Kind, Made: !exists, Down: !l.Up}
}

func tunnelUsed(a record.Attachment, index int) (record.Tunnel, bool) {
	if a.LVS == nil {
		return record.Tunnel{}, false
	}
	i := slices.IndexFunc(a.LVS.Devices, func(t record.Tunnel) bool { return t.Index == index })
	if i < 0 {
		return record.Tunnel{}, false
	}
	return a.LVS.Devices[i], true
}

func present(s *fib.Snapshot, v record.VIP) bool {
	return slices.ContainsFunc(s.Addresses, func(a fib.Address) bool { return a.Index == v.Index && a.Prefix == fib.Host(v.Address) })
}

func tunnelPresent(s *fib.Snapshot, t record.Tunnel) bool {
	l, ok := s.LinkAt(t.Index)
	return ok && l.Name == t.Name && l.Kind == t.Kind
}

// tunnelsMade makes the tunnels that are not there.
func tunnelsMade(in Input, rs *RealServer) []Op {
	if rs == nil {
		return nil
	}
	var ops []Op
	for _, l := range rs.Tunnels {
		if _, ok := in.Seen.LinkAt(l.Index); !ok {
			ops = append(ops, MakeLink{Index: l.Index, Name: l.Name, Kind: l.Kind})
		}
	}
	return ops
}

// vipChanges sets tunnels up and configures the VIPs, and takes away what an
// earlier ADD made of either and this one does not ask for.
func vipChanges(in Input, rs *RealServer) []Op {
	var ops []Op
	kept := &RealServer{}
	if rs != nil {
		kept = rs
	}
	for _, l := range kept.Tunnels {
		if !l.Up {
			ops = append(ops, SetLink{Index: l.Index, Name: l.Name, Up: true})
		}
	}
	for _, a := range kept.VIPs {
		if v := (record.VIP{Index: a.Index, Address: a.Prefix.Addr()}); !present(in.Seen, v) {
			ops = append(ops, AddAddress{a})
		}
	}
	ops = append(ops, vipRemoval(in, kept)...)
	return append(ops, tunnelRemoval(in, kept)...)
}

// vipRemoval takes the attachment's VIPs away, but for those that stay.
func vipRemoval(in Input, stays *RealServer) []Op {
	var ops []Op
	for _, a := range in.Seen.Addresses {
		wanted := slices.ContainsFunc(stays.VIPs, func(v fib.Address) bool { return v.Index == a.Index && v.Prefix == a.Prefix })
		if !wanted && ourVIP(in, a) {
			ops = append(ops, DelAddress{a})
		}
	}
	return ops
}

// tunnelRemoval leaves the tunnels that nobody else uses as they were before, but
// for those that stay.
func tunnelRemoval(in Input, stays *RealServer) []Op {
	if in.Mine == nil || in.Mine.LVS == nil {
		return nil
	}
	var ops []Op
	for _, t := range slices.Backward(in.Mine.LVS.Devices) {
		_, wanted := find(stays.Tunnels, t.Index)
		used := slices.ContainsFunc(in.Others, func(o record.Attachment) bool { _, used := tunnelUsed(o, t.Index); return used })
		if wanted || used || !tunnelPresent(in.Seen, t) {
			continue
		}
		if l, _ := in.Seen.LinkAt(t.Index); t.Down && l.Up {
			ops = append(ops, SetLink{Index: t.Index, Name: t.Name, Up: false})
		}
		if t.Made {
			ops = append(ops, DelLink{Index: t.Index, Name: t.Name, Kind: t.Kind})
		}
	}
	return ops
}

// ourVIP reports whether this attachment configured an address: it remembers it,
// or else, where nothing is remembered, the kernel says so of a source of its own.
func ourVIP(in Input, a fib.Address) bool {
	if in.Mine != nil {
		return in.Mine.LVS != nil && slices.ContainsFunc(in.Mine.LVS.Addresses, func(v record.VIP) bool {
			return v.Index == a.Index && fib.Host(v.Address) == a.Prefix
		})
	}
	own := ownership(in)
	return a.Protocol == Protocol && slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool {
		return isSource(r) && r.From == a.Prefix && own.holds(r)
	})
}

// verifyServer looks for the VIPs and the tunnels.
func verifyServer(s *fib.Snapshot, rs *RealServer) Deviations {
	if rs == nil {
		return nil
	}
	var out Deviations
	for _, l := range rs.Tunnels {
		got := "none"
		if now, ok := s.LinkAt(l.Index); ok {
			got = "down"
			if now.Up {
				continue
			}
		}
		out = append(out, Deviation{Kind: Missing, What: "the tunnel " + l.Name, Want: "present and up", Got: got})
	}
	for _, v := range rs.VIPs {
		i := slices.IndexFunc(s.Addresses, func(a fib.Address) bool { return a.Index == v.Index && a.Prefix == v.Prefix })
		switch {
		case i < 0:
			out = append(out, Deviation{Kind: Missing, What: "the VIP " + v.String() + " on " + rs.deviceName(v.Index), Want: "present", Got: "none"})
		case v.Deprecated && !s.Addresses[i].Deprecated:
			out = append(out, Deviation{
				Kind: Setting, What: "the VIP " + v.String(), Want: "with a preferred lifetime of 0",
				Got: "one that the kernel may choose as source",
			})
		}
	}
	return out
}

// deviceName names the device of a VIP.
func (rs *RealServer) deviceName(index int) string {
	if l, ok := find(rs.Tunnels, index); ok {
		return l.Name
	}
	return "lo"
}
