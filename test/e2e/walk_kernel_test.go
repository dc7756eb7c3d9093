package e2e

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// rtnl is a netlink socket in a namespace. A walk looks at its pod after each step:
// running ip for that would take longer than the walk.
type rtnl struct{ handle *nl.SocketHandle }

func newRTNL(ns *netlab.NS) (*rtnl, error) {
	var socket *nl.NetlinkSocket
	err := ns.Do(func() (err error) {
		socket, err = nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
		return err
	})
	return &rtnl{&nl.SocketHandle{Socket: socket}}, err
}

func (s *rtnl) close() { s.handle.Close() }

// netlinkMessage is what the kernel tells of one thing: a header of fixed size, and
// attributes.
type netlinkMessage struct {
	header []byte
	attrs  map[uint16][]byte
}

// ask sends one request and collects the messages of its answer.
func (s *rtnl) ask(kind, flags uint16, headerSize int, request []byte) ([]netlinkMessage, error) {
	req := nl.NewNetlinkRequest(int(kind), int(flags))
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: s.handle}
	req.AddRawData(request)
	answer, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	var out []netlinkMessage
	for _, m := range answer {
		out = append(out, netlinkMessage{header: m[:headerSize], attrs: netlinkAttrs(m[headerSize:])})
	}
	return out, nil
}

// dump reads all of a kind, and again where it changed meanwhile.
func (s *rtnl) dump(kind uint16, header []byte, attrs ...byte) ([]netlinkMessage, error) {
	for {
		out, err := s.ask(kind, unix.NLM_F_DUMP, len(header), append(header, attrs...))
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			return out, err
		}
	}
}

