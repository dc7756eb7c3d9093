// Package config turns the JSON that a runtime writes to the plugin's standard
// input into a validated Config. It makes no system calls, and it reports every
// fault of a configuration at once, each with the path of its key.
package config

import (
	"net/netip"
)

// RPFilter is a wanted effective reverse-path filter mode: what the kernel
// computes as max(conf/all, conf/NIC) (ip-sysctl, rp_filter). The values from
// RPFilterOff to RPFilterLoose are the kernel's own numbers.
type RPFilter int8

// The modes of RFC 3704 that the kernel knows, and Keep, which leaves a
// device's mode alone.
const (
	RPFilterKeep   RPFilter = -1
	RPFilterOff    RPFilter = 0
	RPFilterStrict RPFilter = 1
	RPFilterLoose  RPFilter = 2
)

// NoGateway says what becomes of a source's traffic to places that its table
// has no route for.
type NoGateway string

const (
	// Refuse answers such traffic with ENETUNREACH.
	Refuse NoGateway = "refuse"
	// UseMain lets the main table decide, which may leak it through another NIC.
	UseMain NoGateway = "main"
)

// MainDefault says who owns the pod's default route in the main table.
type MainDefault string

const (
	// Yield takes this NIC's default out of main where another NIC has one.
	Yield MainDefault = "yield"
	// Take makes this NIC's default the pod's.
	Take MainDefault = "take"
	// KeepMain leaves main as IPAM made it.
	KeepMain MainDefault = "keep"
)

// ARP says how a NIC answers ARP.
type ARP string

const (
	// ARPKeep leaves the NIC's ARP settings alone.
	ARPKeep ARP = "keep"
	// ARPIsolate makes the NIC answer for its own addresses only.
	ARPIsolate ARP = "isolate"
)

// Defaults of the keys.
const (
	DefaultPriority = 32765
	DefaultDataDir  = "/run/cni/symroute"
)

// Config is a validated configuration of one invocation.
type Config struct {
	// CNIVersion is the version of the CNI specification that the runtime speaks.
	CNIVersion string
	// Network is the name of the network ("name").
	Network string

	RPFilter          RPFilter
	Interfaces        map[string]RPFilter // by device name
	Gateways          []Gateway
	NoGateway         NoGateway
	Sources           []netip.Prefix // masked; an address is a /32 or /128
	Routes            []Route
	ViaMain           []netip.Prefix // masked
	MainDefault       MainDefault
	Table             uint32 // 0: allocate
	Priority          uint32 // of our rules
	ARP               ARP
	LVS               *LVS // nil: the pod is no real server
	CheckDestinations []netip.Addr
	RequireGateway    bool
	Verify            bool
	DataDir           string

	// Prev is what the plugins before this one made; nil where the runtime
	// handed none on.
	Prev *Result
	// ValidAttachments is what GC must keep; nil where the runtime named none
	// (CNI SPEC, "cni.dev/valid-attachments").
	ValidAttachments []Attachment
}

// Gateway is one entry of "gateways".
type Gateway struct {
	Addr   netip.Addr
	OnLink bool // a neighbour of the NIC, whatever the subnets say
}

// Route is one entry of "routes".
type Route struct {
	Dst     netip.Prefix // masked
	Gateway netip.Addr   // invalid: on-link; for IPv4 it may be IPv6 (RFC 8950)
	Metric  uint32       // 0: the kernel's default
	MTU     uint32       // 0: the NIC's
	AdvMSS  uint32       // 0: the kernel's default
	OnLink  bool
}

// Attachment names one attachment within a network (CNI SPEC, "attachment").
type Attachment struct {
	ContainerID string
	IfName      string
}

// Result is the part of prevResult that routing depends on.
type Result struct {
	CNIVersion string // may be empty
	Interfaces []Interface
	IPs        []IP
	Routes     []ResultRoute
}

// Interface is one entry of prevResult.interfaces.
type Interface struct {
	Name    string
	Sandbox string // empty: an interface of the node
}

// IP is one entry of prevResult.ips.
type IP struct {
	Interface int          // index into Result.Interfaces; NoInterface where absent
	Address   netip.Prefix // the address with its subnet's length, not masked
	Gateway   netip.Addr   // invalid where absent or unspecified
}

// NoInterface is the Interface of an IP that names none: it belongs to the
// attachment's own interface.
const NoInterface = -1

// ResultRoute is one entry of prevResult.routes.
type ResultRoute struct {
	Dst      netip.Prefix // masked
	Gateway  netip.Addr   // invalid where absent or unspecified
	MTU      uint32
	AdvMSS   uint32
	Priority uint32
	Table    *uint32 // nil where absent
	Scope    *uint8  // nil where absent; the kernel's RT_SCOPE_*
}
