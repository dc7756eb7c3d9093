package drops

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Counters are those of a network namespace that tell of drops (netstat(8), nstat(8)), by their names.
type Counters map[string]uint64

// counted are the counters that are shown, in this order.
func counted() []string {
	return []string{
		"TcpExtIPReversePathFilter", "IpInDiscards", "IpInAddrErrors", "IpInNoRoutes", "IpExtInNoRoutes", "IpOutNoRoutes", "IpOutDiscards",
		"IpInHdrErrors", "IpInUnknownProtos", "UdpNoPorts", "UdpRcvbufErrors", "TcpExtListenOverflows", "TcpExtListenDrops",
		"Ip6InNoRoutes", "Ip6OutNoRoutes", "Ip6InDiscards", "Ip6OutDiscards", "Ip6InAddrErrors", "Udp6NoPorts",
	}
}

// ReadCounters reads them in the namespace that the calling thread is in.
func ReadCounters() (Counters, error) {
	all := Counters{}
	for _, name := range []string{"netstat", "snmp"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + name)
		if err != nil {
			return nil, fmt.Errorf("read counters: %w", err)
		}
		all.addPairs(string(text))
	}
	if text, err := os.ReadFile("/proc/thread-self/net/snmp6"); err == nil { // a kernel with IPv6
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) == 2 {
				all.add(fields[0], fields[1])
			}
		}
	}
	return all, nil
}

// addPairs reads lines of names and lines of numbers, in turn.
func (c Counters) addPairs(text string) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if names == nil || names[0] != fields[0] {
			names = fields
			continue
		}
		for i := 1; i < min(len(names), len(fields)); i++ {
			c.add(strings.TrimSuffix(fields[0], ":")+names[i], fields[i])
		}
		names = nil
	}
}

func (c Counters) add(name, number string) {
	if n, err := strconv.ParseUint(number, 10, 64); err == nil {
		c[name] = n
	}
}

// Growth is a counter that has moved.
type Growth struct {
	Name string `json:"name"`
	By   uint64 `json:"by"`
}

// Since are the counters that have moved since an earlier reading.
func (c Counters) Since(earlier Counters) []Growth {
	out := []Growth{}
	for _, name := range counted() {
		if by := c[name] - earlier[name]; c[name] > earlier[name] {
			out = append(out, Growth{name, by})
		}
	}
	return out
}
