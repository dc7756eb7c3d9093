package walk

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// steps is how long a walk is, without the DELs at its end.
const steps = 12

// New draws a walk.
func New(seed uint64) Walk {
	d := &draw{
		Rand: rand.New(rand.NewPCG(seed, 0)), there: map[string]bool{}, up: map[string]bool{}, attached: map[string]bool{}, next: 10,
		index: map[string]int{}, silent: map[string]bool{}, sixOff: map[string]bool{}, routers: map[string]netip.Addr{},
	}
	d.w = Walk{Seed: seed, All: d.mode(), Default: d.mode(), NICs: d.nics()}
	d.step(Step{Verb: Plug, NIC: d.w.NICs[0].Name})
	for len(d.w.Steps) < steps {
		d.something()
	}
	d.allLeave()
	return d.w
}

// draw is a walk that is being drawn, and what is known of the pod at its end.
type draw struct {
	*rand.Rand
	w        Walk
	there    map[string]bool // NICs
	up       map[string]bool
	attached map[string]bool // also where the ADD was killed
	index    map[string]int
	silent   map[string]bool       // without carrier
	sixOff   map[string]bool       // without IPv6
	routers  map[string]netip.Addr // that came after IPAM's, by NIC and family
	next     int                   // interface index
	undo     []Line                // takes back what others did
	hosts    int                   // addresses of others
}

func pick[T any](d *draw, list ...T) T { return list[d.IntN(len(list))] }

// chance is true in one of n cases.
func (d *draw) chance(n int) bool { return d.IntN(n) == 0 }

func (d *draw) mode() int { return pick(d, 0, 0, 1, 2) }

// nics draws the NICs. Some share a subnet, some have one that lies in another's.
func (d *draw) nics() []NIC {
	var nics []NIC
	for i := range pick(d, 1, 2, 2, 3, 3, 4, 5, 6) {
		n := NIC{Name: fmt.Sprintf("net%d", i), Defaults: !d.chance(3), Metric: pick(d, 0, 0, 0, 0, 50, 100)}
		if i == 0 {
			n.Name = "eth0"
		}
		n.MTU = pick(d, 0, 0, 0, 1400, 1350)
		families := pick(d, "46", "46", "4", "6")
		gateways := !d.chance(5)
		for _, family := range families {
			for range pick(d, 1, 1, 1, 2) {
				n.Addresses = append(n.Addresses, d.address(i, len(n.Addresses), family == '4', gateways && !d.chance(8)))
			}
		}
		if d.chance(3) {
			n.Routes = append(n.Routes, prefix("172.30.%d.0/24", i), prefix("2001:db8:30:%x::/64", i))
		}
		if d.chance(4) {
			n.Settings = append(n.Settings, fmt.Sprintf("rp_filter=%d", d.IntN(3)))
		}
		nics = append(nics, n)
	}
	return nics
}

// address draws the k-th address of the i-th NIC. No two NICs have the same.
func (d *draw) address(i, k int, four, gateway bool) Address {
	subnet := pick(d, i, i, i, 0) // 0: shared with eth0, or within its subnet
	host := 10 + 10*i + k
	var a Address
	if four {
		bits := pick(d, 24, 24, 24, 16)
		a.Prefix = netip.PrefixFrom(addr("10.%d.0.%d", subnet, host), bits)
		a.Gateway = addr("10.%d.0.1", subnet)
	} else {
		bits := pick(d, 64, 64, 64, 48)
		a.Prefix = netip.PrefixFrom(addr("2001:db8:%x::%x", subnet, host), bits)
		a.Gateway = pick(d, addr("2001:db8:%x::1", subnet), addr("2001:db8:%x::1", subnet), addr("fe80::1"))
	}
	if !gateway {
		a.Gateway = netip.Addr{}
	}
	return a
}

func addr(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}

func prefix(format string, args ...any) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf(format, args...))
}