func netlinkAttrs(b []byte) map[uint16][]byte {
	parsed, err := nl.ParseRouteAttr(b)
	if err != nil {
		panic(err) // the kernel's own words
	}
	attrs := map[uint16][]byte{}
	for _, a := range parsed {
		attrs[a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = a.Value
	}
	return attrs
}

func netlinkAttr(kind uint16, value []byte) []byte { return nl.NewRtAttr(int(kind), value).Serialize() }

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func ipFrom(b []byte) netip.Addr {
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// text is all that the netlinkMessage says, but for attributes that change by themselves.
func (m netlinkMessage) text(header []byte, ticking ...uint16) string {
	var b strings.Builder
	b.WriteString(hex.EncodeToString(header))
	for _, kind := range slices.Sorted(maps.Keys(m.attrs)) {
		if !slices.Contains(ticking, kind) {
			fmt.Fprintf(&b, " %d:%x", kind, m.attrs[kind])
		}
	}
	return b.String()
}

// Attributes that x/sys lacks (include/uapi/linux/fib_rules.h, if_addr.h).
const (
	fraProtocol = 21
	ifaProto    = 11
)

// protocolNumber marks everything that symroute puts into the kernel.
const protocolNumber = 73

// fact is one rule, route, address or link.
type fact struct {
	// short is for people, whole for comparing.
	short, whole string
	ours         bool
	// table is that of a route, or the one that a rule leads to; anywhere is whole without it.
	table    uint32
	anywhere string
}

// rule is a fact, and what it asks for.
type rule struct {
	fact
	four     bool
	action   uint8
	priority uint32
	from     netip.Prefix // not valid: anything
	oif      string
}

// route is a fact, and what there is to know of it.
type route struct {
	fact
	four     bool
	protocol uint8
	kind     uint8
	metric   uint32
	dst      netip.Prefix
	hops     []hop
}

type hop struct {
	index   int
	gateway netip.Addr
}

// inMain reports whether a route is a default of the main table.
func (r route) defaultOfMain() bool { return r.table == unix.RT_TABLE_MAIN && r.dst.Bits() == 0 }

// device is a link, with the settings that symroute may write.
type device struct {
	fact
	name                                    string
	index                                   int
	up, carrier, loopback, six              bool
	running                                 bool // the kernel is done with a change of the carrier (linkwatch)
	rpFilter, arpFilter, announce, arIgnore int
	keepAddr                                int // keep_addr_on_down, of IPv6
}

// configured is an address of a device.
type configured struct {
	fact
	prefix    netip.Prefix
	index     int
	tentative bool
}

// routing is what routing in a namespace depends on.
type routing struct {
	rules     []rule
	routes    []route
	addresses []configured
	devices   []device
	settings  map[string]string // of all and default
}

// observer reads the state of a namespace.
type observer struct {
	ns   *netlab.NS
	rtnl *rtnl
}

func (o observer) observe() (*routing, error) {
	s := &routing{}
	for _, read := range []func(*routing) error{o.readDevices, o.readAddresses, o.readRules, o.readRoutes, o.readSettings} {
		if err := read(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (o observer) readRules(s *routing) error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		rules, err := o.rtnl.dump(unix.RTM_GETRULE, append([]byte{family}, make([]byte, 11)...))
		if err != nil {
			return err
		}
		for _, m := range rules {
			// Whether the target of a goto is there, and a device, is up to others (FIB_RULE_UNRESOLVED,
			// FIB_RULE_OIF_DETACHED).
			h := slices.Clone(m.header)
			binary.NativeEndian.PutUint32(h[8:], u32(h[8:])&unix.FIB_RULE_INVERT)
			f := fact{
				whole: m.text(h), ours: slices.Equal(m.attrs[fraProtocol], []byte{protocolNumber}),
				table: u32(m.attrs[unix.FRA_TABLE]), anywhere: m.text(withoutTable(h), unix.FRA_TABLE),
			}
			f.short = fmt.Sprintf("rule priority %d from %v/%d table %d: %s", u32(m.attrs[unix.FRA_PRIORITY]),
				ipFrom(m.attrs[unix.FRA_SRC]), m.header[2], u32(m.attrs[unix.FRA_TABLE]), f.whole)
			r := rule{
				fact: f, four: family == unix.AF_INET, action: h[7], priority: u32(m.attrs[unix.FRA_PRIORITY]),
				oif: string(bytes.TrimRight(m.attrs[unix.FRA_OIFNAME], "\x00")),
			}
			if from, ok := m.attrs[unix.FRA_SRC]; ok {
				r.from = netip.PrefixFrom(ipFrom(from), int(m.header[2]))
			}
			s.rules = append(s.rules, r)
		}
	}
	return nil
}

func (o observer) readRoutes(s *routing) error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		routes, err := o.rtnl.dump(unix.RTM_GETROUTE, append([]byte{family}, make([]byte, unix.SizeofRtMsg-1)...))
		if err != nil {
			return err
		}
		for _, m := range routes {
			r := decodeRoute(m)
			if r.merged() {
				hops := o.hopByHop(r)
				r.whole, r.anywhere = r.whole+hops, r.anywhere+hops
			}
			s.routes = append(s.routes, r)
		}
	}
	// In IPv6 the order of routes of one place means nothing, nor that of hops.
	first := slices.IndexFunc(s.routes, func(r route) bool { return !r.four })
	if first >= 0 {
		slices.SortFunc(s.routes[first:], func(a, b route) int { return cmp.Compare(a.whole, b.whole) })
	}
	return nil
}

// merged reports whether the kernel made one default of those of several NICs.
func (r route) merged() bool { return !r.four && r.defaultOfMain() && len(r.hops) > 1 }

// hopByHop are the protocol and the MTU of each NIC's hop: a dump tells those of the first one only.
func (o observer) hopByHop(r route) string {
	var texts []string
	for _, h := range r.hops {
		request := append([]byte{unix.AF_INET6, 128}, make([]byte, unix.SizeofRtMsg-2)...)
		binary.NativeEndian.PutUint32(request[8:], unix.RTM_F_FIB_MATCH)
		request = append(request, netlinkAttr(unix.RTA_DST, offLink(false).AsSlice())...)
		request = append(request, netlinkAttr(unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(h.index)))...)
		if answer, err := o.rtnl.ask(unix.RTM_GETROUTE, 0, unix.SizeofRtMsg, request); err == nil && len(answer) > 0 {
			texts = append(texts, fmt.Sprintf(", dev %d proto %d metrics %x", h.index, answer[0].header[5], answer[0].attrs[unix.RTA_METRICS]))
		}
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), "")
}

