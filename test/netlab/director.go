package netlab

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Director is a namespace whose kernel spreads connections over real servers
// (LVS, ip_vs). It has to have the addresses of its services.
type Director struct{ NS *NS }

// Forwarding is how a director hands packets on, as ipvsadm's option.
type Forwarding string

const (
	// DirectRouting sends them on as they are, to the real server's hardware address.
	DirectRouting Forwarding = "--gatewaying"
	// Tunneling wraps them into packets to the real server's address.
	Tunneling Forwarding = "--ipip"
)

// NewDirector makes a director without services and links. It skips the test on a
// kernel that cannot be one.
func NewDirector(t testing.TB) *Director {
	t.Helper()
	NeedsIPVS(t)
	d := &Director{NS: New(t, "director")}
	d.NS.Forward(t)
	return d
}

// Serve makes services of TCP and of UDP, one connection to each real server in
// turn.
func (d *Director) Serve(t testing.TB, services ...netip.AddrPort) {
	t.Helper()
	for _, service := range services {
		for _, network := range serviceOptions {
			d.ipvsadm(t, "--add-service", network, service.String(), "--scheduler", "rr")
		}
	}
}

// AddServer lets a real server take part in a service.
func (d *Director) AddServer(t testing.TB, service netip.AddrPort, server netip.Addr, how Forwarding) {
	t.Helper()
	for _, network := range serviceOptions {
		d.ipvsadm(t, "--add-server", network, service.String(), "--real-server", at(server, service), string(how))
	}
}

// RemoveServer takes a real server out of a service.
func (d *Director) RemoveServer(t testing.TB, service netip.AddrPort, server netip.Addr) {
	t.Helper()
	for _, network := range serviceOptions {
		d.ipvsadm(t, "--delete-server", network, service.String(), "--real-server", at(server, service))
	}
}

// serviceOptions are those of ipvsadm for TCP and UDP.
var serviceOptions = []string{"--tcp-service", "--udp-service"}

// at is a real server, which both ways of forwarding reach by the service's port.
func at(server netip.Addr, service netip.AddrPort) string {
	return netip.AddrPortFrom(server, service.Port()).String()
}

// DirectorConnection is a connection as the director sees it: from the client's
// packets alone, for it sees no others.
type DirectorConnection struct {
	// Protocol is "TCP" or "UDP".
	Protocol string
	// State is what the client's packets say: "SYN_RECV" until it has got an answer.
	State                   string
	Client, Service, Server netip.AddrPort
}

// Connections lists what the director remembers (ipvsadm -Lnc).
func (d *Director) Connections(t testing.TB) []DirectorConnection {
	t.Helper()
	var connections []DirectorConnection
	for line := range strings.Lines(d.ipvsadm(t, "--list", "--connection", "--numeric")) {
		fields := strings.Fields(line) // TCP 00:59 SYN_RECV 192.0.2.7:4711 203.0.113.9:80 203.0.113.144:80
		if len(fields) < 6 || fields[0] != "TCP" && fields[0] != "UDP" {
			continue // headings
		}
		c := DirectorConnection{Protocol: fields[0], State: fields[2]}
		for i, end := range []*netip.AddrPort{&c.Client, &c.Service, &c.Server} {
			var err error
			if *end, err = netip.ParseAddrPort(fields[3+i]); err != nil {
				t.Fatalf("ipvsadm: %v in %q", err, line)
			}
		}
		connections = append(connections, c)
	}
	return connections
}

// String shows a connection the way a failed test should.
func (c DirectorConnection) String() string {
	return fmt.Sprintf("%s %s %v > %v at %v", c.Protocol, c.State, c.Client, c.Service, c.Server)
}

func (d *Director) ipvsadm(t testing.TB, args ...string) string {
	t.Helper()
	out, err := d.NS.Command("", "ipvsadm", args...)
	if err != nil {
		t.Fatalf("in namespace %s: %v", d.NS.Name, err)
	}
	return out
}
