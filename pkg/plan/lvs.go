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
	t := all[i]
	t.carries = slices.DeleteFunc(slices.Clone(t.carries), func(f fib.Family) bool { return l.Inside != 0 && l.Inside != inside(f) })
	return t, true
}

// inside is the protocol of a family's packets in others.
func inside(f fib.Family) uint8 {
	if f == fib.V4 {
		return unix.IPPROTO_IPIP
	}
	return unix.IPPROTO_IPV6
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

// uses reports whether any VIP is of a family.
func uses(lvs *config.LVS, f fib.Family) bool {
	return slices.ContainsFunc(lvs.VIPs, func(v netip.Addr) bool { return fib.FamilyOf(v) == f })
}

// withTunnels is the input with the tunnels in it that have to be made, as the
// kernel will make them: of the settings that are the default ones.
func withTunnels(in Input) Input {
	lvs := in.Config.LVS
	if lvs == nil || lvs.Mode != config.LVSTunnel {
		return in
	}
	seen := *in.Seen
	for _, f := range fib.Families() {
		l := tunnelFor(lvs, f)
		if _, ok := seen.Link(l.Name); ok || !uses(lvs, f) {
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
		for _, r := range decodeMain(&seen, a.Main) {
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
	for _, f := range fib.Families() {
		if !uses(lvs, f) {
			continue
		}
		if devices[f], err = rs.device(in, actual, f); err != nil {
			return nil, err
		}
		if _, known := linkAt(rs.Tunnels, devices[f].Index); !known && !devices[f].Loopback {
			rs.Tunnels = append(rs.Tunnels, devices[f])
		}
	}
	for _, v := range lvs.VIPs {
		if err := notOnNIC(in, v); err != nil {
			return nil, err
		}
		want := vip(v, devices[fib.FamilyOf(v)])
		if there, foreign := foreignVIP(in, want); foreign {
			want = there // theirs to configure, and to take away
		}
		rs.VIPs = append(rs.VIPs, want)
	}
	return rs, nil
}

// device finds where VIPs of a family are.
func (rs *RealServer) device(in, actual Input, f fib.Family) (fib.Link, error) {
	switch {
	case f == fib.V6 && !rs.reply.IPv6:
		return fib.Link{}, config.Faults{{Path: "lvs.vips", Problem: fmt.Sprintf("holds IPv6 addresses, but IPv6 is off on %s", rs.reply.Name)}}
	case in.Config.LVS.Mode == config.LVSDirect:
		return loopbackLink(in)
	}
	return tunnelLink(in, actual, f)
}

// foreignVIP finds a VIP that somebody else has configured on its device.
func foreignVIP(in Input, v fib.Address) (fib.Address, bool) {
	a, ok := addressAt(in.Seen, v.Index, v.Prefix.Addr())
	return a, ok && a.Protocol != Protocol && !in.remembersVIP(v)
}

// remembersVIP reports whether the attachment configured an address, in any of the
// states that it may be in.
func (in Input) remembersVIP(a fib.Address) bool {
	return in.Mine != nil && slices.ContainsFunc(in.Mine.States(), func(s record.Attachment) bool {
		return s.LVS != nil && slices.Contains(s.LVS.Addresses, rememberedVIP(a))
	})
}

func rememberedVIP(a fib.Address) record.VIP {
	return record.VIP{Index: a.Index, Address: a.Prefix.Addr()}
}

func addressAt(s *fib.Snapshot, index int, ip netip.Addr) (fib.Address, bool) {
	i := slices.IndexFunc(s.Addresses, func(a fib.Address) bool { return a.Index == index && a.Prefix.Addr() == ip })
	if i < 0 {
		return fib.Address{}, false
	}
	return s.Addresses[i], true
}

// notes tells of VIPs that the kernel may choose as source because somebody else
// has configured them so.
func (rs *RealServer) notes() []string {
	if rs == nil {
		return nil
	}
	var out []string
	for _, v := range rs.VIPs {
		if v.Protocol != Protocol && v.Prefix.Addr().Is6() && !v.Deprecated {
			out = append(out, fmt.Sprintf("the VIP %s was there before, and the kernel may choose it as source of the pod's own connections: "+
				"give it a preferred lifetime of 0 (ip addr change %s dev %s preferred_lft 0)", v, v.Prefix, rs.deviceName(v.Index)))
		}
	}
	return out
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
	case f == fib.V4 && losesRoutes(in.Seen, l):
		return l, fmt.Errorf("%w: %s has IPv4 routes and no address, and would lose them with the VIP (the kernel flushes them with the last address): give it one of its own", ErrState, l.Name)
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
	return slices.ContainsFunc(s.Table(mainTable), func(r fib.Route) bool { return r.Family == fib.V4 && r.Uses(l.Index) }) &&
		!slices.ContainsFunc(s.Addresses, func(a fib.Address) bool { return a.Index == l.Index && a.Prefix.Addr().Is4() })
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
		s := Source{Prefix: fib.Host(v.Prefix.Addr()), Arrival: own}
		if l, ok := linkAt(rs.Tunnels, v.Index); ok {
			t, _ := tunnelOf(l)
			s.Arrival = l
			s.MaxMSS = maxMSS(s.Family(), own.MTU, rs.reply.MTU, t.overhead)
		}
		out = append(out, s)
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

// maxMSS is the most that a client may put into a segment, so that the director
// can wrap it: packets come by the one NIC, wrapped, and answers leave by the
// other. 0 where nothing is known of the NICs.
func maxMSS(f fib.Family, mtuIn, mtuOut, overhead uint32) uint32 {
	headers := segmentHeaders(f)
	if mtuIn <= overhead+headers || mtuOut <= headers {
		return 0
	}
	return min(mtuIn-overhead, mtuOut) - headers
}

// segmentHeaders are the headers of a TCP segment, in bytes.
func segmentHeaders(f fib.Family) uint32 {
	if f == fib.V4 {
		return ipv4Header + tcpHeader
	}
	return ipv6Header + tcpHeader
}

// tunnelModes wants loose mode of IPv4 tunnels: their packets are answered by
// another NIC, which strict mode would not bear. The configuration may say that
// the mode be off.
func (rs *RealServer) tunnelModes(in Input, want func(string, fib.Link, config.RPFilter) error) error {
	if rs == nil {
		return nil
	}
	for _, l := range rs.Tunnels {
		if !slices.ContainsFunc(rs.VIPs, func(v fib.Address) bool { return v.Index == l.Index && v.Prefix.Addr().Is4() }) {
			continue
		}
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

// replyNIC is the NIC that replies leave by, where it is none of the attachment's:
// it gets a table for the VIPs alone.
func (rs *RealServer) replyNIC(in situation, links []fib.Link) ([]NIC, error) {
	if rs == nil {
		return nil, nil
	}
	if _, own := linkAt(links, rs.reply.Index); own {
		return nil, nil
	}
	n := NIC{Link: rs.reply, replies: true, Sources: rs.sources(links[0])}
	for i, s := range n.Sources {
		n.Sources[i].Exit = replyExit(in, n, s.Family())
	}
	return []NIC{n}, missingGateway(in.Config, n)
}

// replyExit is how another NIC's packets leave: as its own attachment has it, or
// by the default route that main has, or would have without us.
func replyExit(in situation, n NIC, f fib.Family) []fib.Hop {
	routes := ownRoutesOf(in.Seen, n, f)
	if in.Then != nil {
		routes = remembered(in.Input, 0)
	}
	for _, r := range routes {
		if r.Family == f && r.IsDefault() {
			return normalHops(r.Hops)
		}
	}
	return exits{in: in, nic: n}.fromKernel(f)
}

// ownRoutesOf are the routes of another NIC in the source table of its own
// attachment: of several the first that has a default.
func ownRoutesOf(s *fib.Snapshot, n NIC, f fib.Family) []fib.Route {
	var best []fib.Route
	for _, table := range tablesOf(s.Rules, n.Link.Name) {
		routes := ofFamily(s.Table(table), f)
		if slices.ContainsFunc(routes, fib.Route.IsDefault) {
			return routes
		}
		if best == nil {
			best = routes
		}
	}
	return best
}

// mirrored are the ways of the NIC that replies leave by: those of its own
// attachment, or what main has on its links.
func (b *tableBuilder) mirrored(f fib.Family) []fib.Route {
	out := slices.Clone(ownRoutesOf(b.in.Seen, b.nic, f))
	for i := range out {
		out[i].Table = b.table.Number
	}
	return append(out, slices.DeleteFunc(b.fromMain(f), func(r fib.Route) bool { return len(r.Gateways()) > 0 })...)
}

// remembered are the routes for replies by another NIC that ADD made, in a table.
func remembered(in Input, table uint32) []fib.Route {
	if in.Mine == nil || in.Mine.LVS == nil {
		return nil
	}
	out := decodeRoutes(in.Seen, in.Mine.LVS.Replies)
	for i := range out {
		out[i].Table = table
	}
	return out
}

// tablesOf lists the source tables of a NIC, of whichever attachment.
func tablesOf(rules []fib.Rule, nic string) []uint32 {
	var out []uint32
	for _, r := range rules {
		if isOwner(r) && r.OIF == nic && !slices.Contains(out, r.Table) {
			out = append(out, r.Table)
		}
	}
	slices.Sort(out) // that of its addresses is older than one of its VIPs
	return out
}

// lvsMemory is what has to be remembered of a real server.
func lvsMemory(in Input, d *Desired) *record.LVS {
	if d.Server == nil {
		return nil
	}
	m := &record.LVS{}
	for _, a := range d.Server.VIPs {
		if _, foreign := foreignVIP(in, a); !foreign {
			m.Addresses = append(m.Addresses, rememberedVIP(a))
		}
	}
	for _, l := range d.Server.Tunnels {
		m.Devices = append(m.Devices, tunnelMemory(in, l))
	}
	for _, n := range d.NICs {
		for _, t := range n.Tables {
			for _, r := range t.Routes {
				if n.replies {
					m.Replies = append(m.Replies, fib.EncodeRoute(r))
				}
			}
		}
	}
	return m
}

// tunnelMemory is how a tunnel was before the first attachment came that uses it.
func tunnelMemory(in Input, l fib.Link) record.Tunnel {
	for _, a := range in.attachments() {
		for _, t := range a.Tunnels() {
			if t.Index == l.Index && tunnelPresent(in.Seen, t) {
				return t
			}
		}
	}
	_, exists := in.Seen.LinkAt(l.Index)
	return record.Tunnel{Index: l.Index, Name: l.Name, Kind: l.Kind, Made: !exists, Down: !l.Up}
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

// serverChanges sets tunnels up and configures the VIPs, and takes away what an
// earlier ADD made of either and this one does not ask for.
func serverChanges(in Input, rs *RealServer) []Op {
	return slices.Concat(rs.tunnelsUp(), rs.configureVIPs(in), vipRemoval(in, rs), tunnelRemoval(in, rs))
}

func (rs *RealServer) tunnelsUp() []Op {
	if rs == nil {
		return nil
	}
	var ops []Op
	for _, l := range rs.Tunnels {
		if !l.Up {
			ops = append(ops, SetLink{Index: l.Index, Name: l.Name, Up: true})
		}
	}
	return ops
}

// configureVIPs configures the VIPs that are not there, and anew those that somebody
// has made sources for the kernel to choose.
func (rs *RealServer) configureVIPs(in Input) []Op {
	if rs == nil {
		return nil
	}
	var ops []Op
	for _, a := range rs.VIPs {
		there, ok := addressAt(in.Seen, a.Index, a.Prefix.Addr())
		if ok && there.Deprecated == a.Deprecated {
			continue
		}
		if ok {
			ops = append(ops, DelAddress{there})
		}
		ops = append(ops, AddAddress{a})
	}
	return ops
}

// vipRemoval takes the attachment's VIPs away, but for those that stay.
func vipRemoval(in Input, stays *RealServer) []Op {
	var ops []Op
	for _, a := range in.Seen.Addresses {
		if !stays.has(a) && ourVIP(in, a) {
			ops = append(ops, DelAddress{a})
		}
	}
	return ops
}

func (rs *RealServer) has(a fib.Address) bool {
	return rs != nil && slices.ContainsFunc(rs.VIPs, func(v fib.Address) bool { return v.Index == a.Index && v.Prefix == a.Prefix })
}

// tunnelRemoval leaves the tunnels that nobody else uses as they were before, but
// for those that stay.
func tunnelRemoval(in Input, stays *RealServer) []Op {
	if in.Mine == nil {
		return nil
	}
	var ops []Op
	for _, t := range slices.Backward(in.Mine.Tunnels()) {
		l, _ := in.Seen.LinkAt(t.Index)
		if stays.uses(t.Index) || in.othersUse(t.Index) || !tunnelPresent(in.Seen, t) {
			continue
		}
		if t.Down && l.Up {
			ops = append(ops, SetLink{Index: t.Index, Name: t.Name, Up: false})
		}
		if t.Made {
			ops = append(ops, DelLink{Index: t.Index, Name: t.Name, Kind: t.Kind})
		}
	}
	return ops
}

func (rs *RealServer) uses(index int) bool {
	if rs == nil {
		return false
	}
	_, ok := linkAt(rs.Tunnels, index)
	return ok
}

// othersUse reports whether another attachment uses a tunnel, or may still do so.
func (in Input) othersUse(index int) bool {
	return slices.ContainsFunc(in.Others, func(o record.Attachment) bool {
		return slices.ContainsFunc(o.Tunnels(), func(t record.Tunnel) bool { return t.Index == index })
	})
}

// ourVIP reports whether this attachment configured an address: it remembers it,
// or else, where nothing is remembered, the kernel says so of a source of its own.
func ourVIP(in Input, a fib.Address) bool {
	if in.Mine != nil {
		return fib.IsHost(a.Prefix) && in.remembersVIP(a)
	}
	if a.Protocol != Protocol {
		return false
	}
	own := ownership(in)
	return slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool {
		return isSource(r) && r.From == a.Prefix && own.holds(r)
	})
}

// LeftBehind lists the VIPs that DEL leaves where nothing is remembered and the
// kernel does not tell who configured them (before Linux 5.18).
func LeftBehind(in Input) []string {
	own := ownership(in)
	var out []string
	for _, a := range in.Seen.Addresses {
		l, ok := in.Seen.LinkAt(a.Index)
		if ok && silent(l) && a.Protocol != Protocol && slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool {
			return isSource(r) && r.From == fib.Host(a.Prefix.Addr()) && own.holds(r)
		}) {
			out = append(out, fmt.Sprintf("the address %s of %s stays: if it is a VIP of ours, take it away (ip addr del %s dev %s)", a, l.Name, a.Prefix, l.Name))
		}
	}
	return out
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
		there, ok := addressAt(s, v.Index, v.Prefix.Addr())
		switch {
		case !ok:
			out = append(out, Deviation{Kind: Missing, What: "the VIP " + v.String() + " on " + rs.deviceName(v.Index), Want: "present", Got: "none"})
		case v.Deprecated && !there.Deprecated:
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
	if l, ok := linkAt(rs.Tunnels, index); ok {
		return l.Name
	}
	return "lo"
}