// withoutTable is a header of a rule or route without the number of its table, which stands at
// the same place in both (fib_rule_hdr, rtmsg).
func withoutTable(header []byte) []byte {
	h := slices.Clone(header)
	h[4] = 0
	return h
}

func decodeRoute(m netlinkMessage) route {
	h := m.header
	r := route{
		four: h[0] == unix.AF_INET, protocol: h[5], kind: h[7], metric: u32(m.attrs[unix.RTA_PRIORITY]),
		fact: fact{ours: h[5] == protocolNumber, table: uint32(h[4])},
	}
	if t, ok := m.attrs[unix.RTA_TABLE]; ok {
		r.table = u32(t)
	}
	everywhere := netip.IPv6Unspecified()
	if r.four {
		everywhere = netip.IPv4Unspecified()
	}
	r.dst = netip.PrefixFrom(everywhere, int(h[1]))
	if dst, ok := m.attrs[unix.RTA_DST]; ok {
		r.dst = netip.PrefixFrom(ipFrom(dst), int(h[1]))
	}
	var texts []string
	for rest := m.attrs[unix.RTA_MULTIPATH]; len(rest) >= unix.SizeofRtNexthop; {
		size := int(binary.NativeEndian.Uint16(rest))
		attrs := netlinkAttrs(rest[unix.SizeofRtNexthop:size])
		r.hops = append(r.hops, hop{int(u32(rest[4:])), ipFrom(attrs[unix.RTA_GATEWAY])})
		texts = append(texts, fmt.Sprintf("dev %d weight %d via %v", u32(rest[4:]), rest[3]+1, ipFrom(attrs[unix.RTA_GATEWAY])))
		rest = rest[min(len(rest), (size+3)&^3):]
	}
	if len(texts) == 0 {
		r.hops = []hop{{int(u32(m.attrs[unix.RTA_OIF])), ipFrom(m.attrs[unix.RTA_GATEWAY])}}
		texts = []string{fmt.Sprintf("dev %d via %v", r.hops[0].index, r.hops[0].gateway)}
	}
	if !r.four {
		slices.Sort(texts)
	}
	// What the flags say of hops, but for onlink, is up to the carrier.
	header := slices.Concat(h[:8], []byte{h[8] & unix.RTNH_F_ONLINK})
	ticking := []uint16{unix.RTA_CACHEINFO, unix.RTA_MULTIPATH}
	if r.merged() { // which hop is the first, whose attributes these are, depends on which came first
		ticking = append(ticking, unix.RTA_METRICS)
		header[5] = 0 // rtm_protocol
	}
	r.whole = m.text(header, ticking...) + strings.Join(texts, ", ")
	r.anywhere = m.text(withoutTable(header), append(ticking, unix.RTA_TABLE)...) + strings.Join(texts, ", ")
	r.short = fmt.Sprintf("route %v %s metric %d src %v proto %d type %d table %d", r.dst, strings.Join(texts, ", "),
		u32(m.attrs[unix.RTA_PRIORITY]), ipFrom(m.attrs[unix.RTA_PREFSRC]), r.protocol, r.kind, r.table)
	return r
}

