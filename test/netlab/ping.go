package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	icmpv6EchoRequest = 128
	icmpv6EchoReply   = 129
)

// Ping6 sends an ICMPv6 echo request and waits for the reply, as
// `ping -6 -c 1 ADDRESS` does. A zone has to be a number (see Zoned).
func (n *NS) Ping6(remote netip.Addr) error {
	var scope uint64
	if zone := remote.Zone(); zone != "" {
		var err error
		if scope, err = strconv.ParseUint(zone, 10, 32); err != nil {
			return fmt.Errorf("ping %v: zone: %w", remote, err)
		}
	}
	return n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrInet6{Addr: remote.As16(), ZoneId: uint32(scope)}
		if err := unix.Connect(fd, to); err != nil {
			return fmt.Errorf("ping %v: connect: %w", remote, err)
		}
		deadline := time.Now().Add(patience)
		limit := unix.NsecToTimeval(int64(patience))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
			return err
		}
		request := make([]byte, 8) // the kernel fills in the checksum
		request[0] = icmpv6EchoRequest
		id := uint32(fd)<<16 | 1 // identifier and sequence number
		binary.BigEndian.PutUint32(request[4:], id)
		if _, err := unix.Write(fd, request); err != nil {
			return fmt.Errorf("ping %v: send: %w", remote, err)
		}
		buf := make([]byte, 2048)
		for time.Now().Before(deadline) {
			size, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return fmt.Errorf("ping %v: receive: %w", remote, err)
			}
			if size >= 8 && buf[0] == icmpv6EchoReply && binary.BigEndian.Uint32(buf[4:]) == id {
				return nil
			}
		}
		return fmt.Errorf("ping %v: no reply", remote)
	})
}