// step appends a step, and notes what comes of it.
func (d *draw) step(s Step) {
	switch s.Verb {
	case Plug:
		s.Index = d.next
		d.next++
		d.index[s.NIC] = s.Index
		d.there[s.NIC], d.up[s.NIC] = true, true
		delete(d.silent, s.NIC)
		delete(d.sixOff, s.NIC)
		delete(d.routers, s.NIC+"4")
		delete(d.routers, s.NIC+"6")
	case Unplug:
		delete(d.there, s.NIC)
		delete(d.up, s.NIC)
	case Down:
		delete(d.up, s.NIC)
	case Up:
		d.up[s.NIC] = true
	case Add:
		d.attached[s.NIC] = true
	case Del:
		if s.Kill == nil {
			delete(d.attached, s.NIC)
		}
	case NoCarrier, Carrier:
		s.Index = d.index[s.NIC]
		d.silent[s.NIC] = s.Verb == NoCarrier
	case Router, Foreign, Flush, Lose, Damage, Afresh, Check, GC:
	}
	d.w.Steps = append(d.w.Steps, s)
}

// something happens to a NIC, or beside it.
func (d *draw) something() {
	n := pick(d, d.w.NICs...)
	switch happens := d.IntN(24); {
	case happens < 7:
		d.add(n, d.kill())
	case happens < 10:
		d.del(n)
	case happens < 11:
		d.step(Step{Verb: Check, NIC: n.Name})
	case happens < 12:
		d.step(Step{Verb: GC})
	case happens < 14 && d.there[n.Name]:
		d.flap(n)
	case happens < 15 && d.there[n.Name]:
		d.step(Step{Verb: Unplug, NIC: n.Name})
	case happens < 16 && !d.there[n.Name]:
		d.step(Step{Verb: Plug, NIC: n.Name})
	case happens < 20:
		if d.there[n.Name] {
			d.others(n)
		}
	case happens < 22 && d.up[n.Name]:
		d.carrier(n)
	case happens < 23 && d.up[n.Name]:
		d.router(n)
	case happens < 24 && d.up[n.Name] && n.Has(false) && d.chance(2):
		d.ipv6(n)
	}
}

// carrier comes and goes.
func (d *draw) carrier(n NIC) {
	if !d.silent[n.Name] {
		d.step(Step{Verb: NoCarrier, NIC: n.Name})
		if d.chance(2) {
			return // for a while
		}
	}
	d.step(Step{Verb: Carrier, NIC: n.Name})
}

// router is a default by the NIC that comes after all, or replaces the one before it.
func (d *draw) router(n NIC) {
	four := d.chance(2)
	i := slices.IndexFunc(n.Addresses, func(a Address) bool { return a.Prefix.Addr().Is4() == four })
	if i < 0 || d.silent[n.Name] || d.sixOff[n.Name] {
		return
	}
	key, next := n.Name+"6", [2]netip.Addr{addr("fe80::2"), addr("fe80::3")}
	if four {
		two := n.Addresses[i].Prefix.Masked().Addr().Next().Next()
		key, next = n.Name+"4", [2]netip.Addr{two, two.Next()}
	}
	old := d.routers[key]
	if !old.IsValid() && n.Defaults {
		old = n.Gateway(four)
	}
	to := next[0]
	if old == to {
		to = next[1]
	}
	d.routers[key] = to
	var lines []Line
	if old.IsValid() {
		lines = append(lines, Line{Text: fmt.Sprintf("route del default via %s dev %s", old, n.Name)})
	}
	d.step(Step{Verb: Router, NIC: n.Name, Lines: append(lines, Line{Text: fmt.Sprintf("route prepend default via %s dev %s", to, n.Name)})})
}

// ipv6 is switched off and, in most cases, on again, with the addresses.
func (d *draw) ipv6(n NIC) {
	key := "net/ipv6/conf/" + n.Name + "/disable_ipv6="
	if !d.sixOff[n.Name] {
		d.sixOff[n.Name] = true
		d.step(Step{Verb: Foreign, NIC: n.Name, Lines: []Line{{Setting: true, Text: key + "1"}}})
		if d.chance(3) {
			return // for a while
		}
	}
	delete(d.sixOff, n.Name)
	lines := []Line{{Setting: true, Text: key + "0"}}
	for _, a := range n.Addresses {
		if a.Prefix.Addr().Is6() {
			lines = append(lines, Line{Text: addressAdd(a.Prefix, n.Name)})
		}
	}
	d.step(Step{Verb: Foreign, NIC: n.Name, Lines: lines})
}

