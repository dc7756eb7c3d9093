package kernel

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

var notShown = cmpopts.IgnoreFields(fib.Address{}, "Protocol") // by iproute2 of Debian 12

// observed compares what was observed.
var observed = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

// A namespace with something of everything that this machine's kernel has.
var (
	richLinks = []string{
		"link add br0 type bridge",
		"link add mac0 link eth0 type macvlan mode bridge",
		"link add down0 type veth peer name down1",
		"link set dev far1 master br0",
		"link set dev br0 up",
		"addr add 10.1.0.3/24 dev eth0", // a secondary one
		"addr add 10.3.0.2 peer 10.3.0.1/32 dev net1",
		"addr add 10.4.0.2/32 dev lo scope host",
		"addr add 2001:db8:2::3/128 dev net1 preferred_lft 0",
	}
	richRules = []string{
		"rule add priority 100 from 10.1.0.2 to 10.96.0.0/12 iif eth0 table 7300 protocol 73",
		"rule add priority 101 not from 10.1.0.0/24 table 8",
		"rule add priority 102 oif net1 tos 0x10 table 8 protocol static",
		"rule add priority 103 oif absent table 4294967295",
		"rule add priority 104 from 10.9.0.0/16 unreachable protocol 73",
		"rule add priority 105 from 10.9.0.0/16 prohibit",
		"rule add priority 106 from 10.9.0.0/16 blackhole",
		"rule add priority 107 fwmark 0x7/0xff table 8",
		"rule add priority 108 ipproto tcp sport 80 dport 100-200 table 9",
		"rule add priority 109 table main suppress_prefixlength 0",
		"rule add priority 110 table main suppress_ifgroup 5",
		"rule add priority 111 uidrange 0-100 table 8",
		"rule add priority 112 goto 4000",
		"rule add priority 113 nop",
		"rule add priority 114 l3mdev",
		"rule add priority 115 tun_id 5 table 9",
		"rule add priority 116 from 10.1.0.2 realms 3/4 table 9",
		"rule add priority 117 from 10.1.0.2 table 9",
		"rule add priority 117 from 10.1.0.2 table 10",
		"-6 rule add priority 100 from 2001:db8:1::2 to fd00::/8 table 7300 protocol 73",
		"-6 rule add priority 101 oif net1 table 7300 protocol 73",
		"-6 rule add priority 102 from 2001:db8:1::/64 unreachable",
		"-6 rule add priority 103 fwmark 9 iif lo table 8",
		"-6 rule add priority 104 not from 2001:db8:1::2 tos 0x10 table 9",
	}
	richRoutes = []string{
		"route add default via 10.1.0.1 dev eth0",
		"route append default via 10.2.0.1 dev net1",
		"route add default via 10.2.0.1 dev net1 metric 100",
		"route add 172.16.0.0/12 via 10.1.0.1 dev eth0 protocol static metric 50 mtu 1400 advmss 1360 src 10.1.0.2",
		"route add 172.17.0.0/16 via 10.1.0.1 dev eth0 tos 0x10",
		"route add 172.18.0.0/16 nexthop via 10.1.0.1 dev eth0 weight 3 nexthop via 10.2.0.1 dev net1 weight 256",
		"route add 172.19.0.0/16 via 192.0.2.1 dev eth0 onlink",
		"route add 172.20.0.1/32 dev eth0 scope link",
		"route add 172.22.0.0/16 via inet6 fe80::1 dev eth0",
		"route add 172.23.0.0/16 via 10.1.0.1 dev eth0 window 4096 congctl cubic mtu lock 1300",
		"route add 172.24.0.0/16 nexthop via 10.1.0.1 dev eth0 nexthop via 192.0.2.1 dev net1 onlink",
		"route add blackhole 172.25.0.0/16",
		"route add unreachable 172.26.0.0/16 table 7300",
		"route add prohibit 172.27.0.0/16 table 7300",
		"route add throw 172.28.0.0/16 table 7300",
		"route add default via 10.2.0.1 dev net1 table 7300 protocol 73",
		"-6 route add default via fe80::1 dev eth0",
		"-6 route append default via 2001:db8:2::1 dev net1",
		"-6 route append default via fe80::9 dev net1 metric 2048",
		"-6 route add 3fff:0::/64 via 2001:db8:1::1 pref high mtu 1400",
		"-6 route add 3fff:1::/64 from 2001:db8:1::/64 via 2001:db8:1::1 pref low",
		"-6 route add 3fff:2::/64 via 2001:db8:1::1 advmss 1200 src 2001:db8:1::2",
		"-6 route add 3fff:3::/64 dev eth0 metric 7",
		"-6 route add unreachable 3fff:4::/64",
		"-6 route add blackhole 3fff:5::/64 table 7300",
		"-6 route add 3fff:6::/64 nexthop via 2001:db8:1::1 dev eth0 weight 2 nexthop via 2001:db8:2::1 dev net1",
		"-6 route add 3fff:7::1 via 2001:db8:9::1 dev eth0 onlink table 7300",
	}
	// Routes that do not survive being written again.
	frailRoutes = []string{
		"nexthop add id 5 via 10.2.0.9 dev net1",
		"nexthop add id 6 via 2001:db8:2::9 dev net1",
		"route add 172.21.0.0/16 nhid 5",
		"-6 route add 3fff:21::/64 nhid 6",
		"-6 route add 3fff:22::/64 via 2001:db8:1::1 dev eth0 expires 5000",
		"-6 route add default via fe80::7 dev eth0 metric 9 protocol ra expires 5000",
	}
)

