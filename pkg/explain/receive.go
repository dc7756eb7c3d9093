package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
)

// receive follows a packet of the remote into the pod.
func (p *Pod) receive(c conn) account {
	var a account
	a.append(p.addressOf(c))
	a.append(p.linkOf(c.nic, "come"))
	if len(a.problems) > 0 {
		return a
	}
	a.append(p.accepted(c))
	a.append(p.rivals(c))
	a.append(p.listeners(c))
	return a
}

// addressOf looks whether the pod has its address, and can use it.
func (p *Pod) addressOf(c conn) account {
	var a account
	command := fmt.Sprintf("ip address show to %s", c.local)
	x, ok := p.Seen.Address(c.local)
	if !ok {
		a.bad("address", fmt.Sprintf("%s is on no interface", c.local), command, Problem{
			fmt.Sprintf("No NIC of the pod has %s: the kernel delivers nothing to it, and sends nothing from it.", c.local),
			p.configure(c),
		})
		return a
	}
	l, _ := p.Seen.LinkAt(x.Index)
	text := fmt.Sprintf("%s is on %s", c.local, l.Name)
	switch {
	case x.Duplicate:
		a.bad("address", text+", and another host of the link has it, too (dadfailed)", command, Problem{
			fmt.Sprintf("Another host on the link of %s has %s, too: duplicate address detection has failed, and the kernel does not use it.", l.Name, c.local),
			"Take the address from one of the two; then configure it again here (ip address del, ip address add).",
		})
	case x.Tentative:
		a.bad("address", text+", and duplicate address detection is not done (tentative)", command, Problem{
			fmt.Sprintf("%s of %s is tentative: until duplicate address detection is done, the kernel accepts nothing for it and sends nothing from it.", c.local, l.Name),
			fmt.Sprintf("Wait a second or two. If it stays so, nothing passes on %s: look at its link; or configure the address with \"nodad\".", l.Name),
		})
	case x.Deprecated && !lvs.Silent(l):
		a.add(Note, "address", text+", deprecated: what is there goes on, no new connection chooses it by itself", command)
	case lvs.Silent(l):
		a.add(Note, "address", text+": a virtual address, which NICs may answer for or not", command)
	default:
		a.add(Fine, "address", text, command)
	}
	return a
}

// configure says how a NIC gets an address that it lacks.
func (p *Pod) configure(c conn) string {
	if !p.isManaged(c.local) {
		return fmt.Sprintf("Configure it (ip address add %s/PREFIXLENGTH dev %s), or use one of the pod's own: %s.", c.local, c.nic.Name, p.ownAddresses(c.family()))
	}
	return fmt.Sprintf("symroute knows it from ADD: configure it again (ip address add %s/PREFIXLENGTH dev %s), then symroutectl repair.", c.local, c.nic.Name)
}

func (p *Pod) ownAddresses(f fib.Family) string {
	var text string
	for i, a := range p.present(f) {
		if i > 0 {
			text += ", "
		}
		text += a.String()
	}
	return text
}

// linkOf looks whether packets pass a NIC: whether they "come", or "leave".
func (p *Pod) linkOf(l fib.Link, pass string) account {
	var a account
	command := "ip link show " + l.Name
	switch {
	case !l.Up:
		a.bad("link", l.Name+" is down", command, Problem{
			fmt.Sprintf("%s is down: no packet can %s by it, and the kernel has removed its routes.", l.Name, pass),
			fmt.Sprintf("ip link set %s up; then put its routes back: symroutectl repair, or ADD again.", l.Name),
		})
	case l.Idle != "":
		a.bad("link", fmt.Sprintf("%s is up, and has %s", l.Name, l.Idle), command, Problem{
			fmt.Sprintf("%s has %s: the other end of the link is down or away.", l.Name, l.Idle),
			fmt.Sprintf("Look at the other end: the node's side of %s (veth peer, macvlan's master, the port of the switch).", l.Name),
		})
	default:
		a.add(Fine, "link", l.Name+" is up", command)
	}
	if master, ok := p.Seen.LinkAt(l.Master); ok && master.Kind == fib.KindVRF {
		a.add(Note, "vrf", fmt.Sprintf("%s belongs to the VRF %s: its table %d decides, and only sockets that are bound to the VRF are served "+
			"(unless net.ipv4.tcp_l3mdev_accept is 1)", l.Name, master.Name, master.VRFTable), "")
	}
	return a
}