// add attaches a NIC, which comes or comes up for it in most cases. Of an attachment that is
// there the keys change.
func (d *draw) add(n NIC, k *Kill) {
	again := d.attached[n.Name]
	switch {
	case !d.there[n.Name]:
		d.step(Step{Verb: Plug, NIC: n.Name})
	case !d.up[n.Name] && !d.chance(4):
		d.step(Step{Verb: Up, NIC: n.Name, Back: d.chance(2)})
	}
	if d.silent[n.Name] && !d.chance(3) {
		d.step(Step{Verb: Carrier, NIC: n.Name})
	}
	d.step(Step{Verb: Add, NIC: n.Name, Config: d.config(n), Kill: k})
	if again || d.chance(4) {
		d.step(Step{Verb: Afresh})
	}
}

// del detaches it, and most often the NIC goes then, as a runtime does it.
func (d *draw) del(n NIC) {
	d.step(Step{Verb: Del, NIC: n.Name, Kill: d.kill()})
	if d.chance(4) {
		d.step(Step{Verb: Del, NIC: n.Name})
	}
	if d.there[n.Name] && !d.attached[n.Name] && d.chance(2) {
		d.step(Step{Verb: Unplug, NIC: n.Name})
	}
}

func (d *draw) flap(n NIC) {
	if d.up[n.Name] {
		d.step(Step{Verb: Down, NIC: n.Name})
		if d.chance(5) {
			return // for a while
		}
	}
	d.step(Step{Verb: Up, NIC: n.Name, Back: d.chance(2)})
}

// kill ends one invocation of five at one of its system calls. Where there is no
// such call it lives.
func (d *draw) kill() *Kill {
	if !d.chance(5) {
		return nil
	}
	switch call := pick(d, "sendto", "sendto", "sendto", "openat", "write", "renameat", "unlinkat"); call {
	case "sendto":
		return &Kill{Call: call, When: 1 + d.IntN(50)}
	case "openat":
		return &Kill{Call: call, When: 1 + d.IntN(30)}
	case "write":
		return &Kill{Call: call, When: 1 + d.IntN(15)}
	default:
		return &Kill{Call: call, When: 1 + d.IntN(2)}
	}
}

// allLeave detaches whatever is attached; some NICs vanish before it or after.
func (d *draw) allLeave() {
	d.hostile()
	for _, i := range d.Perm(len(d.w.NICs)) {
		n := d.w.NICs[i]
		if !d.attached[n.Name] {
			continue
		}
		if d.there[n.Name] && d.chance(8) {
			d.step(Step{Verb: Unplug, NIC: n.Name})
		}
		d.step(Step{Verb: Del, NIC: n.Name})
		if d.there[n.Name] && d.chance(2) {
			d.step(Step{Verb: Unplug, NIC: n.Name})
		}
	}
}

// hostile takes away what the DELs at the end work with, in two walks of three.
func (d *draw) hostile() {
	if d.chance(3) {
		return
	}
	n := pick(d, d.w.NICs...)
	if i := slices.IndexFunc(d.w.NICs, func(o NIC) bool { return d.attached[o.Name] }); i >= 0 && d.chance(2) {
		n = d.w.NICs[i]
	}
	switch what := d.IntN(10); {
	case what < 1:
		d.step(Step{Verb: Flush})
	case what < 3 && d.attached[n.Name]:
		d.step(Step{Verb: Lose, NIC: n.Name})
	case what < 5 && d.attached[n.Name]:
		d.step(Step{Verb: Damage, NIC: n.Name})
	case what < 6:
		d.forge()
	case what < 7 && d.there[n.Name]:
		d.step(Step{Verb: Foreign, NIC: n.Name, Lines: renamed(n.Name)})
		delete(d.there, n.Name)
		delete(d.up, n.Name)
	case what < 8 && d.up[n.Name]:
		d.flap(n)
	case what < 9 && d.there[n.Name]:
		d.step(Step{Verb: Unplug, NIC: n.Name})
	case d.there[n.Name]:
		for _, device := range []string{n.Name, "all"}[:1+d.IntN(2)] {
			d.step(Step{Verb: Foreign, NIC: n.Name, Lines: []Line{{Setting: true, Text: "net/ipv6/conf/" + device + "/disable_ipv6=1"}}})
		}
	}
}

// renamed gives a NIC another name, which older kernels take only of one that is down.
func renamed(nic string) []Line {
	return []Line{{Text: "link set " + nic + " down"}, {Text: "link set " + nic + " name was-" + nic}, {Text: "link set was-" + nic + " up"}}
}