func TestObserve(t *testing.T) {
	n := newNetns(t, slices.Concat(twoNICs, richLinks, richRules, richRoutes, frailRoutes)...)
	n.set(t, 1, "ipv4/conf/all/rp_filter")
	n.set(t, 2, "ipv4/conf/default/rp_filter")
	n.set(t, 2, "ipv4/conf/eth0/rp_filter")
	n.set(t, 1, "ipv4/conf/net1/arp_ignore")
	n.set(t, 2, "ipv4/conf/net1/arp_announce")
	n.set(t, 1, "ipv4/conf/net1/arp_filter")
	n.set(t, 1, "ipv6/conf/mac0/disable_ipv6")
	n.set(t, 1, "ipv6/conf/net1/keep_addr_on_down")
	n.set(t, -1, "ipv6/conf/eth0/keep_addr_on_down")

	ns := n.enter(t)
	// The kernel still gives the new links their addresses: the picture counts
	// when nothing has changed around it.
	var got *fib.Snapshot
	want := n.snapshot(t, 254, 7300, 9999)
	for settled := false; !settled; {
		var err error
		if got, err = ns.Observe(); err != nil {
			t.Fatal(err)
		}
		if err := ns.ReadTables(got, 7300, 9999); err != nil {
			t.Fatal(err)
		}
		after := n.snapshot(t, 254, 7300, 9999)
		settled = cmp.Equal(want, after, observed)
		want = after
	}
	if diff := cmp.Diff(want.Links, got.Links); diff != "" {
		t.Errorf("links (-ip +observed):\n%s", diff)
	}
	if diff := cmp.Diff(want.Addresses, got.Addresses, observed, notShown); diff != "" {
		t.Errorf("addresses (-ip +observed):\n%s", diff)
	}
	if diff := cmp.Diff(want.Rules, opaqueRules(got.Rules), observed); diff != "" {
		t.Errorf("rules (-ip +observed):\n%s", diff)
	}
	want.Routes = hopsOfDefaults(want.Routes)
	if diff := cmp.Diff(want.Routes, opaqueRoutes(got.Routes), observed); diff != "" {
		t.Errorf("routes (-ip +observed):\n%s", diff)
	}
	if got.All.RPFilter != 1 || got.Default.RPFilter != 2 {
		t.Errorf("rp_filter is %d for all and %d by default, want 1 and 2", got.All.RPFilter, got.Default.RPFilter)
	}
}

func TestObserveWithoutIPv6(t *testing.T) {
	n := newNetns(t, "link add net1 type veth peer name far1", "link set dev net1 up", "addr add 10.2.0.2/24 dev net1")
	n.set(t, 1, "ipv6/conf/all/disable_ipv6")
	got, err := n.enter(t).Observe()
	if err != nil {
		t.Fatal(err)
	}
	want := n.snapshot(t, 254)
	if diff := cmp.Diff(want, got, observed); diff != "" {
		t.Errorf("(-ip +observed):\n%s", diff)
	}
	for _, l := range got.Links {
		if l.IPv6 {
			t.Errorf("%s takes part in IPv6", l.Name)
		}
	}
}