func (o observer) readAddresses(s *routing) error {
	addresses, err := o.rtnl.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return err
	}
	for _, m := range addresses {
		ip, ok := m.attrs[unix.IFA_LOCAL]
		if !ok {
			ip = m.attrs[unix.IFA_ADDRESS]
		}
		c := configured{
			prefix: netip.PrefixFrom(ipFrom(ip), int(m.header[1])), index: int(u32(m.header[4:])),
			tentative: u32(m.attrs[unix.IFA_FLAGS])&unix.IFA_F_TENTATIVE != 0,
		}
		c.whole = m.text(m.header, unix.IFA_CACHEINFO)
		c.short = fmt.Sprintf("address %v dev %d: %s", c.prefix, c.index, c.whole)
		c.ours = slices.Equal(m.attrs[ifaProto], []byte{protocolNumber})
		s.addresses = append(s.addresses, c)
	}
	// The kernel tells them by hash.
	slices.SortStableFunc(s.addresses, func(a, b configured) int { return cmp.Compare(a.index, b.index) })
	return nil
}

// Places in IFLA_INET_CONF (include/uapi/linux/ip.h, IPV4_DEVCONF_*, from 1).
const (
	confRPFilter = 8 - 1
	confARPFiler = 13 - 1
	confAnnounce = 18 - 1
	confIgnore   = 19 - 1
)

// Places in IFLA_INET6_CONF (include/uapi/linux/ipv6.h, from 0).
const (
	confDisableIPv6 = 26
	confKeepAddr    = 42
)

func (o observer) readDevices(s *routing) error {
	// Statistics change by themselves (include/uapi/linux/rtnetlink.h, RTEXT_FILTER_SKIP_STATS).
	mask := netlinkAttr(unix.IFLA_EXT_MASK, []byte{1 << 3, 0, 0, 0})
	links, err := o.rtnl.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), mask...)
	if err != nil {
		return err
	}
	for _, m := range links {
		flags := u32(m.header[8:])
		d := device{
			name: string(bytes.TrimRight(m.attrs[unix.IFLA_IFNAME], "\x00")), index: int(u32(m.header[4:])),
			up: flags&unix.IFF_UP != 0, carrier: flags&unix.IFF_LOWER_UP != 0, running: flags&unix.IFF_RUNNING != 0, loopback: flags&unix.IFF_LOOPBACK != 0,
		}
		families := netlinkAttrs(m.attrs[unix.IFLA_AF_SPEC])
		four := slices.Clone(netlinkAttrs(families[unix.AF_INET])[unix.IFLA_INET_CONF])
		for place, value := range map[int]*int{
			confRPFilter: &d.rpFilter, confARPFiler: &d.arpFilter, confAnnounce: &d.announce, confIgnore: &d.arIgnore,
		} {
			if len(four) >= 4*place+4 {
				*value = int(u32(four[4*place:]))
				clear(four[4*place : 4*place+4])
			}
		}
		six := slices.Clone(netlinkAttrs(families[unix.AF_INET6])[unix.IFLA_INET6_CONF])
		if len(six) >= 4*confKeepAddr+4 {
			d.keepAddr = int(u32(six[4*confKeepAddr:]))
			clear(six[4*confKeepAddr : 4*confKeepAddr+4])
		}
		d.six = len(six) > 4*confDisableIPv6 && u32(six[4*confDisableIPv6:]) == 0
		d.whole = fmt.Sprintf("%d %s up %t mtu %d ipv4 %x ipv6 %x", d.index, d.name, d.up, u32(m.attrs[unix.IFLA_MTU]), four, six)
		d.short = "device " + d.whole
		s.devices = append(s.devices, d)
	}
	slices.SortFunc(s.devices, func(a, b device) int { return cmp.Compare(a.index, b.index) })
	return nil
}