// forge adds a rule or a route in symroute's name: of its protocol and priorities, but for sources
// and tables that are no attachment's. Refusals before the fallbacks (49998) are not among them:
// all of them are symroute's, which works them out anew each time.
func (d *draw) forge() {
	d.hosts++
	four := d.chance(2)
	from, bits := fmt.Sprintf("198.19.%d.0/24", d.hosts), 32-24
	if !four {
		from, bits = fmt.Sprintf("3fff:19:%x::/64", d.hosts), 128-64
	}
	step := 40010 + 10*bits
	text := pick(d,
		fmt.Sprintf("rule add from %s lookup 9999 priority %d protocol 73", from, step+2),
		fmt.Sprintf("rule add from %s lookup 9999 priority %d protocol 73", from, step+3),
		fmt.Sprintf("rule add from %s unreachable priority %d protocol 73", from, step+5),
		fmt.Sprintf("rule add from %s goto 40000 priority 32765 protocol 73", from),
		"rule add from all lookup 9999 priority 49999 protocol 73",
		"rule add oif ghost0 lookup 9999 priority 49000 protocol 73",
		"rule add oif ghost0 goto 40000 priority 32765 protocol 73",
		fmt.Sprintf("route add blackhole %s table 9999 proto 73", d.place(four)),
		fmt.Sprintf("route add %s dev lo proto 73", d.place(four)),
	)
	d.other(text, strings.Replace(text, " add ", " del ", 1))
}

// config draws the configuration of an attachment: any keys, without those that
// contradict one another.
func (d *draw) config(n NIC) map[string]any {
	i := slices.IndexFunc(d.w.NICs, func(o NIC) bool { return o.Name == n.Name })
	conf := map[string]any{}
	if d.chance(2) {
		conf["rpFilter"] = pick[any](d, "strict", "strict", "loose", "off", "keep", 0, 1, 2)
	}
	if d.chance(3) && !n.Gateway(true).IsValid() && !n.Gateway(false).IsValid() {
		conf["gateways"] = gatewaysOf(n)
	}
	exits := n.Gateway(true).IsValid() || n.Gateway(false).IsValid() || conf["gateways"] != nil
	if d.chance(2) {
		conf["mainDefault"] = pick(d, "yield", "keep")
		if exits && !d.chance(3) {
			conf["mainDefault"] = "take"
		}
	}
	if d.chance(5) {
		conf["arp"] = "isolate"
	}
	isStrict := conf["rpFilter"] == "strict" || conf["rpFilter"] == 1
	if d.chance(6) && !isStrict {
		conf["viaMain"] = []string{"10.96.0.0/12", "fd00:96::/108"}
	}
	if d.chance(8) && !isStrict {
		conf["noGateway"] = pick(d, "main", "refuse")
	}
	if d.chance(5) {
		conf["sources"] = sourcesOf(n, i)
	}
	if d.chance(5) {
		conf["routes"] = d.routes(n, i)
	}
	if d.chance(6) {
		conf["table"] = 9000 + 10*i + d.IntN(2)*5
	}
	if d.chance(8) {
		conf["priority"] = pick(d, 20000, 32765, 30000)
	}
	if d.chance(8) && allExits(n) && conf["gateways"] == nil {
		conf["requireGateway"] = true
	}
	if d.chance(6) && allExits(n) && conf["gateways"] == nil {
		conf["checkDestinations"] = destinationsOf(n)
	}
	if d.chance(8) {
		conf["verify"] = false
	}
	if d.chance(6) {
		conf["interfaces"] = d.interfaces(n)
	}
	if d.chance(6) {
		conf["lvs"] = d.realServer(n, i, conf)
	}
	return conf
}

// interfaces are modes for lo, which is nobody's attachment, or for another NIC, whose own
// attachment may want another one.
func (d *draw) interfaces(n NIC) map[string]any {
	other := pick(d, d.w.NICs...)
	if other.Name == n.Name || !d.there[other.Name] {
		return map[string]any{"lo": map[string]any{"rpFilter": "loose"}}
	}
	return map[string]any{other.Name: map[string]any{"rpFilter": pick[any](d, "loose", "loose", "off", 2, 0, "keep")}}
}

