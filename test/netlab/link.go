package netlab

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// Port is one end of a cable: a link in a namespace, with its addresses.
type Port struct {
	NS   *NS
	Link string
	// Addresses are set on the link ("192.0.2.1/24", "2001:db8::1/64").
	Addresses []string
	// Bridge, where set, is a bridge of the namespace that the link joins.
	Bridge string
}

// Cable joins two namespaces by a veth pair. When it returns, both ends are up,
// carry, and have all their addresses: the kernel has nothing more to do with
// them in its own time.
func Cable(t testing.TB, a, b Port) {
	t.Helper()
	a.NS.IP(t, "link", "add", a.Link, "type", "veth", "peer", "name", b.Link, "netns", b.NS.Name)
	for _, port := range []Port{b, a} {
		lines := []string{"link set " + port.Link + " up"}
		if port.Bridge != "" {
			lines = append(lines, "link set "+port.Link+" master "+port.Bridge)
		}
		for _, address := range port.Addresses {
			lines = append(lines, Address(address, port.Link))
		}
		port.NS.Batch(t, lines...)
	}
	for _, port := range []Port{a, b} {
		port.NS.Settle(t, port.Link)
	}
}

// Settle waits for what the kernel does about a link that was set up in its own
// time: the carrier, the link-local address, and the local route of each IPv6
// address, without which nothing can be bound to it.
func (n *NS) Settle(t testing.TB, link string) {
	t.Helper()
	n.WaitForCarrier(t, link)
	if n.Sysctl(t, "net/ipv6/conf/"+link+"/disable_ipv6") != "0" {
		return
	}
	Eventually(t, link+" has its IPv6 addresses", func() bool {
		addresses := n.IP(t, "-6", "-oneline", "addr", "show", "dev", link)
		routes := n.IP(t, "-6", "route", "show", "table", "local", "dev", link)
		for line := range strings.Lines(addresses) {
			address, _, _ := strings.Cut(strings.Fields(line)[3], "/") // 2: eth0 inet6 2001:db8::1/64 ...
			if !strings.Contains(routes, "local "+address+" ") {
				return false
			}
		}
		return strings.Contains(addresses, " fe80::")
	})
}

// WaitForCarrier returns when a link runs. It asks for this one link, which
// makes newer kernels update the state at once; a dump of all links would show
// what it was up to a second ago. Older kernels (6.1) say UNKNOWN until then.
func (n *NS) WaitForCarrier(t testing.TB, link string) {
	t.Helper()
	Eventually(t, link+" carries", func() bool {
		state := n.IP(t, "link", "show", "dev", link)
		return strings.Contains(state, " state UP ")
	})
}

// Address is the ip command that sets an address on a link, usable at once.
func Address(address, link string) string {
	line := fmt.Sprintf("addr add %s dev %s", address, link)
	if strings.Contains(address, ":") {
		line += " nodad"
	}
	return line
}

// Bridge makes a bridge in the namespace and sets it up. Its hardware address
// is fixed: otherwise it would change with the ports that come and go, and the
// bridge plugin's CHECK minds that.
func (n *NS) Bridge(t testing.TB, name string) {
	t.Helper()
	address := fmt.Sprintf("02:00:00:00:00:%02x", bridges.Add(1)&0xff)
	n.Batch(t, "link add "+name+" address "+address+" type bridge", "link set "+name+" up")
}

// bridges counts the bridges of this process.
var bridges atomic.Int64
