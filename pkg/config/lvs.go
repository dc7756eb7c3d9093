package config

import "net/netip"

// LVSMode is how a director forwards packets to its real servers (ipvsadm(8),
// packet-forwarding-method).
type LVSMode string

const (
	// LVSDirect is direct routing: packets come with the VIP as destination.
	LVSDirect LVSMode = "dr"
	// LVSTunnel is tunneling: they come inside packets to the pod's own address.
	LVSTunnel LVSMode = "tunnel"
)

// LVS makes the pod a real server.
type LVS struct {
	Mode LVSMode
	VIPs []netip.Addr
	// ReplyBy names the NIC that replies leave by; empty: the attachment's own.
	ReplyBy string
	// Device names the tunnel; empty: tunl0 for IPv4, ip6tnl0 for IPv6.
	Device string
}

// readLVS reads what a real server needs.
func readLVS(v value) (*LVS, bool) {
	o, ok := v.object(`{"mode": "dr", "vips": ["192.0.2.10"]}`)
	if !ok {
		return nil, false
	}
	o.only("mode", "vips", "replyBy", "device")
	vips := o.get("vips")
	mode, modeOK := required(o.get("mode"), `"dr" or "tunnel"`, oneOf(LVSDirect, LVSTunnel))
	l := &LVS{
		Mode:    mode,
		VIPs:    distinct(vips.list("addresses", `["192.0.2.10"]`), readVIP),
		ReplyBy: optional(o.get("replyBy"), readDeviceName, ""),
		Device:  optional(o.get("device"), readDeviceName, ""),
	}
	if list, ok := vips.json.([]any); vips.absent() || ok && len(list) == 0 {
		vips.fault(`names no address; write those of the virtual services, such as ["192.0.2.10"]`)
	}
	if modeOK && mode == LVSDirect && l.Device != "" {
		o.get("device").fault(`is for "mode": "tunnel"; with "dr" the VIPs are on lo; remove it`)
	}
	if l.ReplyBy == loopback {
		o.get("replyBy").fault(`"lo" leads nowhere; write the NIC that replies leave by`)
	}
	if l.Device == loopback {
		o.get("device").fault(`"lo" is no tunnel; write the name of one, or remove the key`)
	}
	return l, true
}

const loopback = "lo"

// readVIP reads the address of a virtual service.
func readVIP(v value) (netip.Addr, bool) {
	a, ok := v.unicast()
	if ok && a.IsLinkLocalUnicast() {
		v.fault("%s is link-local; a director's clients cannot reach it", a)
		return netip.Addr{}, false
	}
	return a, ok
}

// readDeviceName reads the name of a device of the pod.
func readDeviceName(v value) (string, bool) {
	name, ok := v.text("net1")
	if !ok {
		return "", false
	}
	if problem := deviceNameProblem(name); problem != "" {
		v.fault("%s", problem)
		return "", false
	}
	return name, true
}