// realServer is one whose replies leave by the NIC itself or, unless that is forbidden, by
// another one.
func (d *draw) realServer(n NIC, i int, conf map[string]any) map[string]any {
	lvs := map[string]any{"mode": "dr", "vips": vipsOf(n, i)}
	by := pick(d, d.w.NICs...)
	switch conf["rpFilter"] {
	case nil, "loose", "off", 0, 2:
		if by.Name != n.Name && d.up[by.Name] && conf["requireGateway"] == nil && conf["checkDestinations"] == nil {
			lvs["replyBy"] = by.Name
		}
	}
	return lvs
}

// gatewaysOf are such as serve the first address of each family.
func gatewaysOf(n NIC) []string {
	var out []string
	for _, four := range []bool{true, false} {
		for _, a := range n.Addresses {
			if ip := a.Prefix.Addr(); ip.Is4() == four {
				out = append(out, a.Prefix.Masked().Addr().Next().String())
				break
			}
		}
	}
	return out
}

// allExits reports whether IPAM named a gateway for each address.
func allExits(n NIC) bool {
	return !slices.ContainsFunc(n.Addresses, func(a Address) bool { return !a.Gateway.IsValid() })
}

// destinationsOf are places behind the gateways.
func destinationsOf(n NIC) []string {
	var out []string
	if n.Has(true) {
		out = append(out, "198.51.100.9")
	}
	if n.Has(false) {
		out = append(out, "2001:db8:fffe::9")
	}
	return out
}

// sourcesOf are prefixes and addresses that nobody else has.
func sourcesOf(n NIC, i int) []string {
	var out []string
	if n.Has(true) {
		out = append(out, fmt.Sprintf("10.200.%d.1", i))
	}
	if n.Has(false) {
		out = append(out, fmt.Sprintf("2001:db8:200:%x::/64", i))
	}
	return out
}

// VIPs holds all VIPs that configurations name.
func VIPs() []netip.Prefix {
	return []netip.Prefix{prefix("10.210.0.0/16"), prefix("2001:db8:210::/48")}
}

func vipsOf(n NIC, i int) []string {
	var out []string
	if n.Has(true) {
		out = append(out, fmt.Sprintf("10.210.%d.1", i))
	}
	if n.Has(false) {
		out = append(out, fmt.Sprintf("2001:db8:210:%x::1", i))
	}
	return out
}

func (d *draw) routes(n NIC, i int) []map[string]any {
	var out []map[string]any
	for _, four := range []bool{true, false} {
		if !n.Has(four) {
			continue
		}
		r := map[string]any{"dst": map[bool]string{true: fmt.Sprintf("172.20.%d.0/24", i), false: fmt.Sprintf("2001:db8:20:%x::/64", i)}[four]}
		if gateway := n.Gateway(four); gateway.IsValid() && !d.chance(4) {
			r["gw"] = gateway.String()
		}
		if d.chance(3) {
			r["metric"] = 7
		}
		if d.chance(3) {
			r["mtu"] = 1400
		}
		out = append(out, r)
	}
	return out
}

// others is what somebody else does in the pod, or takes back.
func (d *draw) others(n NIC) {
	if len(d.undo) > 0 && d.chance(4) {
		i := d.IntN(len(d.undo))
		d.step(Step{Verb: Foreign, Lines: []Line{d.undo[i]}})
		d.undo = slices.Delete(d.undo, i, i+1)
		return
	}
	d.hosts++
	four := d.chance(2)
	switch d.IntN(9) {
	case 8:
		d.other(fmt.Sprintf("route add %s %s", pick(d, "blackhole", "unreachable", "prohibit"), d.place(four)), "")
	case 0, 1:
		rule := d.rule(four)
		d.other("rule add "+rule, "rule del "+rule)
	case 2:
		d.other(fmt.Sprintf("route add %s dev %s table 100", d.place(four), n.Name), "")
	case 3:
		gateway := n.Gateway(four)
		if gateway.IsValid() && d.up[n.Name] {
			d.other(fmt.Sprintf("route add %s via %s dev %s metric %d", d.place(four), gateway, n.Name, 10+d.IntN(90)), "")
		}
	case 4:
		d.otherAddress(n, four)
	case 5:
		d.setting(n)
	case 6:
		d.forge()
	case 7:
		// In IPv6 none is that of the default that an attachment makes: the kernel takes only one.
		metrics := []int{20, 230, 2000}
		if four {
			metrics = append(metrics, 0)
		}
		gateway := n.Gateway(four)
		if gateway.IsValid() && d.up[n.Name] {
			d.other(fmt.Sprintf("route prepend default via %s dev %s metric %d", gateway, n.Name, pick(d, metrics...)), "")
		}
	}
}

