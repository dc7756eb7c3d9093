package symmetry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// flow is what a question is about.
type flow struct {
	nic device
	// arrival is the device by which packets come in.
	arrival device
	local   netip.Addr // not valid for a socket without a source
	remote  netip.Addr
	// exit lists the acceptable next hops; empty: any by the NIC.
	exit []fib.Hop
	// other is the NIC that answers the remote, for forged packets.
	other device
}

// device is what a question says of a link. There are hundreds of questions.
type device struct {
	Index int
	Name  string
}

// A kind of question is all that there is to say about it.
type kind struct {
	// query puts the question into the kernel's words.
	query func(flow) fib.Query
	// right reports whether an answer is the wanted one.
	right func(flow, fib.Answer) bool
	// what and want say in words what is asked, and what the answer should be.
	what, want func(flow) string
	// back asks for the lookup that decided: that of the way back, for packets that arrive.
	back func(flow) fib.Query
}

// kinds are all kinds of questions.
type kinds struct {
	out    kind // local to remote: by this NIC?
	in     kind // remote to local, arriving on this NIC: delivered?
	bound  kind // a socket bound to this NIC without a source: by its gateway?
	forged kind // a packet for another NIC, arriving here: refused?
}

func allKinds() kinds {
	return kinds{
		out: kind{
			query: wayOut,
			right: leavesRight,
			what:  func(f flow) string { return fmt.Sprintf("packets from %s to %s", f.local, f.remote) },
			want:  ways,
		},
		in: kind{
			query: arriving,
			right: func(_ flow, a fib.Answer) bool { return a.Err == nil && a.Route.Type == unix.RTN_LOCAL },
			what: func(f flow) string {
				return fmt.Sprintf("packets from %s to %s that arrive on %s", f.remote, f.local, f.arrival.Name)
			},
			want: func(flow) string { return "delivered" },
			back: wayOut,
		},
		bound: kind{
			query: func(f flow) fib.Query { return fib.Query{To: f.remote, OIF: f.nic.Index} },
			right: leavesRight,
			what: func(f flow) string {
				return fmt.Sprintf("packets to %s of a socket bound to %s", f.remote, f.nic.Name)
			},
			want: ways,
		},
		forged: kind{
			query: arriving,
			// The reverse-path filter refuses with EXDEV, or with EINVAL, which newer kernels
			// use for every source that they do not accept.
			right: func(_ flow, a fib.Answer) bool { return errors.Is(a.Err, unix.EXDEV) || errors.Is(a.Err, unix.EINVAL) },
			what: func(f flow) string {
				return fmt.Sprintf("forged packets from %s for %s's address %s that arrive on %s", f.remote, f.other.Name, f.local, f.arrival.Name)
			},
			want: func(flow) string { return "refused by strict mode" },
			back: wayOut,
		},
	}
}

func wayOut(f flow) fib.Query   { return fib.Query{To: f.remote, From: f.local} }
func arriving(f flow) fib.Query { return fib.Query{To: f.local, From: f.remote, IIF: f.arrival.Index} }

// leavesRight reports whether a packet leaves by the NIC through a wanted next
// hop.
func leavesRight(f flow, a fib.Answer) bool {
	if a.Err != nil || len(a.Route.Hops) == 0 || a.Route.Hops[0].Index != f.nic.Index {
		return false
	}
	return len(f.exit) == 0 || slices.ContainsFunc(f.exit, func(h fib.Hop) bool { return a.Route.Hops[0].Gateway == h.Gateway })
}

func ways(f flow) string {
	var ways []string
	for _, h := range f.exit {
		ways = append(ways, way(h))
	}
	if len(ways) == 0 {
		return "out of " + f.nic.Name
	}
	return strings.Join(ways, " or ")
}

func way(h fib.Hop) string {
	if h.Gateway.IsValid() {
		return fmt.Sprintf("out of %s through %s", h.Dev, h.Gateway)
	}
	return fmt.Sprintf("out of %s, on-link", h.Dev)
}

// got says what the kernel answered.
func got(a fib.Answer) string {
	switch {
	case errors.Is(a.Err, unix.EXDEV):
		return "refused by the reverse-path filter (EXDEV)"
	case errors.Is(a.Err, unix.EINVAL):
		return "refused, cause not named by this kernel (EINVAL): most often the reverse-path filter"
	case errors.Is(a.Err, unix.ENETUNREACH):
		return "refused as unreachable (ENETUNREACH)"
	case errors.Is(a.Err, unix.EHOSTUNREACH):
		return "refused as unreachable (EHOSTUNREACH)"
	case a.Err != nil:
		return a.Err.Error()
	case a.Route.Type == unix.RTN_LOCAL:
		return "delivered"
	case len(a.Route.Hops) == 0:
		return fmt.Sprintf("no way (%s)", a.Route)
	}
	return way(a.Route.Hops[0])
}