// A device whose MTU is too small for IPv4 has no IPv4 settings.
func TestObserveWithoutIPv4(t *testing.T) {
	n := newNetns(t, "link set dev lo mtu 67")
	got, err := n.enter(t).Observe()
	if err != nil {
		t.Fatal(err)
	}
	want := []fib.Link{{Index: 1, Name: "lo", Up: true, Loopback: true, MTU: 67, HasIPv6: true, IPv6: true}}
	if diff := cmp.Diff(want, got.Links); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What stands in a table, and in all: those of the kernel's own among them.
func TestTable(t *testing.T) {
	n := newNetns(t, append(twoNICs, "route add default via 10.2.0.1 table 7300", "-6 route add default via fe80::1 dev net1 table 7300",
		"-6 route add fd00::/8 via fe80::1 dev net1 table 7301", "rule add table 7302",
		"route add default via 10.2.0.1 table 7303", "route del default table 7303")...)
	ns := n.enter(t)
	for table, want := range map[uint32]int{7300: 2, 7301: 1, 7302: 0, 7303: 0, 7304: 0, 1<<32 - 1: 0} {
		routes, err := ns.Table(table)
		if err != nil || len(routes) != want {
			t.Errorf("table %d: %v (%v), want %d routes", table, routes, err, want)
		}
	}
	all, err := ns.AllRoutes()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []uint32{254, 255, 7300, 7301} {
		of, err := ns.Table(table)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range of {
			if !slices.ContainsFunc(all, r.Equal) {
				t.Errorf("of all routes there is no %s", r)
			}
		}
	}
}

// Only the table that was asked for comes from the kernel, since Linux 4.20, and only it is
// passed on.
func TestRoutesOfOneTable(t *testing.T) {
	ns := newNetns(t, append(twoNICs, "route add default via 10.2.0.1 table 7300")...).enter(t)
	for table, want := range map[uint32]int{7300: 1, 254: 2} {
		messages, err := ns.sock.dump(unix.RTM_GETROUTE, wire.EncodeRouteDump(fib.V4, table))
		if err != nil || len(messages) != want {
			t.Errorf("table %d: the kernel sent %d routes (%v), want %d", table, len(messages), err, want)
		}
		routes, err := ns.routes(fib.V4, table)
		if err != nil || len(routes) != want {
			t.Errorf("table %d: read %v (%v), want %d", table, routes, err, want)
		}
	}
}

// A hop of a merged IPv6 default keeps its own protocol and attributes although a rule leads
// questions by its device to another table: it is an ADD's, which DEL has to tell by them.
func TestMergedDefaultBesideRules(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"-6 route add default via 2001:db8:1::1 dev eth0 protocol boot",
		"-6 route append default via 2001:db8:2::1 dev net1 protocol 73 mtu 1400",
		"-6 route add default via 2001:db8:2::1 dev net1 table 7300",
		"-6 rule add oif net1 lookup 7300 priority 100")...)
	s, err := n.enter(t).Observe()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint8{}
	for _, r := range s.Defaults(unix.RT_TABLE_MAIN) {
		if r.Family == fib.V6 {
			got[r.Hops[0].Gateway.String()] = r.Protocol
		}
	}
	want := map[string]uint8{"2001:db8:1::1": unix.RTPROT_BOOT, "2001:db8:2::1": 73}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("protocols of hops (-want +got):\n%s", diff)
	}
}

func TestReadARP(t *testing.T) {
	n := newNetns(t)
	n.set(t, 1, "ipv4/conf/all/arp_ignore")
	n.set(t, 2, "ipv4/conf/default/arp_announce")
	s := &fib.Snapshot{}
	if err := n.enter(t).ReadARP(s); err != nil {
		t.Fatal(err)
	}
	if s.All != (fib.Settings{ARPIgnore: 1}) || s.Default != (fib.Settings{ARPAnnounce: 2}) {
		t.Errorf("all %+v, default %+v", s.All, s.Default)
	}
}

