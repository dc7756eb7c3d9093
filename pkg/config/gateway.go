package config

import "net/netip"

// readGateways reads the gateways that win over those of others.
func readGateways(v value) []Gateway {
	list := v.list("addresses", `["192.0.2.1"]`)
	return distinctBy(list, "is the same as", readGateway, func(g Gateway) netip.Addr { return g.Addr })
}

// readGateway reads one of them: its address, or an object that says more.
func readGateway(v value) (Gateway, bool) {
	if _, alone := v.json.(string); alone {
		a, ok := v.unicast()
		return Gateway{Addr: a}, ok
	}
	members, ok := v.json.(map[string]any)
	if !ok {
		v.wrongKind(`an address such as "192.0.2.1", or an object such as {"gw": "192.0.2.1", "onlink": true}`)
		return Gateway{}, false
	}
	o := object{v, members}
	o.only("gw", "onlink")
	a, ok := required(o.get("gw"), "an address such as 192.0.2.1", value.unicast)
	return Gateway{Addr: a, OnLink: optional(o.get("onlink"), value.boolean, false)}, ok
}
