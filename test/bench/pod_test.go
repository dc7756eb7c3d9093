package bench

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// shape is what a pod looks like into which a plugin is called.
type shape struct {
	name      string
	addresses int  // of the NIC, in each family
	dual      bool // IPv6 as well as IPv4
	earlier   int  // NICs that are attached already
	foreign   int  // routes in tables that are nobody's business

	// What a crowded pod has many of.
	apart    bool // each address lies in a subnet of its own
	gateways bool // each subnet has a gateway, be it one address's only
	routes   int  // by the NIC, in main
	defaults int  // of one metric, by eth0, which the attachment displaces
	rules    int  // of our protocol, and nobody's
}

// nic is a NIC as an interface plugin and IPAM leave it: with a default route by
// each gateway.
type nic struct {
	name      string
	addresses []address
}

type address struct{ cidr, gateway string }

// nic is the pod's NIC of a number, counted from 1.
func (s shape) nic(number int) nic {
	n := nic{name: fmt.Sprintf("net%d", number)}
	for i := range s.addresses {
		if s.apart {
			a := address{cidr: fmt.Sprintf("10.%d.%d.2/24", 100+i/256, i%256)}
			if s.gateways || i == 0 {
				a.gateway = fmt.Sprintf("10.%d.%d.1", 100+i/256, i%256)
			}
			n.addresses = append(n.addresses, a)
			continue
		}
		n.addresses = append(n.addresses, address{
			fmt.Sprintf("10.1.%d.%d/24", number, 2+i),
			fmt.Sprintf("10.1.%d.1", number),
		})
		if s.dual {
			n.addresses = append(n.addresses, address{
				fmt.Sprintf("2001:db8:%d::%x/64", number, 2+i),
				fmt.Sprintf("2001:db8:%d::1", number),
			})
		}
	}
	return n
}

// last is the NIC for which the measured plugin is called.
func (s shape) last() nic { return s.nic(s.earlier + 1) }

// gateways are those of the NIC's addresses, each once.
func (n nic) gateways() []string {
	var list []string
	for _, a := range n.addresses {
		if a.gateway != "" && !slices.Contains(list, a.gateway) {
			list = append(list, a.gateway)
		}
	}
	return list
}

const cniVersion = "1.1.0"

// result is what the plugins before the measured one say about the NIC.
func (n nic) result(pod *netlab.NS) netlab.Object {
	ips, routes := []netlab.Object{}, []netlab.Object{}
	for _, a := range n.addresses {
		ip := netlab.Object{"address": a.cidr, "interface": 0}
		if a.gateway != "" {
			ip["gateway"] = a.gateway
		}
		ips = append(ips, ip)
	}
	for _, gateway := range n.gateways() {
		dst := "0.0.0.0/0"
		if strings.Contains(gateway, ":") {
			dst = "::/0"
		}
		routes = append(routes, netlab.Object{"dst": dst})
	}
	return netlab.Object{
		"cniVersion": cniVersion,
		"interfaces": []netlab.Object{{"name": n.name, "sandbox": pod.Path}},
		"ips":        ips,
		"routes":     routes,
	}
}

// commands are what an interface plugin and IPAM do to the NIC.
func (n nic) commands() []string {
	lines := []string{"link set " + n.name + " up"}
	for _, a := range n.addresses {
		lines = append(lines, netlab.Address(a.cidr, n.name))
	}
	for _, gateway := range n.gateways() {
		lines = append(lines, "route prepend default via "+gateway+" dev "+n.name)
	}
	return lines
}

// site is where pods are made. The other ends of their NICs lie in the namespace
// wire, where nobody answers.
type site struct {
	wire   *netlab.NS
	cables int // so far
}

// newSite makes a site without pods.
func newSite(t testing.TB) *site {
	t.Helper()
	return &site{wire: netlab.New(t, "wire")}
}

// pods makes pods into which the contestant is about to be called.
func (s *site) pods(t testing.TB, c contestant, count int) []*netlab.NS {
	t.Helper()
	pods := s.bare(t, count)
	for number := range c.shape.earlier {
		n := c.shape.nic(number + 1)
		s.plug(t, pods, n)
		for _, pod := range pods {
			attach(t, c.before, pod, n)
		}
	}
	s.plug(t, pods, c.shape.last())
	for _, pod := range pods {
		fill(t, pod, c.shape)
	}
	return pods
}