// hopsOfDefaults takes the merged IPv6 defaults of main apart, as Observe does.
func hopsOfDefaults(routes []fib.Route) []fib.Route {
	var out []fib.Route
	for _, r := range routes {
		if r.Table == unix.RT_TABLE_MAIN && r.IsDefault() {
			out = append(out, fib.Hops([]fib.Route{r})...)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// snapshot is what Observe ought to see, by the word of iproute2 and /proc/sys.
// Of attributes that are not modelled it only says that there are some.
func (n *testNS) snapshot(t testing.TB, tables ...uint32) *fib.Snapshot {
	t.Helper()
	s := &fib.Snapshot{
		All:     fib.Settings{RPFilter: n.get(t, "ipv4/conf/all/rp_filter"), ARPIgnore: n.get(t, "ipv4/conf/all/arp_ignore")},
		Default: fib.Settings{RPFilter: n.get(t, "ipv4/conf/default/rp_filter")},
	}
	s.Links, s.Addresses = n.links(t)
	for _, f := range fib.Families() {
		for _, r := range n.list(t, f, "rule", "show") {
			s.Rules = append(s.Rules, r.rule(f))
		}
	}
	for _, table := range tables {
		for _, f := range fib.Families() {
			for _, r := range n.list(t, f, "route", "show", "table", fmt.Sprint(table)) {
				s.Routes = append(s.Routes, r.route(f, table, s))
			}
		}
	}
	return s
}

// object is one object of iproute2's JSON.
type object map[string]json.RawMessage

// list runs an ip command for one family. A table that does not exist is empty.
func (n *testNS) list(t testing.TB, f fib.Family, args ...string) []object {
	t.Helper()
	family := map[fib.Family]string{fib.V4: "-4", fib.V6: "-6"}[f]
	out, err := n.output("", append([]string{"-N", "-j", "-details", family}, args...)...)
	if err != nil && strings.Contains(err.Error(), "FIB table does not exist") {
		return nil
	}
	var list []object
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		t.Fatalf("ip %v: %v", args, err)
	}
	return list
}

func (o object) has(key string) bool { _, ok := o[key]; return ok }

func (o object) text(key string) string {
	var s string
	if o.has(key) && json.Unmarshal(o[key], &s) != nil {
		return string(o[key]) // a number
	}
	return s
}

func (o object) number(key string) int {
	v, _ := strconv.ParseInt(o.text(key), 0, 64)
	return int(v)
}

func (o object) objects(key string) []object {
	var list []object
	_ = json.Unmarshal(o[key], &list)
	return list
}

func (o object) words(key string) []string {
	var list []string
	_ = json.Unmarshal(o[key], &list)
	return list
}

func (o object) object(key string) object {
	var one object
	_ = json.Unmarshal(o[key], &one)
	return one
}

// prefixOf reads "192.0.2.1", "192.0.2.0/24", "default" or "all".
func prefixOf(text string, whole netip.Prefix) netip.Prefix {
	if a, err := netip.ParseAddr(text); err == nil {
		return fib.Host(a)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p
	}
	return whole
}

func addrOf(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

// opaque stands for attributes that are not modelled.
const opaque = "..."

func (o object) rule(f fib.Family) fib.Rule {
	r := fib.Rule{
		Family:   f,
		Priority: uint32(o.number("priority")),
		From:     o.end("src", "srclen"),
		To:       o.end("dst", "dstlen"),
		IIF:      o.text("iif"),
		OIF:      o.text("oif"),
		Action:   fib.Lookup,
		Table:    uint32(o.number("table")),
		Protocol: uint8(o.number("protocol")),
		Inverted: o.has("not"),
		TOS:      uint8(o.number("tos")),
	}
	switch {
	case o.has("action"):
		r.Action = fib.Action(o.number("action"))
	case o.has("goto"):
		r.Action, r.Target = fib.Goto, uint32(o.number("goto"))
	case o.has("nop"):
		r.Action = fib.Nop
	}
	modelled := []string{"priority", "src", "srclen", "dst", "dstlen", "iif", "iif_detached", "oif", "oif_detached", "table", "protocol", "action", "goto", "unresolved", "nop", "not", "tos"}
	for key := range o {
		if !slices.Contains(modelled, key) {
			r.Other = opaque
		}
	}
	return r
}

// end is the source or destination of a rule.
func (o object) end(key, length string) netip.Prefix {
	p := prefixOf(o.text(key), netip.Prefix{})
	if o.has(length) {
		return netip.PrefixFrom(p.Addr(), o.number(length))
	}
	return p
}

func (o object) route(f fib.Family, table uint32, s *fib.Snapshot) fib.Route {
	r := fib.Route{
		Family:    f,
		Dst:       prefixOf(o.text("dst"), f.Any()),
		From:      prefixOf(o.text("from"), netip.Prefix{}),
		TOS:       uint8(o.number("tos")),
		Table:     table,
		Protocol:  uint8(o.number("protocol")),
		Scope:     fib.Scope(o.number("scope")),
		Type:      fib.RouteType(o.number("type")),
		Metric:    uint32(o.number("metric")),
		PrefSrc:   addrOf(o.text("prefsrc")),
		NexthopID: uint32(o.number("nhid")),
		Expires:   o.has("expires"),
		Pref:      map[string]uint8{"high": 1, "low": 3}[o.text("pref")],
	}
	for _, metrics := range o.objects("metrics") {
		r.MTU, r.AdvMSS = uint32(metrics.number("mtu")), uint32(metrics.number("advmss"))
		maps.DeleteFunc(metrics, func(k string, _ json.RawMessage) bool { return k == "mtu" || k == "advmss" })
		if len(metrics) > 0 {
			r.OtherMetrics = opaque
		}
	}
	for _, h := range o.objects("nexthops") {
		r.Hops = append(r.Hops, h.hop(s))
	}
	if o.has("dev") {
		r.Hops = []fib.Hop{o.hop(s)}
	}
	return r
}

func (o object) hop(s *fib.Snapshot) fib.Hop {
	h := fib.Hop{
		Gateway: addrOf(o.text("gateway")),
		Dev:     o.text("dev"),
		Weight:  o.number("weight"),
		OnLink:  slices.Contains(o.words("flags"), "onlink"),
	}
	if o.has("via") {
		h.Gateway = addrOf(o.object("via").text("host"))
	}
	l, _ := s.Link(h.Dev)
	h.Index = l.Index
	return h
}

// idle is why a link does not run: ip shows NO-CARRIER for every one of those.
func (o object) idle() string {
	has := func(flag string) bool { return slices.Contains(o.words("flags"), flag) }
	switch {
	case !has("UP"):
		return ""
	case !has("LOWER_UP"):
		return "no carrier"
	case has("NO-CARRIER"):
		return "dormant"
	}
	return ""
}

// links are the links and addresses that `ip addr` shows.
func (n *testNS) links(t testing.TB) (links []fib.Link, addresses []fib.Address) {
	t.Helper()
	var list []object
	if err := json.Unmarshal([]byte(n.show(t, "-N", "-j", "-details", "addr", "show")), &list); err != nil {
		t.Fatal(err)
	}
	index := map[string]int{}
	for _, o := range list {
		index[o.text("ifname")] = o.number("ifindex")
	}
	for _, o := range list {
		l := fib.Link{
			Index:    o.number("ifindex"),
			Name:     o.text("ifname"),
			Up:       slices.Contains(o.words("flags"), "UP"),
			Loopback: slices.Contains(o.words("flags"), "LOOPBACK"),
			Master:   index[o.text("master")],
			Idle:     o.idle(),
			Kind:     o.object("linkinfo").text("info_kind"),
			MTU:      uint32(o.number("mtu")),
			HasIPv4:  true,
			HasIPv6:  true,
			IPv6:     n.get(t, "ipv6/conf", o.text("ifname"), "disable_ipv6") == 0,
		}
		for key, value := range map[string]*int{"rp_filter": &l.RPFilter, "arp_ignore": &l.ARPIgnore, "arp_announce": &l.ARPAnnounce, "arp_filter": &l.ARPFilter} {
			*value = n.get(t, "ipv4/conf", l.Name, key)
		}
		l.KeepAddrOnDown = n.get(t, "ipv6/conf", l.Name, "keep_addr_on_down")
		links = append(links, l)
	}
	return links, addressesOf(list)
}

// addressesOf lists addresses as the kernel does: by family, then by link.
func addressesOf(list []object) []fib.Address {
	var out []fib.Address
	for _, family := range []string{"inet", "inet6"} {
		for _, o := range list {
			for _, a := range o.objects("addr_info") {
				if a.text("family") == family {
					out = append(out, fib.Address{
						Index:      o.number("ifindex"),
						Prefix:     netip.PrefixFrom(addrOf(a.text("local")), a.number("prefixlen")),
						Scope:      fib.Scope(a.number("scope")),
						Tentative:  a.has("tentative"),
						Deprecated: a.has("deprecated"),
					})
				}
			}
		}
	}
	return out
}

func opaqueRules(rules []fib.Rule) []fib.Rule {
	out := slices.Clone(rules)
	for i := range out {
		if out[i].Other != "" {
			out[i].Other = opaque
		}
	}
	return out
}

func opaqueRoutes(routes []fib.Route) []fib.Route {
	out := slices.Clone(routes)
	for i := range out {
		if out[i].OtherMetrics != "" {
			out[i].OtherMetrics = opaque
		}
	}
	return out
}
