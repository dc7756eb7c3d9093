package fib

// Link is a network interface and the per-device settings that routing goes by.
type Link struct {
	Index int
	Name  string
	Up    bool // administratively
	// Idle says why nothing passes though the device is up ("no carrier", "dormant"); empty:
	// it runs.
	Idle     string
	Loopback bool
	Master   int    // index; 0: none
	Kind     string // "veth", "vrf" ...; empty for hardware
	VRFTable uint32 // where Kind is "vrf"
	MTU      uint32
	// AnyToAny is set for a tunnel that accepts packets of everybody to every
	// address of ours, as the kernel's fallback devices do (tunl0, ip6tnl0).
	AnyToAny bool
	// Inside is the protocol of the packets that a tunnel carries (IPPROTO_IPIP,
	// IPPROTO_IPV6 ...); 0: any that its kind can.
	Inside uint8
	// The device's own IPv4 settings (/proc/sys/net/ipv4/conf/NAME/*).
	// HasIPv4 is false where it has none (an MTU below 68).
	HasIPv4 bool
	Settings
	// HasIPv6 is set where it has IPv6 settings, IPv6 where it takes part in IPv6
	// (disable_ipv6 is 0).
	HasIPv6, IPv6 bool
}

// Kinds of tunnels that LVS' directors send through.
const (
	KindIPIP      = "ipip"
	KindIP6Tunnel = "ip6tnl"
)

// KindVRF is the kind of a device that gives those enslaved to it a table.
const KindVRF = "vrf"
