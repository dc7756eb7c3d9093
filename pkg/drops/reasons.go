package drops

// Explanation says what a reason of the kernel's means, and what to do.
type Explanation struct {
	Sentence string `json:"sentence"`
	Change   string `json:"change,omitempty"`
}

// explain explains a reason (include/net/dropreason-core.h says in a comment what each is). One that is not known here is
// named by the kernel all the same.
func explain(reason string) Explanation {
	return map[string]Explanation{
		"IP_RPFILTER": {
			"the reverse-path filter: the way back to the sender is by another NIC, or there is none",
			"symroutectl explain POD CLIENT says which, and what to change",
		},
		"IP_LOCAL_SOURCE": {
			"the sender's address is one of the pod's own", "two hosts have one address, or a packet of the pod's own came back",
		},
		"IP_INVALID_SOURCE":       {"the sender's address is no unicast address", "look at the sender"},
		"IP_INVALID_DEST":         {"the destination is no valid address", "look at the sender"},
		"IP_LOCALNET":             {"an address of 127.0.0.0/8 from outside", "look at the sender, or net.ipv4.conf.NIC.route_localnet"},
		"LOCAL_MAC":               {"the sender's MAC address is the NIC's own", "two NICs have one MAC address, or a loop on the link"},
		"IP_INNOROUTES":           {"there is no route for what came", "the address is not the pod's, and it does not forward"},
		"IP_OUTNOROUTES":          {"there is no route to the destination", "symroutectl explain shows which table decides"},
		"IPV6DISABLED":            {"IPv6 is off on the NIC", "net.ipv6.conf.NIC.disable_ipv6"},
		"OTHERHOST":               {"the frame is for another MAC address", "a stale ARP entry at the router, or promiscuous mode"},
		"NETFILTER_DROP":          {"a rule of nftables or iptables", "nft list ruleset in the pod's network namespace"},
		"BPF_CGROUP_EGRESS":       {"an eBPF program of a cgroup", "look which is attached: bpftool cgroup tree"},
		"SOCKET_FILTER":           {"a filter that the server has put on its socket", "look at the server"},
		"NO_SOCKET":               {"nobody listens at that port and address", "start the server, or correct its address: symroutectl explain --proto --dport"},
		"TCP_LISTEN_OVERFLOW":     {"the server's queue of new connections is full", "the server accepts too slowly, or net.core.somaxconn is too small"},
		"TCP_CSUM":                {"a wrong checksum of TCP", "look at offloads of the NIC (ethtool -k)"},
		"UDP_CSUM":                {"a wrong checksum of UDP", "look at offloads of the NIC (ethtool -k)"},
		"IP_CSUM":                 {"a wrong checksum of IP", "look at the NIC, or what changes packets on the way"},
		"IP_INHDR":                {"a broken header of IP", "look at the sender, or what changes packets on the way"},
		"IP_NOPROTO":              {"nobody speaks that protocol here", "the pod has no socket or tunnel for it"},
		"UNHANDLED_PROTO":         {"nobody speaks that protocol of Ethernet here", "most often harmless: LLDP, STP and the like"},
		"SOCKET_RCVBUFF":          {"the buffer of the receiving socket is full", "the server reads too slowly, or net.core.rmem_max is too small"},
		"PROTO_MEM":               {"the memory for sockets is used up", "net.ipv4.tcp_mem, net.ipv4.udp_mem"},
		"NEIGH_FAILED":            {"nobody answers for the next hop", "the gateway is down, in another VLAN, or has another address"},
		"NEIGH_QUEUEFULL":         {"too many packets wait for the next hop to answer", "the gateway does not answer: ip neighbour"},
		"NEIGH_CREATEFAIL":        {"there is no room for the next hop's entry", "net.ipv4.neigh.default.gc_thresh3"},
		"NEIGH_DEAD":              {"the next hop's entry has gone meanwhile", "look whether the NIC goes down and up"},
		"PKT_TOO_BIG":             {"the packet is larger than the way takes", "compare the MTUs of the NIC, of routes, and of tunnels"},
		"QDISC_DROP":              {"the queue of the NIC drops it: it is full, or the link has no carrier", "ip -s link; symroutectl explain"},
		"FULL_RING":               {"the queue to the other end of the link is full", "the receiver is too slow"},
		"DEV_READY":               {"the NIC is down", "ip link set NIC up; then symroutectl repair"},
		"TC_INGRESS":              {"a filter of tc at the NIC's entrance", "tc filter show dev NIC ingress"},
		"TC_EGRESS":               {"a filter of tc at the NIC's exit", "tc filter show dev NIC egress"},
		"XDP":                     {"an XDP program of the NIC", "ip link show NIC"},
		"TCP_OLD_ACK":             {"an old acknowledgement of TCP", ""},
		"TCP_INVALID_SEQUENCE":    {"a segment outside the window of its connection", "half of the connection may go another way: symroutectl explain"},
		"TCP_RESET":               {"a reset of a connection that is not there", ""},
		"TCP_CLOSE":               {"a segment for a connection that has ended", ""},
		"MULTICAST_IPV6":          {"nobody in the pod listens to that multicast group", ""},
		"UNICAST_IN_L2_MULTICAST": {"a unicast packet in a multicast frame", "look at the sender or the switch"},
	}[reason]
}

// harmless are the ways of the kernel's to free what it is done with.
func harmless(reason string) bool {
	switch reason {
	case "NOT_DROPPED_YET", "CONSUMED", "NOT_SPECIFIED":
		return true
	}
	return false
}