// accepted asks the kernel whether it delivers a packet that comes by the NIC.
func (p *Pod) accepted(c conn) account {
	var a account
	packet := c.in()
	answer := p.ask(packet)
	command := packet.Command(p.Seen)
	switch {
	case answer.Err == nil && answer.Route.Type == unix.RTN_LOCAL:
		a.add(Fine, "route", fmt.Sprintf("the kernel delivers what comes by %s%s", c.nic.Name, p.filterText(c)), command)
	case errors.Is(answer.Err, unix.EXDEV), errors.Is(answer.Err, unix.EINVAL) && c.local.Is4():
		a.append(p.refusedSource(c, command))
	case answer.Err != nil:
		w := p.trace(packet, answer)
		a.steps = append(a.steps, w.steps(Bad, packet, answer, command)...)
		a.problems = append(a.problems, Problem{
			fmt.Sprintf("The kernel refuses what comes by %s for %s: %s.", c.nic.Name, c.local, errnoText(answer.Err)),
			"Look at the rule and the route above: they decide before the pod's own addresses are looked up (ip rule: \"from all lookup local\" has to be the first).",
		})
	default:
		w := p.trace(packet, answer)
		a.steps = append(a.steps, w.steps(Bad, packet, answer, command)...)
		a.problems = append(a.problems, Problem{
			fmt.Sprintf("The kernel does not deliver what comes by %s for %s, but sends it on (%s).", c.nic.Name, c.local, answer.Route),
			fmt.Sprintf("Look at the rule and the route above; the pod's own address %s has to be found in the table local first.", c.local),
		})
	}
	return a
}

// filterText is what the reverse-path filter of a NIC is, in a few words.
func (p *Pod) filterText(c conn) string {
	if c.local.Is6() {
		return ""
	}
	return fmt.Sprintf(" (rp_filter: %s)", p.filterMode(c.nic))
}

// filterMode tells the effective mode of the reverse-path filter, and which of the two numbers makes it so:
// the kernel uses the larger (IN_DEV_RPFILTER).
func (p *Pod) filterMode(l fib.Link) string {
	mode := map[int]string{0: "off", 1: "strict", 2: "loose"}[p.Seen.EffectiveRPFilter(l)]
	if p.Seen.EffectiveRPFilter(l) == 0 {
		return mode
	}
	if p.Seen.All.RPFilter >= l.RPFilter {
		return fmt.Sprintf("%s, by conf/all=%d", mode, p.Seen.All.RPFilter)
	}
	return fmt.Sprintf("%s, by conf/%s=%d", mode, l.Name, l.RPFilter)
}

// filterSetting is the setting that makes the mode of a NIC what it is.
func (p *Pod) filterSetting(l fib.Link) string {
	if p.Seen.All.RPFilter >= l.RPFilter {
		return "net.ipv4.conf.all.rp_filter"
	}
	return "net.ipv4.conf." + l.Name + ".rp_filter"
}

// The modes of the reverse-path filter (ip-sysctl, rp_filter).
const (
	strict = 1
	loose  = 2
)

