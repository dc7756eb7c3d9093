package fib

import (
	"net/netip"
)

// Address is an address of an interface.
type Address struct {
	Index     int          `json:"index"` // of the interface
	Prefix    netip.Prefix `json:"prefix"`
	Scope     Scope        `json:"scope,omitempty"`
	Tentative bool         `json:"-"` // duplicate address detection is running, or has failed
	Duplicate bool         `json:"-"` // it has failed: another host of the link has the address
	// Deprecated is set for one that is never chosen as source by itself: IPv6
	// with a preferred lifetime of 0 (RFC 4862, 5.5.4).
	Deprecated bool `json:"deprecated,omitempty"`
	// Protocol says who configured it (IFA_PROTO, since Linux 5.18); 0: nobody did,
	// or this kernel does not tell.
	Protocol uint8 `json:"protocol,omitempty"`
}

func (a Address) String() string {
	if IsHost(a.Prefix) {
		return a.Prefix.Addr().String()
	}
	return a.Prefix.String()
}