// readSettings reads those of all and default; the devices' came with the devices.
func (o observer) readSettings(s *routing) error {
	s.settings = map[string]string{}
	return o.ns.Do(func() error {
		for _, dir := range []string{"ipv4/conf/all", "ipv4/conf/default", "ipv6/conf/all", "ipv6/conf/default"} {
			entries, err := os.ReadDir(filepath.Join("/proc/sys/net", dir))
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if entry.Type() != fs.FileMode(0) || entry.Name() == "stable_secret" {
					continue
				}
				value, err := os.ReadFile(filepath.Join("/proc/sys/net", dir, entry.Name()))
				if err == nil {
					s.settings[dir+"/"+entry.Name()] = strings.TrimSpace(string(value))
				}
			}
		}
		return nil
	})
}

// device finds a link by its name.
func (s *routing) device(name string) (device, bool) {
	i := slices.IndexFunc(s.devices, func(d device) bool { return d.name == name })
	if i < 0 {
		return device{}, false
	}
	return s.devices[i], true
}

// nameOf is the name of the device with an index.
func (s *routing) nameOf(index int) string {
	for _, d := range s.devices {
		if d.index == index {
			return d.name
		}
	}
	return ""
}

// has reports whether a device has an address.
func (s *routing) has(ip netip.Addr, index int) bool {
	return slices.ContainsFunc(s.addresses, func(a configured) bool {
		return a.prefix.Addr() == ip && (index == 0 || a.index == index)
	})
}

// settled reports whether the kernel has done all it does about links and
// addresses in its own time. Those that are silent have no carrier.
func (s *routing) settled(silent map[string]bool) bool {
	for _, d := range s.devices {
		if d.up && !d.loopback && (d.carrier == silent[strings.TrimPrefix(d.name, "was-")] || d.carrier != d.running) {
			return false
		}
	}
	for _, a := range s.addresses {
		delivered := slices.ContainsFunc(s.routes, func(r route) bool {
			return r.kind == unix.RTN_LOCAL && r.dst.Addr() == a.prefix.Addr()
		})
		i := slices.IndexFunc(s.devices, func(d device) bool { return d.index == a.index })
		if a.prefix.Addr().Is6() && s.devices[i].up && s.devices[i].carrier && (a.tentative || !delivered) {
			return false
		}
	}
	for _, d := range s.devices {
		own := slices.ContainsFunc(s.addresses, func(a configured) bool {
			return a.index == d.index && a.prefix.Addr().IsLinkLocalUnicast()
		})
		if d.up && d.carrier && d.six && !d.loopback && !own {
			return false
		}
	}
	return true
}

// way is what the kernel answers when it is asked for a route.
type way struct {
	kind    uint8
	index   int
	gateway netip.Addr
	err     error
}

func (w way) String() string {
	if w.err != nil {
		return w.err.Error()
	}
	return fmt.Sprintf("type %d dev %d via %v", w.kind, w.index, w.gateway)
}

// way asks what becomes of a packet: of one that comes in by a device, or with 0,
// of one that the pod sends. (`ip route get TO from FROM [iif DEVICE]`.)
func (o observer) way(to, from netip.Addr, iif int) way {
	family, bits := byte(unix.AF_INET6), byte(128)
	if to.Is4() {
		family, bits = unix.AF_INET, 32
	}
	request := append([]byte{family, bits, 0, 0}, make([]byte, unix.SizeofRtMsg-4)...)
	request = append(request, netlinkAttr(unix.RTA_DST, to.AsSlice())...)
	if from.IsValid() {
		request[2] = bits
		request = append(request, netlinkAttr(unix.RTA_SRC, from.AsSlice())...)
	}
	if iif != 0 {
		request = append(request, netlinkAttr(unix.RTA_IIF, binary.NativeEndian.AppendUint32(nil, uint32(iif)))...)
	}
	answer, err := o.rtnl.ask(unix.RTM_GETROUTE, 0, unix.SizeofRtMsg, request)
	if err != nil || len(answer) == 0 {
		return way{err: fmt.Errorf("refused: %w", err)}
	}
	r := decodeRoute(answer[0])
	return way{kind: r.kind, index: r.hops[0].index, gateway: r.hops[0].gateway}
}
