package config

import (
	"math"
	"net/netip"
)

// Bounds of route metrics. The kernel silently cuts what exceeds the upper ones
// (ip_metrics_convert), so that the route would not be the one asked for.
const (
	minMTU4   = 68   // RFC 791
	minMTU6   = 1280 // RFC 8200
	maxMTU    = 65535 - 15
	maxAdvMSS = 65535 - 40

	// defaultMetric6 is what the kernel gives an IPv6 route without a metric
	// (IP6_RT_PRIO_USER).
	defaultMetric6 = 1024
)

const routeExample = `{"dst": "172.20.0.0/16", "gw": "192.0.2.1"}`

// readRoutes reads the further routes of the source table.
func readRoutes(v value) []Route {
	return distinctBy(v.list("routes", "["+routeExample+"]"), "has the same dst and metric as", readRoute, identity)
}

// A routeID is what the kernel tells the routes of one table apart by.
type routeID struct {
	dst    netip.Prefix
	metric uint32
}

// identity is the routeID of r.
func identity(r Route) routeID {
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		return routeID{r.Dst, defaultMetric6}
	}
	return routeID{r.Dst, r.Metric}
}

// readRoute reads one further route.
func readRoute(v value) (Route, bool) {
	o, ok := v.object(routeExample)
	if !ok {
		return Route{}, false
	}
	o.only("dst", "gw", "metric", "mtu", "advmss", "onlink")
	dst, ok := required(o.get("dst"), "a prefix such as 192.0.2.0/24", readRouteDst)
	r := Route{
		Dst:     dst,
		Gateway: optional(o.get("gw"), value.unicast, netip.Addr{}),
		Metric:  optional(o.get("metric"), between(0, math.MaxUint32, 100), 0),
		MTU:     optional(o.get("mtu"), between(minMTU(dst), maxMTU, 1400), 0),
		AdvMSS:  optional(o.get("advmss"), between(1, maxAdvMSS, 1360), 0),
		OnLink:  optional(o.get("onlink"), value.boolean, false),
	}
	o.get("gw").leadsTo(r.Gateway, "dst", dst)
	if r.OnLink && o.get("gw").absent() {
		o.get("onlink").fault("says that gw is on the link, but there is no gw; add it or remove onlink")
	}
	return r, ok
}

// readRouteDst reads where a further route leads.
func readRouteDst(v value) (netip.Prefix, bool) {
	p, ok := v.prefix()
	switch {
	case !ok:
		return netip.Prefix{}, false
	case p.Bits() == 0:
		v.fault("%s is the default route; write its next hop into gateways instead", p)
		return netip.Prefix{}, false
	case p != p.Masked():
		v.fault("%s has host bits; write %s", p, p.Masked())
		return netip.Prefix{}, false
	}
	return p, true
}

// minMTU is the least MTU that the family of dst allows.
func minMTU(dst netip.Prefix) uint32 {
	if dst.IsValid() && dst.Addr().Is6() {
		return minMTU6
	}
	return minMTU4
}
