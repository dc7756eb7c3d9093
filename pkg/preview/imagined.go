package preview

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/record"
)

// Imagined says what Add would do in a pod that has what a result says and nothing else: its interfaces,
// addresses and routes, as the plugins that are usual leave them, and the rules of the kernel.
func Imagined(c pod.Call) (pod.Preview, error) {
	p := imagined{call: c, index: map[string]int{}}
	return pod.PreviewOf(plan.Input{
		Config: c.Config,
		Key:    record.Key{Network: c.Config.Network, ContainerID: c.Key.ContainerID, IfName: c.Key.IfName},
		InPod:  p.inPod(),
		Seen:   p.snapshot(),
		Routes: func(uint32) ([]fib.Route, error) { return nil, nil },
	})
}

// imagined is a pod that is made up.
type imagined struct {
	call  pod.Call
	index map[string]int // of devices
	seen  fib.Snapshot
}

// inPod says of each interface of the result whether it is in the pod.
func (p *imagined) inPod() []bool {
	var out []bool
	for _, itf := range p.call.Config.Prev.Interfaces {
		out = append(out, itf.Sandbox != "" || itf.Name == p.call.Key.IfName)
	}
	return out
}

func (p *imagined) snapshot() *fib.Snapshot {
	p.rules()
	p.seen.Links = append(p.seen.Links, fib.Link{Index: 1, Name: "lo", Up: true, Loopback: true, HasIPv4: true, HasIPv6: true, IPv6: true})
	p.link(p.call.Key.IfName)
	for i, inPod := range p.inPod() {
		if inPod {
			p.link(p.call.Config.Prev.Interfaces[i].Name)
		}
	}
	for _, ip := range p.call.Config.Prev.IPs {
		if index := p.deviceOf(ip); index != 0 {
			p.address(index, ip)
		}
	}
	for _, r := range p.call.Config.Prev.Routes {
		p.route(r)
	}
	p.seen.NameHops(p.seen.Routes)
	return &p.seen
}

// rules are those that the kernel makes (fib_default_rules_init, fib6_rules_net_init).
func (p *imagined) rules() {
	rule := func(f fib.Family, priority, table uint32) {
		p.seen.Rules = append(p.seen.Rules, fib.Rule{
			Family: f, Priority: priority, Action: fib.Lookup, Table: table, Protocol: unix.RTPROT_KERNEL,
		})
	}
	for _, f := range fib.Families() {
		rule(f, 0, unix.RT_TABLE_LOCAL)
		rule(f, 32766, unix.RT_TABLE_MAIN)
	}
	rule(fib.V4, 32767, unix.RT_TABLE_DEFAULT)
	slices.SortStableFunc(p.seen.Rules, func(a, b fib.Rule) int { return cmp.Compare(a.Family, b.Family) })
}

func (p *imagined) link(name string) {
	if _, known := p.index[name]; known || name == "lo" {
		return
	}
	l := fib.Link{Index: len(p.seen.Links) + 1, Name: name, Up: true, MTU: 1500, HasIPv4: true, HasIPv6: true, IPv6: true}
	p.index[name] = l.Index
	p.seen.Links = append(p.seen.Links, l)
}

// deviceOf is the index of the device that an address is on; 0 where that is not in the pod.
func (p *imagined) deviceOf(ip config.IP) int {
	if ip.Interface == config.NoInterface {
		return p.index[p.call.Key.IfName]
	}
	return p.index[p.call.Config.Prev.Interfaces[ip.Interface].Name]
}

// address puts an address on a device, and the route to its subnet into main, as the kernel does
// (fib_add_ifaddr, addrconf_prefix_route).
func (p *imagined) address(index int, ip config.IP) {
	p.seen.Addresses = append(p.seen.Addresses, fib.Address{Index: index, Prefix: ip.Address})
	if fib.IsHost(ip.Address) && ip.Address.Addr().Is4() {
		return
	}
	r := fib.Route{
		Family: fib.FamilyOf(ip.Address.Addr()), Dst: ip.Address.Masked(), Table: unix.RT_TABLE_MAIN,
		Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_UNICAST, Hops: []fib.Hop{{Index: index}},
	}
	if r.Family == fib.V4 {
		r.Scope, r.PrefSrc = unix.RT_SCOPE_LINK, ip.Address.Addr()
	} else {
		r.Metric = 256 // IP6_RT_PRIO_ADDRCONF
	}
	p.add(r)
}

// route adds a route of the result as package ipam of containernetworking/plugins does (ConfigureIface):
// by the interface of the attachment, and where it names no gateway by that of the first address of its family.
func (p *imagined) route(r config.ResultRoute) {
	f := fib.FamilyOf(r.Dst.Addr())
	gateway := r.Gateway
	for _, ip := range p.call.Config.Prev.IPs {
		if !gateway.IsValid() && fib.FamilyOf(ip.Address.Addr()) == f && p.deviceOf(ip) == p.index[p.call.Key.IfName] {
			gateway = ip.Gateway
		}
	}
	route := fib.Route{
		Family: f, Dst: r.Dst, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
		Metric: r.Priority, MTU: r.MTU, AdvMSS: r.AdvMSS,
		Hops: []fib.Hop{{Gateway: gateway, Index: p.index[p.call.Key.IfName]}},
	}
	if r.Table != nil && *r.Table != unix.RT_TABLE_UNSPEC {
		route.Table = *r.Table
	}
	if r.Scope != nil && f == fib.V4 {
		route.Scope = fib.Scope(*r.Scope)
	} else if f == fib.V4 && !gateway.IsValid() {
		route.Scope = unix.RT_SCOPE_LINK
	}
	if f == fib.V6 && route.Metric == 0 {
		route.Metric = 1024 // IP6_RT_PRIO_USER
	}
	if route.Table == unix.RT_TABLE_MAIN {
		p.add(route)
	}
}

// add adds a route, unless another one has its place. Of IPv6 each device has its own to a subnet.
func (p *imagined) add(r fib.Route) {
	taken := func(o fib.Route) bool { return r.SamePlace(o) && (r.Family == fib.V4 || o.Uses(r.Hops[0].Index)) }
	if !slices.ContainsFunc(p.seen.Routes, taken) {
		p.seen.Routes = append(p.seen.Routes, r)
	}
}