// other notes what takes the change back, too; without a word: "add" becomes "del".
func (d *draw) other(text, undo string) {
	if undo == "" {
		undo = takenBack(text)
	}
	d.step(Step{Verb: Foreign, Lines: []Line{{Text: text}}})
	if undo != "" {
		d.undo = append(d.undo, Line{Text: undo})
	}
}

// takenBack is the opposite of "route add ...", and nothing for a default: which of
// several goes then is up to the kernel.
func takenBack(text string) string {
	const add = "route add "
	if len(text) > len(add) && text[:len(add)] == add {
		return "route del " + text[len(add):]
	}
	return ""
}

// rule is a policy of somebody else, about traffic that is not an attachment's.
func (d *draw) rule(four bool) string {
	priority := pick(d, 100, 30000, 32764, 32765, 32767, 40000)
	from, to := fmt.Sprintf("198.19.%d.0/24", d.hosts), "198.18.0.0/16"
	if !four {
		from, to = fmt.Sprintf("3fff:19:%x::/64", d.hosts), "3fff:18::/32"
	}
	return pick(d,
		fmt.Sprintf("from %s fwmark %#x/0xff lookup 100 priority %d", from, d.hosts, priority),
		fmt.Sprintf("to %s fwmark %#x/0xff lookup 100 priority %d", to, d.hosts, priority),
		fmt.Sprintf("from %s lookup 101 priority %d", from, priority),
		fmt.Sprintf("from %s to %s lookup main priority %d", from, to, priority),
	)
}

// place is a destination of somebody else.
func (d *draw) place(four bool) string {
	if four {
		return fmt.Sprintf("198.18.%d.0/24", d.hosts)
	}
	return fmt.Sprintf("3fff:18:%x::/64", d.hosts)
}

// otherAddress adds an address beside those of IPAM, takes a second one of IPAM's
// away, or configures what an attachment names as a source.
func (d *draw) otherAddress(n NIC, four bool) {
	var same []Address
	for _, a := range n.Addresses {
		if a.Prefix.Addr().Is4() == four {
			same = append(same, a)
		}
	}
	i := slices.IndexFunc(d.w.NICs, func(o NIC) bool { return o.Name == n.Name })
	switch {
	case len(same) == 0:
	case len(same) > 1 && d.chance(2):
		d.other("addr del "+same[1].Prefix.String()+" dev "+n.Name, addressAdd(same[1].Prefix, n.Name))
	case d.chance(2):
		vip := netip.PrefixFrom(addr("10.200.%d.1", i), 32)
		if !four {
			vip = netip.PrefixFrom(addr("2001:db8:200:%x::1", i), 128)
		}
		d.other(addressAdd(vip, "lo"), "addr del "+vip.String()+" dev lo")
	default:
		first := same[0].Prefix
		ip := first.Masked().Addr().As16()
		ip[15] = byte(100 + d.hosts)
		p := netip.PrefixFrom(netip.AddrFrom16(ip).Unmap(), first.Bits())
		d.other(addressAdd(p, n.Name), "addr del "+p.String()+" dev "+n.Name)
	}
}

// setting is one of others; of those that symroute writes, too.
func (d *draw) setting(n NIC) {
	key := pick(d, "ipv4/conf/%s/log_martians=1", "ipv4/conf/%s/accept_redirects=0", "ipv4/conf/%s/proxy_arp=1",
		"ipv6/conf/%s/accept_ra=0", "ipv6/conf/%s/hop_limit=63", "ipv4/conf/%s/rp_filter=0", "ipv4/conf/%s/rp_filter=2",
		"ipv4/conf/%s/ignore_routes_with_linkdown=1", "ipv6/conf/%s/ignore_routes_with_linkdown=1")
	d.step(Step{Verb: Foreign, NIC: n.Name, Lines: []Line{{Setting: true, Text: "net/" + fmt.Sprintf(key, n.Name)}}})
}
