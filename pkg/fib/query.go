package fib

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Query is a question to the kernel's routing: RTM_GETROUTE for one packet.
type Query struct {
	To   netip.Addr
	From netip.Addr // not valid: left to the kernel
	IIF  int        // 0: a packet of our own
	OIF  int        // 0: not bound to a device
	// Whole asks for the route as it stands in its table, and not for what becomes of the
	// one packet (RTM_F_FIB_MATCH, since Linux 4.13).
	Whole bool
}

// Answer is the kernel's to a Query: the route that the packet would take, or why it would
// take none.
type Answer struct {
	Route Route
	Err   error
}

// Refused reports whether the kernel refused the packet; where Err is set otherwise its
// answer is not known.
func (a Answer) Refused() bool {
	_, errno := errors.AsType[unix.Errno](a.Err)
	return errno
}
