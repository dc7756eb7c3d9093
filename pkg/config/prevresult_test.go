package config

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePrevResult(t *testing.T) {
	ip := func(s string, nic int, gw string) IP {
		i := IP{Interface: nic, Address: netip.MustParsePrefix(s)}
		if gw != "" {
			i.Gateway = netip.MustParseAddr(gw)
		}
		return i
	}
	tests := []struct {
		name string
		json string
		want Result
	}{
		{"empty", `{}`, Result{}},
		{"empty lists", `{"interfaces": [], "ips": [], "routes": []}`, Result{}},
		{"null lists", `{"interfaces": null, "ips": null, "routes": null, "cniVersion": null}`, Result{}},
		{
			"macvlan with host-local, 1.1.0",
			`{"cniVersion": "1.1.0",
			  "interfaces": [{"name": "net1", "mac": "02:42:0a:14:1e:05", "mtu": 1500, "sandbox": "/var/run/netns/cni-1"}],
			  "ips": [{"interface": 0, "address": "10.20.30.5/24", "gateway": "10.20.30.1"},
			          {"interface": 0, "address": "2001:db8:20:30::5/64", "gateway": "2001:db8:20:30::1"}],
			  "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "2001:db8:20:30::1", "mtu": 1400, "advmss": 1360, "priority": 50, "table": 0, "scope": 253}],
			  "dns": {"nameservers": ["10.0.0.10"]}}`,
			Result{
				Interfaces: []Interface{{Name: "net1", Sandbox: "/var/run/netns/cni-1"}},
				IPs: []IP{
					ip("10.20.30.5/24", 0, "10.20.30.1"),
					ip("2001:db8:20:30::5/64", 0, "2001:db8:20:30::1"),
				},
				Routes: []ResultRoute{
					{Dst: netip.MustParsePrefix("0.0.0.0/0")},
					{
						Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("2001:db8:20:30::1"),
						MTU: 1400, AdvMSS: 1360, Priority: 50, Table: new(uint32(0)), Scope: new(uint8(253)),
					},
				},
			},
		},
		{
			"bridge, 0.4.0: interfaces of the node and a version for each IP",
			`{"cniVersion": "0.4.0",
			  "interfaces": [{"name": "cni0", "mac": "x"}, {"name": "veth-of-the-pod-1"}, {"name": "", "sandbox": ""}, {"sandbox": null}, {"name": "eth0", "sandbox": "/proc/7/ns/net"}],
			  "ips": [{"version": "4", "interface": 4, "address": "10.244.1.7/24", "gateway": "10.244.1.1"}],
			  "routes": [{"dst": "10.244.0.9/16", "gw": "10.244.1.1"}]}`,
			Result{
				Interfaces: []Interface{{Name: "cni0"}, {Name: "veth-of-the-pod-1"}, {}, {}, {Name: "eth0", Sandbox: "/proc/7/ns/net"}},
				IPs:        []IP{ip("10.244.1.7/24", 4, "10.244.1.1")},
				Routes:     []ResultRoute{{Dst: netip.MustParsePrefix("10.244.0.0/16"), Gateway: netip.MustParseAddr("10.244.1.1")}},
			},
		},
		{
			"gateways that say nothing",
			`{"ips": [{"address": "10.0.0.5/32", "gateway": "0.0.0.0"}, {"address": "10.0.0.6/32", "gateway": ""},
			          {"address": "10.0.0.7/32", "gateway": null}, {"address": "2001:db8::5/64", "gateway": "::"},
			          {"address": "2001:db8::6/64", "gateway": "0.0.0.0"}, {"address": "2001:db8::7/64", "gateway": "::ffff:0.0.0.0"}],
			  "routes": [{"dst": "10.0.0.0/8", "gw": ""}, {"dst": "10.0.0.0/8", "gw": "0.0.0.0"}]}`,
			Result{
				IPs: []IP{
					ip("10.0.0.5/32", NoInterface, ""), ip("10.0.0.6/32", NoInterface, ""),
					ip("10.0.0.7/32", NoInterface, ""), ip("2001:db8::5/64", NoInterface, ""),
					ip("2001:db8::6/64", NoInterface, ""), ip("2001:db8::7/64", NoInterface, ""),
				},
				Routes: []ResultRoute{{Dst: netip.MustParsePrefix("10.0.0.0/8")}, {Dst: netip.MustParsePrefix("10.0.0.0/8")}},
			},
		},
		{
			"link-local addresses repeat from NIC to NIC",
			`{"interfaces": [{"name": "net1", "sandbox": "/n"}, {"name": "net2", "sandbox": "/n"}],
			  "ips": [{"interface": 0, "address": "fe80::5/64"}, {"interface": 1, "address": "fe80::5/64", "gateway": "fe80::1"}]}`,
			Result{
				Interfaces: []Interface{{"net1", "/n"}, {"net2", "/n"}},
				IPs:        []IP{ip("fe80::5/64", 0, ""), ip("fe80::5/64", 1, "fe80::1")},
			},
		},
		{
			"keys of others",
			`{"interfaces": [{"name": "net1", "sandbox": "/n", "pciID": 5, "socketPath": {}, "mac": 1, "mtu": "x"}], "ips": [{"address": "10.0.0.5/24", "version": 4, "vendor": 1}],
			  "routes": [{"dst": "10.0.0.0/8", "vendor": 1}], "vendor": {"a": 1}, "dns": 5}`,
			Result{
				Interfaces: []Interface{{"net1", "/n"}},
				IPs:        []IP{ip("10.0.0.5/24", NoInterface, "")},
				Routes:     []ResultRoute{{Dst: netip.MustParsePrefix("10.0.0.0/8")}},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(`{"type": "symroute", "prevResult" : ` + tt.json + ` }`))
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			want.CNIVersion = versionOf(t, tt.json)
			if diff := cmp.Diff(&want, got.Prev, netipValues); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func versionOf(t *testing.T, text string) string {
	t.Helper()
	var result struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatal(err)
	}
	return result.CNIVersion
}

// The result is passed on as it came. Where it names no version the members come in another
// order, and none is lost or changed.
func TestPrevResult(t *testing.T) {
	tests := []struct{ name, raw, version, want string }{
		{"lacking", `{"ips": [], "x": 1}`, "1.0.0", `{"cniVersion":"1.0.0","ips":[],"x":1}`},
		{"empty", `{ }`, "1.0.0", `{"cniVersion":"1.0.0"}`},
		{"there", `{"ips": [], "cniVersion" : "0.4.0"}`, "1.0.0", `{"ips": [], "cniVersion" : "0.4.0"}`},
		{"null", `{"ips": [], "cniVersion" : null , "x": 1}`, "1.0.0", `{"cniVersion":"1.0.0","ips":[],"x":1}`},
		{"empty string", `{"cniVersion":""}`, "1.0.0", `{"cniVersion":"1.0.0"}`},
		{"inner only", `{"a":{"cniVersion":"1"}}`, "1.0.0", `{"a":{"cniVersion":"1"},"cniVersion":"1.0.0"}`},
		{"escaped key", `{"cniV\u0065rsion":"0.4.0"}`, "1.0.0", `{"cniV\u0065rsion":"0.4.0"}`},
		{"no version to give", `{"ips": []}`, "", `{"ips": []}`},
		{
			"unknown fields and big numbers stay", `{"z":1e400,"a":12345678901234567890,"y":[1.0]}`, "1.0.0",
			`{"a":12345678901234567890,"cniVersion":"1.0.0","y":[1.0],"z":1e400}`,
		},
		{
			"there, and all else as it is", "{\n \"cniVersion\":\"1.0.0\",\t\"z\":1e400 , \"a\":\"<\xff>\"}", "1.0.0",
			"{\n \"cniVersion\":\"1.0.0\",\t\"z\":1e400 , \"a\":\"<\xff>\"}",
		},
		{"version that needs escapes", `{}`, "1\"\a", `{"cniVersion":"1\"\u0007"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			version, err := json.Marshal(tt.version)
			if err != nil {
				t.Fatal(err)
			}
			// A key of other case is somebody else's.
			data := []byte(`{"cniVersion": ` + string(version) + `, "PrevResult": {"x": 1}, "prevResult": ` + tt.raw + `, "PREVRESULT": {"y": 2}}`)
			c, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := PrevResult(data, c)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

func TestParsePrevResultFaults(t *testing.T) {
	tests := []struct {
		json string // of prevResult
		want []string
	}{
		{`5`, []string{`: must be an object such as {"interfaces": [], "ips": [], "routes": []}, not the number 5`}},
		{`{"cniVersion": 1}`, []string{`.cniVersion: must be a string such as "1.0.0", not the number 1`}},

		{`{"interfaces": {}}`, []string{`.interfaces: must be a list of interfaces such as [{"name": "net1", "sandbox": "/var/run/netns/pod"}], not an object`}},
		{`{"interfaces": [null, "net1"]}`, []string{
			`.interfaces[0]: must be an object such as {"name": "net1", "sandbox": "/var/run/netns/pod"}, not null`,
			`.interfaces[1]: must be an object such as {"name": "net1", "sandbox": "/var/run/netns/pod"}, not the string "net1"`,
		}},
		{`{"interfaces": [{"name": 5, "sandbox": 6}]}`, []string{
			`.interfaces[0].name: must be a string such as "net1", not the number 5`,
			`.interfaces[0].sandbox: must be a string such as "/var/run/netns/pod", not the number 6`,
		}},
		{
			`{"interfaces": [{"sandbox": "/n"}, {"name": "a/b", "sandbox": "/n"}, {"name": "..", "sandbox": "/n"}, {"name": "all", "sandbox": "/n"},
			                 {"name": "a:b", "sandbox": "/n"}, {"name": "a\tb", "sandbox": "/n"}, {"name": "\u009b"}, {"name": "a b", "sandbox": "/n"}]}`,
			[]string{
				`.interfaces[0].name: a device name must not be empty`,
				`.interfaces[1].name: "a/b" is not a device name; the kernel allows no '/' and no ':' in it`,
				`.interfaces[2].name: ".." is not a device name; the kernel reserves it`,
				`.interfaces[3].name: "all" is the kernel's key for all devices at once; name each device`,
				`.interfaces[4].name: "a:b" is not a device name; the kernel allows no '/' and no ':' in it`,
				`.interfaces[5].name: "a\tb" holds control characters; write the name of a device`,
				`.interfaces[6].name: "\u009b" holds control characters; write the name of a device`,
				`.interfaces[7].name: "a b" is not a device name; white space and control characters have no place in it`,
			},
		},

		{`{"ips": {}}`, []string{`.ips: must be a list of addresses such as [{"interface": 0, "address": "192.0.2.5/24", "gateway": "192.0.2.1"}], not an object`}},
		{`{"ips": [null, "10.0.0.5/24"]}`, []string{
			`.ips[0]: must be an object such as {"interface": 0, "address": "192.0.2.5/24", "gateway": "192.0.2.1"}, not null`,
			`.ips[1]: must be an object such as {"interface": 0, "address": "192.0.2.5/24", "gateway": "192.0.2.1"}, not the string "10.0.0.5/24"`,
		}},
		{
			`{"ips": [{}, {"address": null}, {"address": 5}, {"address": ""}, {"address": "10.0.0.5"}, {"address": "10.0.0.5/33"}, {"address": "fe80::5%eth0/64"}]}`,
			[]string{
				`.ips[0].address: is missing; it must be an address such as 192.0.2.5/24`,
				`.ips[1].address: is missing; it must be an address such as 192.0.2.5/24`,
				`.ips[2].address: must be a string such as "192.0.2.0/24", not the number 5`,
				`.ips[3].address: "" is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64`,
				`.ips[4].address: "10.0.0.5" has no prefix length; append that of its subnet, or write 10.0.0.5/32 for this address alone`,
				`.ips[5].address: "10.0.0.5/33" is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64`,
				`.ips[6].address: "fe80::5%eth0/64" has a zone; remove it`,
			},
		},
		{
			`{"ips": [{"address": "10.0.0.5/0"}, {"address": "0.0.0.0/24"}, {"address": "::/64"}, {"address": "224.0.0.5/24"}, {"address": "ff02::1/64"},
			          {"address": "127.0.0.1/8"}, {"address": "::1/128"}, {"address": "255.255.255.255/32"}, {"address": "::ffff:10.0.0.5/120"}, {"address": "0.0.0.0/0"}]}`,
			[]string{
				`.ips[0].address: 10.0.0.5/0 has a mask of 0, which puts everybody on the link; write the length of its subnet`,
				`.ips[1].address: 0.0.0.0 is unspecified; write the address of one host`,
				`.ips[2].address: :: is unspecified; write the address of one host`,
				`.ips[3].address: 224.0.0.5 is multicast; write the address of one host`,
				`.ips[4].address: ff02::1 is multicast; write the address of one host`,
				`.ips[5].address: 127.0.0.1 is loopback; write the address of one host`,
				`.ips[6].address: ::1 is loopback; write the address of one host`,
				`.ips[7].address: 255.255.255.255 is broadcast; write the address of one host`,
				`.ips[8].address: ::ffff:10.0.0.5/120 is an IPv4 prefix written as IPv6; write 10.0.0.5/24`,
				`.ips[9].address: 0.0.0.0 is unspecified; write the address of one host`,
			},
		},
		{
			`{"interfaces": [{"name": "a"}, {"name": "b"}],
			  "ips": [{"address": "10.0.0.5/24", "interface": 2}, {"address": "10.0.0.6/24", "interface": -1}, {"address": "10.0.0.7/24", "interface": "0"}, {"address": "10.0.0.8/24", "interface": 0.0}]}`,
			[]string{
				`.ips[0].interface: must be an index into prevResult.interfaces, from 0 to 1, not the number 2`,
				`.ips[1].interface: must be an index into prevResult.interfaces, from 0 to 1, not the number -1`,
				`.ips[2].interface: must be an index into prevResult.interfaces, from 0 to 1, not the string "0"`,
				`.ips[3].interface: must be an index into prevResult.interfaces, from 0 to 1, not the number 0.0`,
			},
		},
		{`{"ips": [{"address": "10.0.0.5/24", "interface": 0}]}`, []string{`.ips[0].interface: names an interface by index, but prevResult.interfaces is empty`}},
		{
			`{"ips": [{"address": "10.0.0.5/24", "gateway": "fe80::1"}, {"address": "2001:db8::5/64", "gateway": "10.0.0.1"}, {"address": "10.0.0.6/24", "gateway": "10.0.0.6"},
			          {"address": "10.0.0.7/24", "gateway": 1}, {"address": "10.0.0.8/24", "gateway": "x"}, {"address": "10.0.0.9/24", "gateway": "::ffff:10.0.0.1"},
			          {"address": "10.0.0.10/24", "gateway": "224.0.0.1"}, {"address": "fe80::5/64", "gateway": "fe80::1%eth0"}]}`,
			[]string{
				`.ips[1].gateway: 10.0.0.1 is IPv4, but address 2001:db8::5/64 is IPv6; write an IPv6 next hop`,
				`.ips[2].gateway: 10.0.0.6 is the pod's own address; the gateway must be another host`,
				`.ips[3].gateway: must be a string such as "192.0.2.1", not the number 1`,
				`.ips[4].gateway: "x" is not an IP address; write one such as 192.0.2.1 or 2001:db8::1`,
				`.ips[5].gateway: ::ffff:10.0.0.1 is an IPv4 address written as IPv6; write 10.0.0.1`,
				`.ips[6].gateway: 224.0.0.1 is multicast; write the address of one host`,
				`.ips[7].gateway: "fe80::1%eth0" has a zone; write fe80::1, which is always meant on this NIC`,
			},
		},
		{
			`{"interfaces": [{"name": "a"}, {"name": "b"}],
			  "ips": [{"address": "10.0.0.5/24", "interface": 0}, {"address": "10.0.0.5/32", "interface": 1}, {"address": "fe80::5/64"}, {"address": "fe80::5/64"}]}`,
			[]string{
				`.ips[1]: has the same address as prevResult.ips[0]; remove one of them`,
				`.ips[3]: has the same address as prevResult.ips[2]; remove one of them`,
			},
		},

		{`{"routes": 1}`, []string{`.routes: must be a list of routes such as [{"dst": "172.20.0.0/16", "gw": "192.0.2.1"}], not the number 1`}},
		{
			`{"routes": [null, {}, {"dst": "10.0.0.1"}, {"dst": "default"}, {"dst": "::ffff:10.0.0.0/104"}]}`,
			[]string{
				`.routes[0]: must be an object such as {"dst": "172.20.0.0/16", "gw": "192.0.2.1"}, not null`,
				`.routes[1].dst: is missing; it must be a prefix such as 192.0.2.0/24`,
				`.routes[2].dst: "10.0.0.1" has no prefix length; append that of its subnet, or write 10.0.0.1/32 for this address alone`,
				`.routes[3].dst: "default" is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64`,
				`.routes[4].dst: ::ffff:10.0.0.0/104 is an IPv4 prefix written as IPv6; write 10.0.0.0/8`,
			},
		},
		{
			`{"routes": [{"dst": "10.0.0.0/8", "gw": "fe80::1"}, {"dst": "10.0.0.0/8", "gw": "10.0.0.0/8"}, {"dst": "10.0.0.0/8", "gw": "127.0.0.1"}]}`,
			[]string{
				`.routes[1].gw: 10.0.0.0/8 is a prefix; write an address alone, such as 10.0.0.0`,
				`.routes[2].gw: 127.0.0.1 is loopback; write the address of one host`,
			},
		},
		{
			`{"routes": [{"dst": "10.0.0.0/8", "mtu": -1, "advmss": 1.5, "priority": 4294967296, "table": -1, "scope": 256}]}`,
			[]string{
				`.routes[0].mtu: must be a whole number from 0 to 4294967295 such as 1400, not the number -1`,
				`.routes[0].advmss: must be a whole number from 0 to 4294967295 such as 1360, not the number 1.5`,
				`.routes[0].priority: must be a whole number from 0 to 4294967295 such as 100, not the number 4294967296`,
				`.routes[0].table: must be a whole number from 0 to 4294967295 such as 100, not the number -1`,
				`.routes[0].scope: must be a whole number from 0 to 255 such as 253, not the number 256`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.json, func(t *testing.T) {
			var want []string
			for _, w := range tt.want {
				want = append(want, "prevResult"+w)
			}
			wantFaults(t, `{"prevResult": `+tt.json+`}`, want...)
		})
	}
}
