package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// PrevResult returns the prevResult of a configuration as it came, with cniVersion put in where
// it names none. Nothing else is changed: no field is lost, not even an unknown one.
func PrevResult(data []byte, c *Config) ([]byte, error) {
	var conf, result map[string]json.RawMessage // a struct would match keys whatever their case
	if err := json.Unmarshal(data, &conf); err != nil || c.Prev.CNIVersion != "" || c.CNIVersion == "" {
		return conf["prevResult"], err
	}
	version, err := json.Marshal(c.CNIVersion)
	if err = errors.Join(err, json.Unmarshal(conf["prevResult"], &result)); err != nil {
		return nil, err
	}
	result["cniVersion"] = version
	return json.Marshal(result)
}

const (
	interfaceExample = `{"name": "net1", "sandbox": "/var/run/netns/pod"}`
	ipExample        = `{"interface": 0, "address": "192.0.2.5/24", "gateway": "192.0.2.1"}`
)

// readResult reads prevResult. The versions of the specification from 0.3.0 to
// 1.1.0 share its shape. It is not our object: keys that are unknown to us
// belong to others.
func readResult(v value) (*Result, bool) {
	o, ok := v.object(`{"interfaces": [], "ips": [], "routes": []}`)
	if !ok {
		return nil, false
	}
	interfaces := o.get("interfaces").list("interfaces", "["+interfaceExample+"]")
	return &Result{
		CNIVersion: optional(o.get("cniVersion"), textLike("1.0.0"), ""),
		Interfaces: each(interfaces, readResultInterface),
		IPs: distinctBy(o.get("ips").list("addresses", "["+ipExample+"]"), "has the same address as",
			readIP(len(interfaces)), ipIdentity),
		Routes: each(o.get("routes").list("routes", "["+routeExample+"]"), readResultRoute),
	}, true
}

// readResultInterface reads an interface of the pod or of the node. What the
// node's interfaces are called is no concern of ours, nor is one whose name is
// too long for any device: the AWS VPC CNI keeps notes to its own DEL in one
// ("dummy" and eleven digits; cmd/routed-eni-cni-plugin/cni.go).
func readResultInterface(v value) (Interface, bool) {
	o, ok := v.object(interfaceExample)
	if !ok {
		return Interface{}, false
	}
	name := o.get("name")
	i := Interface{
		Name:    optional(name, textLike("net1"), ""),
		Sandbox: optional(o.get("sandbox"), textLike("/var/run/netns/pod"), ""),
	}
	if strings.ContainsFunc(i.Name, control) {
		name.fault("%s holds control characters; write the name of a device", quote(i.Name))
	} else if problem := deviceNameProblem(i.Name); i.Sandbox != "" && problem != "" && len(i.Name) <= maxDeviceName {
		name.fault("%s", problem)
	}
	return i, true
}

// readIP reads an address of the pod, which may belong to one of so many
// interfaces.
func readIP(interfaces int) func(value) (IP, bool) {
	return func(v value) (IP, bool) {
		o, ok := v.object(ipExample)
		if !ok {
			return IP{}, false
		}
		address, ok := required(o.get("address"), "an address such as 192.0.2.5/24", readIPAddress)
		ip := IP{
			Interface: optional(o.get("interface"), readIndex(interfaces), NoInterface),
			Address:   address,
			Gateway:   optional(o.get("gateway"), readNextHop, netip.Addr{}),
		}
		if !ok || !ip.Gateway.IsValid() {
			return ip, ok
		}
		o.get("gateway").leadsTo(ip.Gateway, "address", address)
		if ip.Gateway == address.Addr() {
			o.get("gateway").fault("%s is the pod's own address; the gateway must be another host", ip.Gateway)
		}
		return ip, true
	}
}

// readIPAddress reads an address of the pod with the length of its subnet.
func readIPAddress(v value) (netip.Prefix, bool) {
	p, ok := v.prefix()
	if !ok {
		return netip.Prefix{}, false
	}
	if kind := specialAddr(p.Addr()); kind != "" {
		v.refuseSpecial(p.Addr(), kind)
		return netip.Prefix{}, false
	}
	if p.Bits() == 0 {
		v.fault("%s has a mask of 0, which puts everybody on the link; write the length of its subnet", p)
		return netip.Prefix{}, false
	}
	return p, true
}

// readIndex reads the index of one of n interfaces.
func readIndex(n int) func(value) (int, bool) {
	return func(v value) (int, bool) {
		if n == 0 {
			v.fault("names an interface by index, but prevResult.interfaces is empty")
			return 0, false
		}
		i, ok := v.whole(0, uint32(n-1))
		if !ok {
			v.wrongKind(fmt.Sprintf("an index into prevResult.interfaces, from 0 to %d", n-1))
		}
		return int(i), ok
	}
}

// readNextHop reads a next hop; the unspecified address and "" stand for none,
// which is how some plugins write it.
func readNextHop(v value) (netip.Addr, bool) {
	if v.json == "" {
		return netip.Addr{}, true
	}
	a, ok := v.address()
	if !ok || a.Unmap().IsUnspecified() {
		return netip.Addr{}, ok
	}
	return v.unicast()
}

// An ipID is what no two entries of prevResult.ips may share.
type ipID struct {
	addr netip.Addr
	nic  int // told apart for link-local IPv6 alone, which repeats from NIC to NIC
}

// ipIdentity is the ipID of ip.
func ipIdentity(ip IP) ipID {
	a := ip.Address.Addr()
	if linkLocal6().Contains(a) {
		return ipID{a, ip.Interface}
	}
	return ipID{a, 0}
}

// readResultRoute reads a route that another plugin asked for or made.
func readResultRoute(v value) (ResultRoute, bool) {
	o, ok := v.object(routeExample)
	if !ok {
		return ResultRoute{}, false
	}
	number := func(example uint32) func(value) (uint32, bool) { return between(0, math.MaxUint32, example) }
	dst, ok := required(o.get("dst"), "a prefix such as 192.0.2.0/24", value.prefix)
	r := ResultRoute{
		Dst:      dst.Masked(),
		Gateway:  optional(o.get("gw"), readNextHop, netip.Addr{}),
		MTU:      optional(o.get("mtu"), number(1400), 0),
		AdvMSS:   optional(o.get("advmss"), number(1360), 0),
		Priority: optional(o.get("priority"), number(100), 0),
		Table:    optional(o.get("table"), readTableNumber, nil),
		Scope:    optional(o.get("scope"), readScope, nil),
	}
	o.get("gw").leadsTo(r.Gateway, "dst", dst)
	return r, ok
}

// readTableNumber reads the number of the table that a route is meant for.
func readTableNumber(v value) (*uint32, bool) {
	n, ok := between(0, math.MaxUint32, 100)(v)
	return new(n), ok
}

// readScope reads the scope of a route by the kernel's number.
func readScope(v value) (*uint8, bool) {
	n, ok := between(0, math.MaxUint8, 253)(v)
	return new(uint8(n)), ok
}
