package kernel

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// AddressOfNode is the address from which the node, in whose namespace this process was started,
// reaches an address of the pod; not valid: it does not. No packet is sent.
func AddressOfNode(to netip.Addr) netip.Addr {
	found := make(chan netip.Addr)
	go func() { found <- sourceTo(to) }() // on a thread that has not entered the pod
	return <-found
}

func sourceTo(to netip.Addr) netip.Addr {
	const discard = 9 // the port does not matter
	family, peer := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: discard, Addr: to.As16()})
	if to.Is4() {
		family, peer = unix.AF_INET, &unix.SockaddrInet4{Port: discard, Addr: to.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	if err := unix.Connect(fd, peer); err != nil {
		return netip.Addr{}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(name.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(name.Addr)
	}
	return netip.Addr{}
}
