package explain

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/plugins/pkg/utils/sysctl"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/state"
)

// Pod is what was seen of a pod's network namespace, and the kernel to ask about it. It is good for as
// long as the namespace is entered.
type Pod struct {
	Seen       *fib.Snapshot // with all tables
	Neighbours []fib.Neighbour
	Chains     []Chain
	ns         *kernel.Namespace
	tables     map[uint32]*fib.Ways
}

// Look looks at a namespace. The calling thread has to be in it (kernel.Enter). Its errors are those of
// kernel.Namespace.Observe, or of the system.
func Look(ns *kernel.Namespace) (*Pod, error) {
	seen, err := ns.Observe()
	if err != nil {
		return nil, err
	}
	if seen.Routes, err = ns.AllRoutes(); err != nil {
		return nil, err
	}
	seen.NameHops(seen.Routes)
	if err := ns.ReadARP(seen); err != nil {
		return nil, err
	}
	p := &Pod{Seen: seen, ns: ns, tables: map[uint32]*fib.Ways{}}
	if p.Neighbours, err = ns.Neighbours(); err != nil {
		return nil, err
	}
	p.Chains, err = chains()
	return p, err
}

// ask asks the kernel about one packet.
func (p *Pod) ask(packet fib.Packet) fib.Answer {
	answer := p.ns.AskAbout(packet)[0]
	p.Seen.NameHops([]fib.Route{answer.Route})
	return answer
}

// ways looks into a table.
func (p *Pod) ways(table uint32) *fib.Ways {
	if p.tables[table] == nil {
		p.tables[table] = fib.WaysIn(p.Seen.Table(table))
	}
	return p.tables[table]
}

// isManaged says whether symroute has rules for an address.
func (p *Pod) isManaged(a netip.Addr) bool {
	return slices.ContainsFunc(p.Seen.Rules, func(r fib.Rule) bool {
		return r.Protocol == state.Protocol && !state.IsGuard(r) && r.From.Contains(a)
	})
}

// hasTable says whether a rule of symroute's leads an address to a table.
func (p *Pod) hasTable(a netip.Addr) bool {
	return slices.ContainsFunc(p.Seen.Rules, func(r fib.Rule) bool { return state.IsSource(r) && r.From.Contains(a) })
}

// nicOf is the NIC that symroute has given the table of an address to: also where no NIC has that address any more.
func (p *Pod) nicOf(a netip.Addr) (nic fib.Link, table uint32, ok bool) {
	for _, source := range p.Seen.Rules {
		if !state.IsSource(source) || !source.From.Contains(a) {
			continue
		}
		for _, bound := range p.Seen.Rules {
			if state.IsBound(bound) && bound.Table == source.Table {
				nic, ok = p.Seen.Link(bound.OIF)
				return nic, source.Table, ok
			}
		}
	}
	return fib.Link{}, 0, false
}

// Addresses lists the pod's addresses that somebody outside could talk to, of a family, and those that symroute has rules
// for and no NIC has any more.
func (p *Pod) Addresses(f fib.Family) []netip.Addr {
	out := p.present(f)
	for _, r := range p.Seen.Rules {
		if r.Family == f && state.IsDecision(r) && fib.IsHost(r.From) && !slices.Contains(out, r.From.Addr()) {
			out = append(out, r.From.Addr())
		}
	}
	return out
}

// present are the addresses that the pod has.
func (p *Pod) present(f fib.Family) []netip.Addr {
	var out []netip.Addr
	for _, a := range p.Seen.Addresses {
		ip := a.Prefix.Addr()
		if fib.FamilyOf(ip) == f && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// setting reads a number below /proc/sys of the namespace. What a kernel does not have is 0.
func setting(path string) int {
	text, err := sysctl.Sysctl(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(text))
	return n
}

// effective is the larger of a device's own setting and that of all, which the kernel uses of those for ARP
// (IN_DEV_MAXCONF, inetdevice.h).
func effective(device, key string) int {
	return max(setting(fib.SettingPath(device, key)), setting(fib.SettingPath("all", key)))
}

// forwards says whether the pod forwards packets to an address.
func (p *Pod) forwards(to netip.Addr) bool { return setting(forwardingOf(fib.FamilyOf(to))) != 0 }

func forwardingOf(f fib.Family) string {
	if f == fib.V6 {
		return "net/ipv6/conf/all/forwarding"
	}
	return "net/ipv4/ip_forward"
}

// sysctlName is a path below /proc/sys as sysctl(8) writes it.
func sysctlName(path string) string { return strings.ReplaceAll(path, "/", ".") }

// sockets are the local addresses of a protocol that wait for packets: those of TCP's listeners and of UDP's
// unconnected sockets (tcp_states.h: TCP_LISTEN, TCP_CLOSE).
func sockets(protocol string, f fib.Family) ([]netip.AddrPort, error) {
	state := map[string]string{"tcp": "0A", "udp": "07"}[protocol]
	name := protocol
	if f == fib.V6 {
		name += "6"
	}
	text, err := os.ReadFile("/proc/thread-self/net/" + name)
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	var out []netip.AddrPort
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[3] == state {
			if a, ok := procAddress(fields[1]); ok {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// procAddress reads an address as /proc/net/tcp writes it: words of the machine's byte order, in hexadecimal.
func procAddress(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || len(host)%8 != 0 {
		return netip.AddrPort{}, false
	}
	var bytes []byte
	for i := 0; i < len(host); i += 8 {
		word, err := strconv.ParseUint(host[i:i+8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		bytes = appendNative(bytes, uint32(word))
	}
	ip, ok := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(ip, uint16(number)), ok
}