// refusedSource says why the kernel does not accept a source (fib_validate_source, __fib_validate_source): it has
// one word for all reasons.
func (p *Pod) refusedSource(c conn, command string) account {
	var a account
	back := c.out()
	if setting(fib.SettingPath(c.nic.Name, "src_valid_mark")) == 0 && setting(fib.SettingPath("all", "src_valid_mark")) == 0 {
		back.Mark = 0 // the filter asks without
	}
	answer := p.ask(back)
	w := p.trace(back, answer)
	filter := p.filterSetting(c.nic)
	step := func(text string) { a.add(Bad, "rp_filter", text, command) }
	problem := func(sentence, change string) { a.problems = append(a.problems, Problem{sentence, change}) }
	elsewhere := answer.Err == nil && !answer.Route.Uses(c.nic.Index)
	switch {
	case p.has(c.remote):
		step(fmt.Sprintf("%s is the pod's own address: it is no source for what comes from outside", c.remote))
		problem(fmt.Sprintf("The kernel drops what comes from %s, which is the pod's own address (a martian source).", c.remote),
			"Take the address from one of the two hosts; for a test by purpose: net.ipv4.conf.NIC.accept_local=1.")
		return a
	case p.Seen.EffectiveRPFilter(c.nic) == strict && answer.Err != nil:
		step(fmt.Sprintf("the filter of %s is %s, and there is no way back to %s", c.nic.Name, p.filterMode(c.nic), c.remote))
		problem(fmt.Sprintf("The reverse-path filter of %s drops the request: there is no way back to %s (%s).", c.nic.Name, c.remote, w.cause(answer.Err)),
			p.refused(c, w, answer).Change)
	case p.Seen.EffectiveRPFilter(c.nic) == strict:
		step(fmt.Sprintf("the filter of %s is %s, and the way back to %s is by %s", c.nic.Name, p.filterMode(c.nic), c.remote, devices(answer.Route)))
		problem(fmt.Sprintf("The reverse-path filter of %s is strict and drops the request: the way back to %s is by %s.", c.nic.Name, c.remote, devices(answer.Route)),
			p.makeSymmetric(c)+fmt.Sprintf(" Loosening the filter alone (sysctl -w %s=2) lets the request in, and the reply leaves by %s.", filter, devices(answer.Route)))
	case p.Seen.EffectiveRPFilter(c.nic) == loose && answer.Err != nil:
		step(fmt.Sprintf("the filter of %s is %s, and there is no way back to %s at all", c.nic.Name, p.filterMode(c.nic), c.remote))
		problem(fmt.Sprintf("The reverse-path filter of %s is loose and still drops the request: there is no way back to %s at all (%s).", c.nic.Name, c.remote, w.cause(answer.Err)),
			p.refused(c, w, answer).Change)
	case p.Seen.EffectiveRPFilter(c.nic) == loose && elsewhere && !p.hasAddress(c.nic):
		step(fmt.Sprintf("the filter of %s is %s, and %s has no IPv4 address: then loose works as strict", c.nic.Name, p.filterMode(c.nic), c.nic.Name))
		problem(fmt.Sprintf("The reverse-path filter of %s is loose, but %s has no IPv4 address: the kernel then drops what has its way back by %s.",
			c.nic.Name, c.nic.Name, devices(answer.Route)),
			fmt.Sprintf("Give %s an address, or switch its filter off (sysctl -w %s=0).", c.nic.Name, filter))
	default:
		step("the kernel does not accept the source: " + errnoText(unix.EINVAL))
		problem(fmt.Sprintf("The kernel does not accept %s as a source on %s.", c.remote, c.nic.Name),
			"Look whether it is a unicast address, and whether \"ip route get\" with it as destination finds a route.")
	}
	a.steps = append(a.steps, w.steps(Bad, back, answer, back.Command(p.Seen))...)
	return a
}

func (p *Pod) hasAddress(l fib.Link) bool {
	return slices.ContainsFunc(p.Seen.Addresses, func(x fib.Address) bool { return x.Index == l.Index && x.Prefix.Addr().Is4() })
}

// rivals looks for NICs in the subnet of the address that answer ARP for it, too: then the request may come by them
// (arp_process, arp_ignore; arp_filter).
func (p *Pod) rivals(c conn) account {
	var a account
	x, ok := p.Seen.Address(c.local)
	if !ok || !c.local.Is4() || x.Index != c.nic.Index {
		return a
	}
	done := map[int]bool{c.nic.Index: true}
	for _, y := range p.Seen.Addresses {
		l, ok := p.Seen.LinkAt(y.Index)
		if !ok || done[y.Index] || lvs.Silent(l) || !y.Prefix.Addr().Is4() || !y.Prefix.Overlaps(x.Prefix) || fib.IsHost(y.Prefix) {
			continue
		}
		done[l.Index] = true
		subnet, command := y.Prefix.Masked(), fmt.Sprintf("sysctl net.ipv4.conf.%s.arp_ignore net.ipv4.conf.%s.arp_filter", l.Name, l.Name)
		if effective(l.Name, "arp_ignore") > 0 {
			a.add(Fine, "arp", fmt.Sprintf("%s is in %s, too, and does not answer ARP for %s (arp_ignore)", l.Name, subnet, c.local), command)
			continue
		}
		if effective(l.Name, "arp_filter") > 0 {
			a.add(Fine, "arp", fmt.Sprintf("%s is in %s, too, and answers ARP only where its answers leave by it (arp_filter)", l.Name, subnet), command)
			continue
		}
		other := c.in()
		other.IIF = l.Index
		answer := p.ask(other)
		text := fmt.Sprintf("%s is in %s, too, and answers ARP for %s", l.Name, subnet, c.local)
		change := fmt.Sprintf("Have each NIC answer for its own addresses only: \"arp\": \"isolate\" of symroute, or sysctl -w net.ipv4.conf.%s.arp_ignore=1 "+
			"(and of %s); then flush the neighbour entry at the router.", l.Name, c.nic.Name)
		if answer.Err != nil {
			a.bad("arp", text+": what then comes by it is dropped", other.Command(p.Seen), Problem{
				fmt.Sprintf("%s and %s are in one subnet, and %s answers ARP for %s: requests may come by %s, and are dropped there.",
					c.nic.Name, l.Name, l.Name, c.local, l.Name), change,
			})
			continue
		}
		a.bad("arp", text, command, Problem{
			fmt.Sprintf("%s and %s are in one subnet, and %s answers ARP for %s: requests may come by %s while replies leave by %s.",
				c.nic.Name, l.Name, l.Name, c.local, l.Name, c.nic.Name), change,
		})
	}
	return a
}

