package kernel

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

// AddressOfNode is the address from which the node, in whose namespace this process was started,
// reaches an address of the pod; not valid: it does not, or the kernel does not say.
func AddressOfNode(to netip.Addr) netip.Addr {
	found := make(chan netip.Addr)
	go func() { found <- sourceTo(to) }() // on a thread that has not entered the pod
	return <-found
}

// sourceTo is the source of a packet to an address from the namespace of this thread.
func sourceTo(to netip.Addr) netip.Addr {
	s, err := openSocket(patience)
	if err != nil {
		return netip.Addr{}
	}
	defer s.close()
	route, err := wire.DecodeRoute(s.ask(unix.RTM_GETROUTE, wire.EncodeQuery(fib.Query{To: to}))[0].payload)
	if err != nil {
		return netip.Addr{}
	}
	return route.PrefSrc
}