// bare makes pods without any NIC.
func (*site) bare(t testing.TB, count int) []*netlab.NS {
	t.Helper()
	var pods []*netlab.NS
	for range count {
		pods = append(pods, netlab.New(t, "pod"))
	}
	return pods
}

// plug gives each pod the same NIC.
func (s *site) plug(t testing.TB, pods []*netlab.NS, n nic) {
	t.Helper()
	var cables []string
	for _, pod := range pods {
		s.cables++
		end := fmt.Sprintf("end%d", s.cables)
		cables = append(cables,
			"link add "+end+" type veth peer name "+n.name+" address 02:00:00:00:00:01 netns "+pod.Name,
			"link set "+end+" up")
	}
	s.wire.Batch(t, cables...)
	for _, pod := range pods {
		pod.Batch(t, n.commands()...)
	}
	for _, pod := range pods {
		settle(t, pod, n)
	}
}

// settle waits until the kernel has nothing more to do with the NIC in its own time:
// the link-local address is the last that comes.
func settle(t testing.TB, pod *netlab.NS, n nic) {
	t.Helper()
	netlab.Eventually(t, n.name+" is ready", func() bool {
		for line := range bytes.Lines(procNet(t, pod, "if_inet6")) { // fe80000000000000... 02 40 20 80 net1
			if bytes.HasPrefix(line, []byte("fe80")) && bytes.HasSuffix(line, []byte(" "+n.name+"\n")) {
				return true
			}
		}
		return false
	})
}

// procNet reads a file of /proc/net.
func procNet(t testing.TB, ns *netlab.NS, file string) []byte {
	t.Helper()
	var data []byte
	ns.Must(t, func() (err error) {
		data, err = os.ReadFile("/proc/thread-self/net/" + file)
		return err
	})
	return data
}

// fill fills tables of the pod with foreign routes, half of them of each family.
func fill(t testing.TB, pod *netlab.NS, s shape) {
	t.Helper()
	const perTable = 100
	var four, six []string
	for i := range s.foreign / 2 {
		rest := fmt.Sprintf(" dev %s table %d", s.last().name, 1000+i/perTable)
		four = append(four, fmt.Sprintf("route add 172.%d.%d.0/24", 16+i/256, i%256)+rest)
		six = append(six, fmt.Sprintf("route add 2001:db8:f:%x::/64", i)+rest)
	}
	pod.Batch(t, slices.Concat(four, six, s.crowd())...)
}

// crowd lists what makes the pod a crowded one.
func (s shape) crowd() []string {
	var lines []string
	for i := range s.routes {
		lines = append(lines, fmt.Sprintf("route add 172.%d.%d.0/24 via %s dev %s", 16+i/256, i%256, s.last().gateways()[0], s.last().name))
	}
	if s.defaults > 0 {
		lines = append(lines, "link add eth0 type veth peer name eth0-end", "link set eth0-end up", "link set eth0 up", "addr add 10.9.0.1/16 dev eth0")
	}
	for i := range s.defaults {
		lines = append(lines, fmt.Sprintf("route append default via 10.9.%d.%d dev eth0", 1+i/250, 1+i%250))
	}
	for i := range s.rules {
		source := fmt.Sprintf("from 10.%d.%d.%d ", 200+i%5, i/5>>8, i/5&255)
		lines = append(lines, "rule add protocol 73 priority "+[]string{
			"32765 " + source + "goto 40000",
			"40012 " + source + "lookup 7300",
			"40015 " + source + "unreachable",
			"49998 " + source + "unreachable",
			fmt.Sprintf("%d lookup %d", 49999+i, 100000+i),
		}[i%5])
	}
	return lines
}

// remove takes pods away, and waits until nothing is left of them: the kernel takes
// a dead namespace apart in its own time, which must not be the next one's.
func (s *site) remove(t testing.TB, pods []*netlab.NS) {
	t.Helper()
	for _, pod := range pods {
		pod.Vanish(t)
	}
	netlab.Eventually(t, "the pods are gone", func() bool {
		return !bytes.Contains(procNet(t, s.wire, "dev"), []byte("end"))
	})
}