// listeners looks for the server, where the packets say which.
func (p *Pod) listeners(c conn) account {
	var a account
	protocol := map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp"}[c.Protocol]
	if protocol == "" || c.Port == 0 || c.opened() {
		return a
	}
	var all []netip.AddrPort
	for _, f := range fib.Families() {
		found, err := sockets(protocol, f)
		if err != nil && f == c.family() {
			a.add(Note, "socket", err.Error(), "")
			return a
		}
		all = append(all, found...)
	}
	command := fmt.Sprintf("ss -ln --%s sport = :%d", protocol, c.Port)
	wildcard := false
	for _, s := range all {
		if s.Port() != c.Port {
			continue
		}
		if s.Addr().Unmap() == c.local {
			a.add(Fine, "socket", fmt.Sprintf("a %s socket listens on %s", protocol, s), command)
			return a
		}
		// An IPv6 socket on the wildcard serves IPv4, too, unless it was told not to (IPV6_V6ONLY).
		wildcard = wildcard || s.Addr().IsUnspecified() && (s.Addr().Is6() || c.local.Is4())
	}
	switch {
	case !wildcard:
		a.bad("socket", fmt.Sprintf("nothing listens on %s port %d", protocol, c.Port), command, Problem{
			fmt.Sprintf("Nothing listens on %s port %d of %s.", protocol, c.Port, c.local), "Start the server, or correct its address and port.",
		})
	case protocol == "tcp":
		a.add(Fine, "socket", fmt.Sprintf("a tcp socket listens on port %d of all addresses", c.Port), command)
	default:
		a.append(p.wildcard(c, command))
	}
	return a
}

// wildcard looks which address a UDP server would answer from that leaves that to the kernel.
func (p *Pod) wildcard(c conn, command string) account {
	var a account
	packet := c.out()
	packet.From = netip.Addr{}
	answer := p.ask(packet)
	if answer.Err == nil && answer.Route.PrefSrc == c.local {
		a.add(Fine, "socket", fmt.Sprintf("a udp socket listens on port %d of all addresses, and answers from %s", c.Port, c.local), command)
		return a
	}
	from := fmt.Sprintf("%s by %s", answer.Route.PrefSrc, devices(answer.Route))
	if answer.Err != nil {
		from = "no address: " + errnoText(answer.Err)
	}
	a.bad("socket", fmt.Sprintf("a udp socket listens on port %d of all addresses: by itself it answers from %s", c.Port, from), packet.Command(p.Seen), Problem{
		fmt.Sprintf("The UDP server on port %d is bound to the wildcard address: it answers from %s, unless it asks for the address of each request (IP_PKTINFO).", c.Port, from),
		fmt.Sprintf("Bind the server to %s, or have it answer from the address that was asked (IP_PKTINFO, IPV6_RECVPKTINFO).", c.local),
	})
	return a
}

// devices names the devices of a route.
func devices(r fib.Route) string {
	var names []string
	for _, h := range r.Hops {
		if !slices.Contains(names, h.Dev) {
			names = append(names, h.Dev)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	text := names[0]
	for _, n := range names[1:] {
		text += " or " + n
	}
	return text
}
