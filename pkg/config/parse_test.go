package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// comparable values of net/netip, whose fields cmp cannot see.
var netipValues = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func addrs(ss ...string) (as []netip.Addr) {
	for _, s := range ss {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

func gateways(ss ...string) (gs []Gateway) {
	for _, a := range addrs(ss...) {
		gs = append(gs, Gateway{Addr: a})
	}
	return gs
}

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// defaults is the Config of a configuration that says nothing.
func defaults() *Config {
	return &Config{
		RPFilter:    RPFilterLoose,
		NoGateway:   Refuse,
		MainDefault: Yield,
		Priority:    32765,
		ARP:         ARPKeep,
		Verify:      true,
		DataDir:     "/run/cni/symroute",
	}
}

func TestParse(t *testing.T) {
	with := func(set func(*Config)) *Config {
		c := defaults()
		set(c)
		return c
	}
	tests := []struct {
		name string
		json string
		want *Config
	}{
		{"nothing", `{}`, defaults()},
		{"type alone", `{"type": "symroute"}`, defaults()},
		{"white space around", " \n{\t} \n", defaults()},
		{
			"null is absent",
			`{"name": null, "cniVersion": null, "rpFilter": null, "interfaces": null, "gateways": null,
			  "noGateway": null, "sources": null, "routes": null, "viaMain": null, "mainDefault": null,
			  "table": null, "priority": null, "arp": null, "lvs": null, "checkDestinations": null,
			  "requireGateway": null, "verify": null, "dataDir": null, "prevResult": null,
			  "cni.dev/valid-attachments": null, "rp_filter": null}`,
			defaults(),
		},
		{"empty lists", `{"gateways": [], "sources": [], "routes": [], "viaMain": [], "checkDestinations": [], "interfaces": {}}`, defaults()},
		{
			"keys of others",
			`{"type": "symroute", "deviceID": "0000:03:02.0", "pciBusID": 3, "args": {"cni": {}}, "runtimeConfig": {"mac": 5},
			  "capabilities": {"ips": true}, "ipam": {"gateway": 1}, "dns": [], "cni.dev/attachments": "x", "mtu": 9000}`,
			defaults(),
		},
		{"cniVersion", `{"cniVersion": "0.3.1"}`, with(func(c *Config) { c.CNIVersion = "0.3.1" })},
		{"name", `{"name": "net-1_a.b"}`, with(func(c *Config) { c.Network = "net-1_a.b" })},
		{"rpFilter strict", `{"rpFilter": "strict"}`, with(func(c *Config) { c.RPFilter = RPFilterStrict })},
		{"rpFilter off", `{"rpFilter": "off"}`, with(func(c *Config) { c.RPFilter = RPFilterOff })},
		{"rpFilter keep", `{"rpFilter": "keep"}`, with(func(c *Config) { c.RPFilter = RPFilterKeep })},
		{"rpFilter 0", `{"rpFilter": 0}`, with(func(c *Config) { c.RPFilter = RPFilterOff })},
		{"rpFilter 1", `{"rpFilter": 1}`, with(func(c *Config) { c.RPFilter = RPFilterStrict })},
		{"rpFilter 2", `{"rpFilter": 2}`, with(func(c *Config) { c.RPFilter = RPFilterLoose })},
		{"rpFilter string 0", `{"rpFilter": "0"}`, with(func(c *Config) { c.RPFilter = RPFilterOff })},
		{"rpFilter string 1", `{"rpFilter": "1"}`, with(func(c *Config) { c.RPFilter = RPFilterStrict })},
		{"rpFilter string 2", `{"rpFilter": "2"}`, with(func(c *Config) { c.RPFilter = RPFilterLoose })},
		{
			"interfaces",
			`{"interfaces": {"tunl0": {"rpFilter": "off"}, "eth0.100": {"rpFilter": 1}, "gone": null, "abcdefghijklmno": {"rpFilter": "keep", "x": null}}}`,
			with(func(c *Config) {
				c.Interfaces = map[string]RPFilter{"tunl0": RPFilterOff, "eth0.100": RPFilterStrict, "abcdefghijklmno": RPFilterKeep}
			}),
		},
		{
			"gateways",
			`{"gateways": ["10.0.0.1", "fe80::1", {"gw": "169.254.1.1"}, {"gw": "2001:db8::1", "onlink": true}]}`,
			with(func(c *Config) {
				c.Gateways = append(gateways("10.0.0.1", "fe80::1", "169.254.1.1"), Gateway{Addr: netip.MustParseAddr("2001:db8::1"), OnLink: true})
			}),
		},
		{"noGateway", `{"noGateway": "main"}`, with(func(c *Config) { c.NoGateway = UseMain })},
		{"noGateway refuse", `{"noGateway": "refuse"}`, defaults()},
		{
			"sources",
			`{"sources": ["10.0.0.5", "10.0.0.0/24", "2001:db8::5", "2001:db8::/64", "169.254.7.7"]}`,
			with(func(c *Config) {
				c.Sources = prefixes("10.0.0.5/32", "10.0.0.0/24", "2001:db8::5/128", "2001:db8::/64", "169.254.7.7/32")
			}),
		},
		{
			"routes",
			`{"routes": [{"dst": "10.0.0.0/8"},
			             {"dst": "10.0.0.0/8", "metric": 5},
			             {"dst": "0.0.0.0/1", "gw": "10.0.0.1", "metric": 4294967295, "mtu": 68, "advmss": 1, "onlink": true},
			             {"dst": "2001:db8::/32", "gw": "fe80::1", "metric": 0, "mtu": 65520, "advmss": 65495, "onlink": false},
			             {"dst": "2001:db8::/32", "gw": null, "mtu": 1280, "metric": 1023}]}`,
			with(func(c *Config) {
				c.Routes = []Route{
					{Dst: netip.MustParsePrefix("10.0.0.0/8")},
					{Dst: netip.MustParsePrefix("10.0.0.0/8"), Metric: 5},
					{
						Dst: netip.MustParsePrefix("0.0.0.0/1"), Gateway: netip.MustParseAddr("10.0.0.1"),
						Metric: 4294967295, MTU: 68, AdvMSS: 1, OnLink: true,
					},
					{Dst: netip.MustParsePrefix("2001:db8::/32"), Gateway: netip.MustParseAddr("fe80::1"), MTU: 65520, AdvMSS: 65495},
					{Dst: netip.MustParsePrefix("2001:db8::/32"), MTU: 1280, Metric: 1023},
				}
			}),
		},
		{
			"an IPv6 next hop for IPv4 (RFC 8950)",
			`{"routes": [{"dst": "10.0.0.0/8", "gw": "fe80::1"}]}`,
			with(func(c *Config) {
				c.Routes = []Route{{Dst: netip.MustParsePrefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("fe80::1")}}
			}),
		},
		{
			"viaMain",
			`{"viaMain": ["10.96.0.0/12", "10.0.0.10", "fd00::/8", "fd01::1"]}`,
			with(func(c *Config) { c.ViaMain = prefixes("10.96.0.0/12", "10.0.0.10/32", "fd00::/8", "fd01::1/128") }),
		},
		{"empty viaMain with strict", `{"viaMain": [], "rpFilter": "strict"}`, with(func(c *Config) { c.RPFilter = RPFilterStrict })},
		{"mainDefault take", `{"mainDefault": "take"}`, with(func(c *Config) { c.MainDefault = Take })},
		{"mainDefault keep", `{"mainDefault": "keep"}`, with(func(c *Config) { c.MainDefault = KeepMain })},
		{"mainDefault yield", `{"mainDefault": "yield"}`, defaults()},
		{"table 1", `{"table": 1}`, with(func(c *Config) { c.Table = 1 })},
		{"table 252", `{"table": 252}`, with(func(c *Config) { c.Table = 252 })},
		{"table 256", `{"table": 256}`, with(func(c *Config) { c.Table = 256 })},
		{"last table", `{"table": 4294967295}`, with(func(c *Config) { c.Table = 4294967295 })},
		{"least priority", `{"priority": 4}`, with(func(c *Config) { c.Priority = 4 })},
		{"greatest priority", `{"priority": 32765}`, defaults()},
		{"arp isolate", `{"arp": "isolate"}`, with(func(c *Config) { c.ARP = ARPIsolate })},
		{"arp keep", `{"arp": "keep"}`, defaults()},
		{
			"checkDestinations",
			`{"checkDestinations": ["203.0.113.1", "2001:db8::1"]}`,
			with(func(c *Config) { c.CheckDestinations = addrs("203.0.113.1", "2001:db8::1") }),
		},
		{"requireGateway", `{"requireGateway": true}`, with(func(c *Config) { c.RequireGateway = true })},
		{"requireGateway false", `{"requireGateway": false}`, defaults()},
		{"verify", `{"verify": false}`, with(func(c *Config) { c.Verify = false })},
		{"verify true", `{"verify": true}`, defaults()},
		{"dataDir", `{"dataDir": "/var/lib/symroute"}`, with(func(c *Config) { c.DataDir = "/var/lib/symroute" })},
		{
			"valid attachments",
			`{"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "net1"}, {"containerID": "c2", "ifname": "net1", "more": 1}]}`,
			with(func(c *Config) { c.ValidAttachments = []Attachment{{"c1", "net1"}, {"c2", "net1"}} }),
		},
		{"no valid attachments", `{"cni.dev/valid-attachments": []}`, with(func(c *Config) { c.ValidAttachments = []Attachment{} })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.json))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, netipValues); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseFaults(t *testing.T) {
	const noAddress = `"x" is not an IP address; write one such as 192.0.2.1 or 2001:db8::1`
	long := strings.Repeat("x", 100)
	tests := []struct {
		json string
		want []string
	}{
		{`{"cniVersion": 1}`, []string{`cniVersion: must be a string such as "1.0.0", not the number 1`}},

		{`{"name": {}}`, []string{`name: must be a string such as "storage", not an object`}},
		{`{"name": ""}`, []string{`name: "" is not a network name; it must start with a letter or digit and hold only letters, digits, '_', '.' and '-'`}},
		{`{"name": "../etc"}`, []string{`name: "../etc" is not a network name; it must start with a letter or digit and hold only letters, digits, '_', '.' and '-'`}},
		{`{"name": "a/b"}`, []string{`name: "a/b" is not a network name; it must start with a letter or digit and hold only letters, digits, '_', '.' and '-'`}},

		{`{"rpFilter": "Strict"}`, []string{`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the string "Strict"`}},
		{`{"rpFilter": 3}`, []string{`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the number 3`}},
		{`{"rpFilter": 1.0}`, []string{`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the number 1.0`}},
		{`{"rpFilter": true}`, []string{`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not true`}},
		{`{"rpFilter": [1]}`, []string{`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not a list`}},
		{`{"rpFilter": ""}`, []string{`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the string ""`}},

		{`{"interfaces": ["tunl0"]}`, []string{`interfaces: must be an object such as {"tunl0": {"rpFilter": "off"}}, not a list`}},
		{`{"interfaces": {"tunl0": "off"}}`, []string{`interfaces.tunl0: must be an object such as {"rpFilter": "off"}, not the string "off"`}},
		{`{"interfaces": {"tunl0": {}}}`, []string{`interfaces.tunl0.rpFilter: is missing; it must be "strict", "loose", "off" or "keep"`}},
		{`{"interfaces": {"tunl0": {"rpFilter": null}}}`, []string{`interfaces.tunl0.rpFilter: is missing; it must be "strict", "loose", "off" or "keep"`}},
		{
			`{"interfaces": {"tunl0": {"rpFilter": 7, "rp_filter": 1}}}`,
			[]string{
				`interfaces.tunl0.rp_filter: is not a key here; write "rpFilter"`,
				`interfaces.tunl0.rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the number 7`,
			},
		},
		{`{"interfaces": {"eth0.100": {"rpFilter": 7}}}`, []string{`interfaces["eth0.100"].rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the number 7`}},
		{`{"interfaces": {"": {"rpFilter": 1}}}`, []string{`interfaces[""]: a device name must not be empty`}},
		{`{"interfaces": {"abcdefghijklmnop": {"rpFilter": 1}}}`, []string{`interfaces.abcdefghijklmnop: "abcdefghijklmnop" is too long for a device name; the kernel allows 15 bytes`}},
		{`{"interfaces": {".": {"rpFilter": 1}}}`, []string{`interfaces["."]: "." is not a device name; the kernel reserves it`}},
		{`{"interfaces": {"..": {"rpFilter": 1}}}`, []string{`interfaces[".."]: ".." is not a device name; the kernel reserves it`}},
		{`{"interfaces": {"all": {"rpFilter": 1}}}`, []string{`interfaces.all: "all" is the kernel's key for all devices at once; name each device`}},
		{`{"interfaces": {"default": {"rpFilter": 1}}}`, []string{`interfaces.default: "default" is the kernel's key for devices to come; name each device`}},
		{`{"interfaces": {"a/b": {"rpFilter": 1}}}`, []string{`interfaces["a/b"]: "a/b" is not a device name; the kernel allows no '/' and no ':' in it`}},
		{`{"interfaces": {"eth0:1": {"rpFilter": 1}}}`, []string{`interfaces["eth0:1"]: "eth0:1" is not a device name; the kernel allows no '/' and no ':' in it`}},
		{`{"interfaces": {"a b": {"rpFilter": 1}}}`, []string{`interfaces["a b"]: "a b" is not a device name; white space and control characters have no place in it`}},
		{`{"interfaces": {"a\nb": {"rpFilter": 1}}}`, []string{`interfaces["a\nb"]: "a\nb" is not a device name; white space and control characters have no place in it`}},

		{`{"gateways": "10.0.0.1"}`, []string{`gateways: must be a list of addresses such as ["10.0.0.1"], not the string "10.0.0.1"`}},
		{`{"gateways": {}}`, []string{`gateways: must be a list of addresses such as ["192.0.2.1"], not an object`}},
		{
			`{"gateways": ["x", 1, null, "10.0.0.1"]}`,
			[]string{
				`gateways[0]: ` + noAddress,
				`gateways[1]: must be an address such as "192.0.2.1", or an object such as {"gw": "192.0.2.1", "onlink": true}, not the number 1`,
				`gateways[2]: must be an address such as "192.0.2.1", or an object such as {"gw": "192.0.2.1", "onlink": true}, not null`,
			},
		},
		{`{"gateways": [""]}`, []string{`gateways[0]: "" is not an IP address; write one such as 192.0.2.1 or 2001:db8::1`}},
		{`{"gateways": ["010.0.0.1"]}`, []string{`gateways[0]: "010.0.0.1" is not an IP address; write one such as 192.0.2.1 or 2001:db8::1`}},
		{`{"gateways": ["10.0.0.1/24"]}`, []string{`gateways[0]: 10.0.0.1/24 is a prefix; write an address alone, such as 10.0.0.1`}},
		{`{"gateways": ["fe80::1%eth0"]}`, []string{`gateways[0]: "fe80::1%eth0" has a zone; write fe80::1, which is always meant on this NIC`}},
		{
			`{"gateways": ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "127.0.0.1", "::1", "255.255.255.255", "::ffff:10.0.0.1"]}`,
			[]string{
				`gateways[0]: 0.0.0.0 is unspecified; write the address of one host`,
				`gateways[1]: :: is unspecified; write the address of one host`,
				`gateways[2]: 224.0.0.1 is multicast; write the address of one host`,
				`gateways[3]: ff02::1 is multicast; write the address of one host`,
				`gateways[4]: 127.0.0.1 is loopback; write the address of one host`,
				`gateways[5]: ::1 is loopback; write the address of one host`,
				`gateways[6]: 255.255.255.255 is broadcast; write the address of one host`,
				`gateways[7]: ::ffff:10.0.0.1 is an IPv4 address written as IPv6; write 10.0.0.1`,
			},
		},
		{`{"gateways": [{"gw": "10.0.0.1", "onLink": true}, {"gateway": "10.0.0.2"}, {"gw": "x", "onlink": "yes"}, {"gw": "10.0.0.3", "mtu": 1400}, [], {"gw": "10.0.0.1"}]}`, []string{
			`gateways[0].onLink: is not a key here; write "onlink"`,
			`gateways[1].gateway: is not a key here; write "gw"`,
			`gateways[1].gw: is missing; it must be an address such as 192.0.2.1`,
			`gateways[2].gw: ` + noAddress,
			`gateways[2].onlink: must be true or false, without quotes, not the string "yes"`,
			`gateways[3].mtu: is not a key here; write one of gw, onlink`,
			`gateways[4]: must be an address such as "192.0.2.1", or an object such as {"gw": "192.0.2.1", "onlink": true}, not a list`,
			`gateways[5]: is the same as gateways[0]; remove one of them`,
		}},
		{`{"gateways": ["2001:db8::1", "10.0.0.1", "2001:0db8:0::1"]}`, []string{`gateways[2]: is the same as gateways[0]; remove one of them`}},

		{`{"noGateway": "drop"}`, []string{`noGateway: must be "refuse" or "main", not the string "drop"`}},
		{`{"noGateway": ""}`, []string{`noGateway: must be "refuse" or "main", not the string ""`}},
		{`{"noGateway": 0}`, []string{`noGateway: must be "refuse" or "main", not the number 0`}},

		{`{"sources": "10.0.0.0/24"}`, []string{`sources: must be a list of addresses and prefixes such as ["10.0.0.0/24"], not the string "10.0.0.0/24"`}},
		{`{"sources": ["10.0.0.5/24"]}`, []string{`sources[0]: 10.0.0.5/24 has host bits; write 10.0.0.0/24 for the prefix or 10.0.0.5 for the address`}},
		{`{"sources": ["2001:db8::5/64"]}`, []string{`sources[0]: 2001:db8::5/64 has host bits; write 2001:db8::/64 for the prefix or 2001:db8::5 for the address`}},
		{`{"sources": ["0.0.0.0/0"]}`, []string{`sources[0]: 0.0.0.0/0 would claim every address there is; write those of this NIC`}},
		{`{"sources": ["::/0"]}`, []string{`sources[0]: ::/0 would claim every address there is; write those of this NIC`}},
		{`{"sources": ["10.0.0.5/33"]}`, []string{`sources[0]: "10.0.0.5/33" is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64`}},
		{`{"sources": ["10.0.0.0/255.255.255.0"]}`, []string{`sources[0]: "10.0.0.0/255.255.255.0" is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64`}},
		{`{"sources": ["x"]}`, []string{`sources[0]: ` + noAddress}},
		{`{"sources": [5]}`, []string{`sources[0]: must be a string such as "192.0.2.0/24", not the number 5`}},
		{`{"sources": ["fe80::5%eth0", "fe80::%eth0/64"]}`, []string{
			`sources[0]: "fe80::5%eth0" has a zone; write fe80::5, which is always meant on this NIC`,
			`sources[1]: "fe80::%eth0/64" has a zone; remove it`,
		}},
		{
			`{"sources": ["224.0.0.5", "ff02::/16", "127.0.0.0/8", "::1", "0.0.0.0", "::", "255.255.255.255"]}`,
			[]string{
				`sources[0]: 224.0.0.5 is multicast; write the address of one host`,
				`sources[1]: ff02::/16 holds multicast addresses (ff00::/8); write a prefix without them`,
				`sources[2]: 127.0.0.0/8 holds loopback addresses (127.0.0.0/8); write a prefix without them`,
				`sources[3]: ::1 is loopback; write the address of one host`,
				`sources[4]: 0.0.0.0 is unspecified; write the address of one host`,
				`sources[5]: :: is unspecified; write the address of one host`,
				`sources[6]: 255.255.255.255 is broadcast; write the address of one host`,
			},
		},
		{
			`{"sources": ["128.0.0.0/1", "::/64", "0.0.0.0/8", "::fffe:0:0/95"]}`,
			[]string{
				`sources[0]: 128.0.0.0/1 holds multicast addresses (224.0.0.0/4); write a prefix without them`,
				`sources[1]: ::/64 holds unspecified addresses (::/128); write a prefix without them`,
				`sources[2]: 0.0.0.0/8 holds unspecified addresses (0.0.0.0/32); write a prefix without them`,
				`sources[3]: ::fffe:0:0/95 holds IPv4-mapped addresses (::ffff:0.0.0.0/96); write a prefix without them`,
			},
		},
		{
			`{"sources": ["fe80::5", "fe80::/64", "fe00::/8"]}`,
			[]string{
				`sources[0]: fe80::5/128 is link-local and needs no rule; remove it`,
				`sources[1]: fe80::/64 is link-local and needs no rule; remove it`,
				`sources[2]: fe00::/8 holds link-local addresses (fe80::/10); write a prefix without them`,
			},
		},
		{
			`{"sources": ["::ffff:10.0.0.5", "::ffff:10.0.0.0/120", "::ffff:10.0.0.0/80"]}`,
			[]string{
				`sources[0]: ::ffff:10.0.0.5 is an IPv4 address written as IPv6; write 10.0.0.5`,
				`sources[1]: ::ffff:10.0.0.0/120 is an IPv4 prefix written as IPv6; write 10.0.0.0/24`,
				`sources[2]: ::ffff:10.0.0.0/80 mixes IPv4 and IPv6; write a prefix of one family`,
			},
		},
		{`{"sources": ["10.0.0.5", "10.0.0.5/32"]}`, []string{`sources[1]: is the same as sources[0]; remove one of them`}},

		{`{"routes": {"dst": "10.0.0.0/8"}}`, []string{`routes: must be a list of routes such as [{"dst": "172.20.0.0/16", "gw": "192.0.2.1"}], not an object`}},
		{`{"routes": ["10.0.0.0/8", null]}`, []string{
			`routes[0]: must be an object such as {"dst": "172.20.0.0/16", "gw": "192.0.2.1"}, not the string "10.0.0.0/8"`,
			`routes[1]: must be an object such as {"dst": "172.20.0.0/16", "gw": "192.0.2.1"}, not null`,
		}},
		{`{"routes": [{}]}`, []string{`routes[0].dst: is missing; it must be a prefix such as 192.0.2.0/24`}},
		{`{"routes": [{"dst": null}]}`, []string{`routes[0].dst: is missing; it must be a prefix such as 192.0.2.0/24`}},
		{`{"routes": [{"dst": "10.0.0.1"}]}`, []string{`routes[0].dst: "10.0.0.1" has no prefix length; append that of its subnet, or write 10.0.0.1/32 for this address alone`}},
		{`{"routes": [{"dst": "default"}]}`, []string{`routes[0].dst: "default" is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64`}},
		{`{"routes": [{"dst": "10.0.0.5/8"}]}`, []string{`routes[0].dst: 10.0.0.5/8 has host bits; write 10.0.0.0/8`}},
		{`{"routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]}`, []string{`routes[0].dst: 0.0.0.0/0 is the default route; write its next hop into gateways instead`}},
		{`{"routes": [{"dst": "::/0"}]}`, []string{`routes[0].dst: ::/0 is the default route; write its next hop into gateways instead`}},
		{`{"routes": [{"dst": "::ffff:10.0.0.0/104"}]}`, []string{`routes[0].dst: ::ffff:10.0.0.0/104 is an IPv4 prefix written as IPv6; write 10.0.0.0/8`}},
		{`{"routes": [{"dst": 10}]}`, []string{`routes[0].dst: must be a string such as "192.0.2.0/24", not the number 10`}},
		{
			`{"routes": [{"dst": "10.0.0.0/8", "gateway": "10.0.0.1", "DST": 1}]}`,
			[]string{
				`routes[0].DST: is not a key here; write "dst"`,
				`routes[0].gateway: is not a key here; write "gw"`,
			},
		},
		{`{"routes": [{"dst": "2001:db8::/32", "gw": "10.0.0.1"}]}`, []string{`routes[0].gw: 10.0.0.1 is IPv4, but dst 2001:db8::/32 is IPv6; write an IPv6 next hop`}},
		{
			`{"routes": [{"dst": "10.0.0.0/8", "gw": "x"}, {"dst": "10.0.0.0/9", "gw": "0.0.0.0"}, {"dst": "10.0.0.0/10", "gw": "224.0.0.1"}]}`,
			[]string{
				`routes[0].gw: ` + noAddress,
				`routes[1].gw: 0.0.0.0 is unspecified; write the address of one host`,
				`routes[2].gw: 224.0.0.1 is multicast; write the address of one host`,
			},
		},
		{
			`{"routes": [{"dst": "10.0.0.0/8", "metric": -1, "mtu": 67, "advmss": 0, "onlink": "true"},
			             {"dst": "10.0.0.0/9", "metric": 4294967296, "mtu": 65521, "advmss": 65496, "onlink": 1},
			             {"dst": "10.0.0.0/10", "metric": 1.5, "mtu": 1e3, "advmss": "1400"},
			             {"dst": "2001:db8::/32", "mtu": 1279}]}`,
			[]string{
				`routes[0].metric: must be a whole number from 0 to 4294967295 such as 100, not the number -1`,
				`routes[0].mtu: must be a whole number from 68 to 65520 such as 1400, not the number 67`,
				`routes[0].advmss: must be a whole number from 1 to 65495 such as 1360, not the number 0`,
				`routes[0].onlink: must be true or false, without quotes, not the string "true"`,
				`routes[1].metric: must be a whole number from 0 to 4294967295 such as 100, not the number 4294967296`,
				`routes[1].mtu: must be a whole number from 68 to 65520 such as 1400, not the number 65521`,
				`routes[1].advmss: must be a whole number from 1 to 65495 such as 1360, not the number 65496`,
				`routes[1].onlink: must be true or false, without quotes, not the number 1`,
				`routes[2].metric: must be a whole number from 0 to 4294967295 such as 100, not the number 1.5`,
				`routes[2].mtu: must be a whole number from 68 to 65520 such as 1400, not the number 1e3`,
				`routes[2].advmss: must be a whole number from 1 to 65495 such as 1360, without quotes, not the string "1400"`,
				`routes[3].mtu: must be a whole number from 1280 to 65520 such as 1400, not the number 1279`,
			},
		},
		{`{"routes": [{"dst": "10.0.0.0/8", "onlink": true}]}`, []string{`routes[0].onlink: says that gw is on the link, but there is no gw; add it or remove onlink`}},
		{
			`{"routes": [{"dst": "10.0.0.0/8", "gw": "10.0.0.1"}, {"dst": "10.0.0.0/8", "gw": "10.0.0.2", "metric": 0},
			             {"dst": "2001:db8::/32"}, {"dst": "2001:db8::/32", "metric": 1024}]}`,
			[]string{
				`routes[1]: has the same dst and metric as routes[0]; remove one of them`,
				`routes[3]: has the same dst and metric as routes[2]; remove one of them`,
			},
		},

		{`{"viaMain": "10.96.0.0/12"}`, []string{`viaMain: must be a list of prefixes such as ["10.96.0.0/12"], not the string "10.96.0.0/12"`}},
		{`{"viaMain": ["0.0.0.0/0"]}`, []string{`viaMain[0]: 0.0.0.0/0 would send everything through the main table; write "noGateway": "main" where main shall decide what the NIC's own table cannot`}},
		{`{"viaMain": ["10.96.0.1/12"]}`, []string{`viaMain[0]: 10.96.0.1/12 has host bits; write 10.96.0.0/12 for the prefix or 10.96.0.1 for the address`}},
		{`{"viaMain": ["::ffff:10.0.0.1"]}`, []string{`viaMain[0]: ::ffff:10.0.0.1 is an IPv4 address written as IPv6; write 10.0.0.1`}},
		{`{"viaMain": ["x", false]}`, []string{`viaMain[0]: ` + noAddress, `viaMain[1]: must be a string such as "192.0.2.0/24", not false`}},
		{`{"viaMain": ["10.0.0.0/8", "10.0.0.0/8"]}`, []string{`viaMain[1]: is the same as viaMain[0]; remove one of them`}},
		{
			`{"viaMain": ["10.96.0.0/12"], "rpFilter": 1}`,
			[]string{`viaMain: cannot stand together with "rpFilter": "strict", because it makes paths asymmetric on purpose; write "rpFilter": "loose" or remove viaMain`},
		},

		{
			`{"noGateway": "main", "rpFilter": "strict"}`,
			[]string{`noGateway: "main" cannot stand together with "rpFilter": "strict", because what leaves by another NIC gets no answer there; write "rpFilter": "loose" or remove noGateway`},
		},

		{`{"mainDefault": "own"}`, []string{`mainDefault: must be "yield", "take" or "keep", not the string "own"`}},
		{`{"mainDefault": true}`, []string{`mainDefault: must be "yield", "take" or "keep", not true`}},

		{`{"table": 0}`, []string{`table: 0 is not a table; remove the key to have one chosen, or write a number from 1`}},
		{`{"table": 253}`, []string{`table: 253 is the kernel's own table "default"; write another number, or remove the key to have one chosen`}},
		{`{"table": 254}`, []string{`table: 254 is the kernel's own table "main"; write another number, or remove the key to have one chosen`}},
		{`{"table": 255}`, []string{`table: 255 is the kernel's own table "local"; write another number, or remove the key to have one chosen`}},
		{`{"table": -5}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, not the number -5`}},
		{`{"table": -0}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, not the number -0`}},
		{`{"table": 4294967296}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, not the number 4294967296`}},
		{`{"table": 100.0}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, not the number 100.0`}},
		{`{"table": "100"}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, without quotes, not the string "100"`}},
		{`{"table": "main"}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, without quotes, not the string "main"`}},
		{`{"table": [1]}`, []string{`table: must be a whole number from 1 to 4294967295 such as 7300, not a list`}},

		{`{"priority": 3}`, []string{`priority: must be a whole number from 4 to 32765 such as 32000, not the number 3`}},
		{`{"priority": 32766}`, []string{`priority: must be a whole number from 4 to 32765 such as 32000, not the number 32766`}},
		{`{"priority": "100"}`, []string{`priority: must be a whole number from 4 to 32765 such as 32000, without quotes, not the string "100"`}},

		{`{"arp": "off"}`, []string{`arp: must be "keep" or "isolate", not the string "off"`}},
		{`{"arp": {}}`, []string{`arp: must be "keep" or "isolate", not an object`}},

		{`{"lvs": "dr"}`, []string{`lvs: must be an object such as {"mode": "dr", "vips": ["192.0.2.10"]}, not the string "dr"`}},
		{`{"lvs": {}}`, []string{
			`lvs.mode: is missing; it must be "dr" or "tunnel"`,
			`lvs.vips: names no address; write those of the virtual services, such as ["192.0.2.10"]`,
		}},
		{`{"lvs": {"mode": "nat", "vips": [ ]}}`, []string{
			`lvs.mode: must be "dr" or "tunnel", not the string "nat"`,
			`lvs.vips: names no address; write those of the virtual services, such as ["192.0.2.10"]`,
		}},
		{`{"lvs": {"mode": "dr", "vips": "192.0.2.10", "vip": 1}}`, []string{
			`lvs.vip: is not a key here; write "vips"`,
			`lvs.vips: must be a list of addresses such as ["192.0.2.10"], not the string "192.0.2.10"`,
		}},
		{`{"lvs": {"mode": "tunnel", "vips": ["192.0.2.10/32", "fe80::1", "192.0.2.10", "192.0.2.10", "224.0.0.1"]}}`, []string{
			`lvs.vips[0]: 192.0.2.10/32 is a prefix; write an address alone, such as 192.0.2.10`,
			`lvs.vips[1]: fe80::1 is link-local; a director's clients cannot reach it`,
			`lvs.vips[3]: is the same as lvs.vips[2]; remove one of them`,
			`lvs.vips[4]: 224.0.0.1 is multicast; write the address of one host`,
		}},
		{`{"lvs": {"mode": "dr", "vips": ["192.0.2.10"], "device": "tunl0", "replyBy": "lo"}}`, []string{
			`lvs.device: is for "mode": "tunnel"; with "dr" the VIPs are on lo; remove it`,
			`lvs.replyBy: "lo" leads nowhere; write the NIC that replies leave by`,
		}},
		{`{"lvs": {"mode": "tunnel", "vips": ["192.0.2.10"], "device": "lo", "replyBy": "a/b"}}`, []string{
			`lvs.replyBy: "a/b" is not a device name; the kernel allows no '/' and no ':' in it`,
			`lvs.device: "lo" is no tunnel; write the name of one, or remove the key`,
		}},

		{`{"checkDestinations": "10.0.0.1"}`, []string{`checkDestinations: must be a list of addresses such as ["10.0.0.1"], not the string "10.0.0.1"`}},
		{`{"checkDestinations": ["10.0.0.0/8"]}`, []string{`checkDestinations[0]: 10.0.0.0/8 is a prefix; write an address alone, such as 10.0.0.0`}},
		{`{"checkDestinations": ["224.0.0.1"]}`, []string{`checkDestinations[0]: 224.0.0.1 is multicast; write the address of one host`}},
		{`{"checkDestinations": ["10.0.0.1", "10.96.0.1"], "viaMain": ["10.0.0.0/16", "10.96.0.0/12"]}`, []string{
			`checkDestinations[0]: 10.0.0.1 is never asked about, for it is in viaMain (10.0.0.0/16); remove it here or there`,
			`checkDestinations[1]: 10.96.0.1 is never asked about, for it is in viaMain (10.96.0.0/12); remove it here or there`,
		}},
		{`{"checkDestinations": ["10.0.0.1", "10.0.0.1"]}`, []string{`checkDestinations[1]: is the same as checkDestinations[0]; remove one of them`}},

		{`{"requireGateway": "true"}`, []string{`requireGateway: must be true or false, without quotes, not the string "true"`}},
		{`{"verify": "no"}`, []string{`verify: must be true or false, without quotes, not the string "no"`}},
		{`{"verify": 0}`, []string{`verify: must be true or false, without quotes, not the number 0`}},

		{`{"dataDir": 5}`, []string{`dataDir: must be a string such as "/run/cni/symroute", not the number 5`}},
		{`{"dataDir": ""}`, []string{`dataDir: "" is not an absolute path; write one such as /run/cni/symroute`}},
		{`{"dataDir": "run/x"}`, []string{`dataDir: "run/x" is not an absolute path; write one such as /run/cni/symroute`}},
		{`{"dataDir": "/"}`, []string{`dataDir: "/" is the root directory; write a directory such as /run/cni/symroute`}},
		{`{"dataDir": "/run/.."}`, []string{`dataDir: "/run/.." is the root directory; write a directory such as /run/cni/symroute`}},
		{`{"dataDir": "/run//x/"}`, []string{`dataDir: "/run//x/" is not in its shortest form; write "/run/x"`}},
		{`{"dataDir": "/run/\u0000"}`, []string{`dataDir: "/run/\x00" holds control characters; write a plain path such as /run/cni/symroute`}},

		{`{"cni.dev/valid-attachments": {}}`, []string{`cni.dev/valid-attachments: must be a list of attachments such as [{"containerID": "1f9a", "ifname": "net1"}], not an object`}},
		{
			`{"cni.dev/valid-attachments": [{"containerID": "c"}, {"ifname": "", "containerID": 5}, 7]}`,
			[]string{
				`cni.dev/valid-attachments[0].ifname: is missing; it must be the name of an interface`,
				`cni.dev/valid-attachments[1].containerID: must be a string such as "1f9a", not the number 5`,
				`cni.dev/valid-attachments[1].ifname: is empty; it must name something`,
				`cni.dev/valid-attachments[2]: must be an object such as {"containerID": "1f9a", "ifname": "net1"}, not the number 7`,
			},
		},

		{`{"dataDir": "` + long + `"}`, []string{`dataDir: "` + long[:64] + `..." is not an absolute path; write one such as /run/cni/symroute`}},
		{
			`{"gateway": "10.0.0.1", "rpFilter": "lose", "table": 0, "verify": "yes", "prevResult": {"ips": [{"address": "10.0.0.5"}]}}`,
			[]string{
				`gateway: is not a key of symroute; write "gateways"`,
				`rpFilter: must be "strict" (or 1), "loose" (or 2), "off" (or 0) or "keep", not the string "lose"`,
				`table: 0 is not a table; remove the key to have one chosen, or write a number from 1`,
				`verify: must be true or false, without quotes, not the string "yes"`,
				`prevResult.ips[0].address: "10.0.0.5" has no prefix length; append that of its subnet, or write 10.0.0.5/32 for this address alone`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.json, func(t *testing.T) {
			wantFaults(t, tt.json, tt.want...)
		})
	}
}

// wantFaults fails the test unless exactly these faults are found.
func wantFaults(t *testing.T, config string, want ...string) {
	t.Helper()
	c, err := Parse([]byte(config))
	if c == nil {
		t.Errorf("Parse returned nothing that it could read")
	}
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("Parse returned %v (%T), want Faults", err, err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, f.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFaults(t *testing.T) {
	_, err := Parse([]byte(`{"table": 0, "lvs": 1}`))
	err = fmt.Errorf("wrapped: %w", err)
	const want = "wrapped: table: 0 is not a table; remove the key to have one chosen, or write a number from 1; " +
		"lvs: must be an object such as {\"mode\": \"dr\", \"vips\": [\"192.0.2.10\"]}, not the number 1"
	if got := err.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 2 {
		t.Errorf("errors.As found %v, want two faults", faults)
	}
	first, ok := errors.AsType[Fault](err)
	if !ok || first.Path != "table" || first.Error() != first.String() {
		t.Errorf("errors.AsType found %v, want the fault of table", first)
	}
}

func TestLongValuesAreClipped(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{strings.Repeat("x", 64), strings.Repeat("x", 64)},
		{strings.Repeat("x", 65), strings.Repeat("x", 64) + "..."},
		{"x" + strings.Repeat("ä", 40), "x" + strings.Repeat("ä", 31) + "..."},
	} {
		if got := clip(tt.value); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestParseUndecodable(t *testing.T) {
	tests := []struct{ json, want string }{
		{"", "configuration is not a JSON object: standard input is empty"},
		{" \n", "configuration is not a JSON object: standard input is empty"},
		{"null", "configuration is not a JSON object: it is null"},
		{"[]", "configuration is not a JSON object: it is a list"},
		{"5", "configuration is not a JSON object: it is the number 5"},
		{`"a"`, `configuration is not a JSON object: it is the string "a"`},
		{"true", "configuration is not a JSON object: it is true"},
		{`{`, "configuration is not a JSON object: line 1, column 2: unexpected end of JSON input: it ends early; a closing brace, bracket or quote is missing"},
		{"{\n \"table\": 7,\n \"name\": \"x", "configuration is not a JSON object: line 3, column 12: unexpected end of JSON input: it ends early; a closing brace, bracket or quote is missing"},
		{`{} {}`, "configuration is not a JSON object: line 1, column 4: invalid character '{' after top-level value: there is more behind the end of the object; is a closing brace too many?"},
		{`{"table": 07}`, "configuration is not a JSON object: line 1, column 12: invalid character '7' after object key:value pair: a number does not begin with 0"},
		{`{'table': 7}`, `configuration is not a JSON object: line 1, column 2: invalid character '\'' looking for beginning of object key string: strings stand in double quotes; write "`},
		{"{\n\t\"table\": 07\n}", "configuration is not a JSON object: line 2, column 12: invalid character '7' after object key:value pair: a number does not begin with 0"},
		{"{\n  // which\n  \"table\": 7\n}", "configuration is not a JSON object: line 2, column 3: invalid character '/' looking for beginning of object key string: JSON has no comments; remove it"},
		{"{\"table\": 7 /* which */}", "configuration is not a JSON object: line 1, column 13: invalid character '/' after object key:value pair: JSON has no comments; remove it"},
		{"{\"table\": 7, # which\n}", "configuration is not a JSON object: line 1, column 14: invalid character '#' looking for beginning of object key string: JSON has no comments; remove it"},
		{"{\n  \"gateways\": [\"10.0.0.1\",\n  ]\n}", "configuration is not a JSON object: line 3, column 3: invalid character ']' looking for beginning of value: a comma stands before it; remove that comma"},
		{"{\"äöü\": \"ä\", }", "configuration is not a JSON object: line 1, column 14: invalid character '}' looking for beginning of object key string: a comma stands before it; remove that comma"},
		{"type: symroute\nrpFilter: strict\n", "configuration is not a JSON object: line 1, column 2: invalid character 'y' in literal true (expecting 'r'): it looks like YAML; write JSON"},
		{"---\ntype: symroute\n", "configuration is not a JSON object: line 1, column 2: invalid character '-' in numeric literal: it looks like YAML; write JSON"},
		{"rpFilter: strict\n", "configuration is not a JSON object: line 1, column 1: invalid character 'r' looking for beginning of value: it looks like YAML; write JSON"},
		{"{“table”: 7}", `configuration is not a JSON object: line 1, column 2: invalid character '“' looking for beginning of object key string: that is a typographic quote; write "`},
		{"{\"arp\": ‘keep’}", `configuration is not a JSON object: line 1, column 9: invalid character '‘' looking for beginning of value: that is a typographic quote; write "`},
		{"\ufeff{}", "configuration is not a JSON object: line 1, column 1: invalid character '\ufeff' looking for beginning of value: it begins with a byte order mark; save it as UTF-8 without one"},
		{"\xff\xfe{\x00}\x00", "configuration is not a JSON object: line 1, column 1: invalid character 'ÿ' looking for beginning of value: it begins with a byte order mark; save it as UTF-8 without one"},
		{"{\u00a0\"table\": 7}", "configuration is not a JSON object: line 1, column 2: invalid character '\u00a0' looking for beginning of object key string: that is a space of another kind, as web pages have them; write a plain one"},
		{"{table: 7}", "configuration is not a JSON object: line 1, column 2: invalid character 't' looking for beginning of object key string: keys stand in double quotes"},
		{"{\"table\" = 7}", `configuration is not a JSON object: line 1, column 10: invalid character '=' after object key: a colon stands between key and value; write ":"`},
		{"{\"verify\": False}", "configuration is not a JSON object: line 1, column 12: invalid character 'F' looking for beginning of value: write true, false or null, in small letters"},
		{"{\"arp\": \"keep\"\n \"table\": 7}", "configuration is not a JSON object: line 2, column 2: invalid character '\"' after object key:value pair: a comma, or what closes the object or list, is missing before it"},
		{"{\"sources\": [\"10.0.0.1\" \"10.0.0.2\"]}", "configuration is not a JSON object: line 1, column 25: invalid character '\"' after array element: a comma, or what closes the object or list, is missing before it"},
		{"{\"arp\": \"keep\n\"}", "configuration is not a JSON object: line 1, column 14: invalid character '\\n' in string literal: a string ends on its own line; close it, or write \\n for a line break"},
		{"{\"table\": @}", "configuration is not a JSON object: line 1, column 11: invalid character '@' looking for beginning of value"},
	}
	for _, tt := range tests {
		t.Run(tt.json, func(t *testing.T) {
			_, err := Parse([]byte(tt.json))
			decode, ok := errors.AsType[*DecodeError](err)
			if !ok {
				t.Fatalf("Parse returned %v (%T), want a DecodeError", err, err)
			}
			if got := decode.Error(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if decode.Unwrap() == nil {
				t.Error("the cause is lost")
			}
			if _, err := ParseTeardown([]byte(tt.json)); !errors.As(err, &decode) {
				t.Errorf("ParseTeardown returned %v, want a DecodeError", err)
			}
		})
	}
}

func TestNearMisses(t *testing.T) {
	misses := map[string][]string{
		`"rpFilter"`: {
			"rp_filter", "rpfilter", "rp-filter", "RPFilter", "RP_FILTER", "rpFilters", "rpFilterMode", "reversePathFilter",
			"rpFliter", "rpFiler", "rp_flter", "rpfiltr", "prFilter",
		},
		`"interfaces"`: {"interface", "Interfaces", "ifaces", "devices"},
		`"rpFilter", and chain the tuning plugin for other settings`: {"sysctl", "sysctls"},
		`"gateways"`: {"gatways", "gatewyas", "geteways", "gateway", "gw", "gws", "Gateways", "default_gateway", "defaultGateways", "nextHop", "nexthops"},
		`"mainDefault" for who owns the default route in main, or "gateways" for its next hop`: {
			"default-route", "defaultRoute", "default_routes",
		},
		`"noGateway"`: {"noGatway", "no_gateway", "nogateway", "no-gateway", "noGw", "noGateways"},
		`"sources"`: {
			"sorces", "soucres", "sourcess", "source", "Sources", "address", "addresses", "sourceAddresses", "source_address",
		},
		`"sources", or for an LVS real server "lvs": {"vips": ...}`: {"vip", "vips", "VIPs", "virtualIP", "virtualIPs"},
		`"routes"`:  {"rotues", "rout_es", "addroutes", "route", "Routes", "staticRoutes", "extraRoutes"},
		`"viaMain"`: {"via_main", "viamain", "via-main", "ViaMain", "viaMian", "viMain", "viaMaim", "via_mains"},
		`"mainDefault"`: {
			"main_default", "maindefault", "main-default", "mainDefualt", "mainDefaults", "manDefault",
		},
		`"table"`:             {"tables", "Table", "tableId", "tableID", "table_id", "tableNumber", "routeTable", "routingTable", "routing_table"},
		`"priority"`:          {"rulePriority", "rule_priority", "prio", "Priority", "pirority", "rulePrio", "rulesPriority"},
		`"arp"`:               {"ARP", "Arp", "arps", "apr"},
		`"arp": "isolate"`:    {"arpIsolate", "arp_isolate", "isolateArp", "arp_ignore", "arp_announce", "arpFilter"},
		`"lvs"`:               {"LVS", "ipvs", "realServer", "replyBy"},
		`"checkDestinations"`: {"checkDestinatons", "checkdestinations", "check_destinations", "checkDestination", "destinations"},
		`"requireGateway"`:    {"requireGatway", "require_gateway", "requiregateway", "requireGateways"},
		`"verify"`:            {"Verify", "VERIFY"},
		`"dataDir"`:           {"dataDri", "dataDirectory", "datadir", "data_dir", "data-dir", "data_directory", "stateDir"},
	}
	for remedy, keys := range misses {
		for _, key := range keys {
			t.Run(key, func(t *testing.T) {
				wantFaults(t, fmt.Sprintf(`{%q: "x"}`, key), key+": is not a key of symroute; write "+remedy)
			})
		}
	}
}

// TestNoNearMiss names keys that others write: they must never be near misses.
func TestNoNearMiss(t *testing.T) {
	for _, key := range []string{
		// CNI SPEC 0.3.0 to 1.1.0.
		"cniVersion", "cniVersions", "name", "type", "args", "ipMasq", "ipam", "dns", "capabilities",
		"runtimeConfig", "prevResult", "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "plugins",
		"cni.dev/valid-attachments", "cni.dev/attachments", "cni.dev/x",
		// Conventions and runtimes.
		"ips", "mac", "portMappings", "ipRanges", "bandwidth", "aliases", "infinibandGUID",
		"deviceID", "pciBusID", "CNIDeviceInfoFile", "resourceName", "cni-args",
		"logFile", "logLevel", "logToStderr", "logOptions", "kubeconfig", "delegates",
		"confDir", "cniDir", "binDir", "clusterNetwork", "defaultNetworks", "systemNamespaces", "multusNamespace", "readinessindicatorfile",
		"namespaceIsolation", "globalNamespaces", "retryDeleteOnError", "daemonSocketDir", "socketDir", "chrootDir",
		"io.kubernetes.cri.pod-annotations", "cgroupPath", "podAnnotations", "description", "_comment", "",
		// Those of other plugins, which conflists are written by copying from.
		"mtu", "mode", "master", "bridge", "isGateway", "isDefaultGateway", "forceAddress", "hairpinMode", "promiscMode", "vlan", "vlanTrunk",
		"device", "hwaddr", "kernelpath", "linkInContainer", "ipMasqBackend", "promisc", "allmulti", "trust", "spoofchk", "link_state",
		"min_tx_rate", "max_tx_rate", "vrfname", "backend", "snat", "conditionsV4", "markMasqBit", "ingressRate",
	} {
		if remedy := nearMiss(key); remedy != "" {
			t.Errorf("%q is taken for %s", key, remedy)
		}
	}
	for _, key := range ownKeys() {
		if remedy := nearMiss(key); remedy != "" {
			t.Errorf("%q, which is ours, is taken for %s", key, remedy)
		}
	}
}

// TestReference holds the documented reference configuration to its meaning,
// and to naming every key.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../../docs/reference.conflist")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		CNIVersion string
		Name       string
		Plugins    []map[string]any
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	ours := list.Plugins[len(list.Plugins)-1]
	if ours["type"] != "symroute" {
		t.Fatalf("the last plugin is %v", ours["type"])
	}
	for _, key := range ownKeys() {
		if _, ok := ours[key]; !ok {
			t.Errorf("the reference has no %s", key)
		}
	}
	// A runtime adds these to every plugin of the list (CNI SPEC, section 3).
	ours["cniVersion"], ours["name"] = list.CNIVersion, list.Name
	stdin, err := json.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(stdin)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		CNIVersion: "1.1.0",
		Network:    "storage",
		RPFilter:   RPFilterLoose,
		Interfaces: map[string]RPFilter{"tunl0": RPFilterOff},
		Gateways: []Gateway{
			{Addr: netip.MustParseAddr("10.20.30.254")}, {Addr: netip.MustParseAddr("fe80::1")},
			{Addr: netip.MustParseAddr("198.51.100.1"), OnLink: true},
		},
		NoGateway: Refuse,
		Sources:   prefixes("10.20.73.29/32", "2001:db8:20:30::/64"),
		Routes: []Route{
			{
				Dst: netip.MustParsePrefix("172.20.0.0/16"), Gateway: netip.MustParseAddr("10.20.30.253"),
				Metric: 50, MTU: 1400, AdvMSS: 1360,
			},
			{Dst: netip.MustParsePrefix("192.0.2.0/24"), Gateway: netip.MustParseAddr("198.51.100.1"), OnLink: true},
			{Dst: netip.MustParsePrefix("2001:db8:40::/48")},
		},
		ViaMain:           prefixes("10.96.0.0/12", "10.244.0.0/16"),
		MainDefault:       Yield,
		Table:             7400,
		Priority:          32000,
		ARP:               ARPIsolate,
		LVS:               &LVS{Mode: LVSTunnel, VIPs: addrs("10.20.73.30"), ReplyBy: "eth0", Device: "tunl0"},
		CheckDestinations: addrs("203.0.113.10", "2001:db8:ffff::10"),
		RequireGateway:    true,
		Verify:            true,
		DataDir:           "/run/cni/symroute",
	}
	if diff := cmp.Diff(want, got, netipValues); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func BenchmarkParse(b *testing.B) {
	data := []byte(`{"cniVersion": "1.1.0", "name": "storage", "type": "symroute", "rpFilter": "strict", "gateways": ["10.0.0.1"],
		"prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "net1", "sandbox": "/var/run/netns/cni-1"}],
		"ips": [{"interface": 0, "address": "10.0.0.5/24", "gateway": "10.0.0.1"}], "routes": [{"dst": "0.0.0.0/0"}]}}`)
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWordsForKeys spells keys inside our own objects the way others do.
func TestWordsForKeys(t *testing.T) {
	for _, tt := range []struct {
		json string // with a faulty key, x
		keys map[string][]string
	}{
		{`{"routes": [{"dst": "10.0.0.0/8", %q: "x"}]}`, map[string][]string{
			"gw":     {"gateway", "Gateway", "gateways", "nexthop", "next_hop", "via", "gww", "wg", "GW"},
			"metric": {"priority", "prio", "metrics", "mertic"},
			"advmss": {"mss", "adv_mss", "advmms"},
			"mtu":    {"MTU", "mtus"},
			"onlink": {"onLink", "on_link", "onlinks"},
			"dst":    {"destination", "dest", "to", "cidr", "dts"},
		}},
		{`{"lvs": {"mode": "dr", "vips": ["192.0.2.10"], %q: "x"}}`, map[string][]string{
			"vips":    {"vip", "VIPs", "virtualIPs", "addresses"},
			"mode":    {"type", "method", "moed"},
			"replyBy": {"reply_by", "replyby", "repyBy", "replyInterface"},
			"device":  {"dev", "tunnel", "devices"},
		}},
		{`{"interfaces": {"tunl0": {"rpFilter": "off", %q: "x"}}}`, map[string][]string{"rpFilter": {"rp_filter", "rpFiler", "mode", "filter"}}},
		{`{"gateways": [{"gw": "10.0.0.1", %q: "x"}]}`, map[string][]string{"gw": {"gateway", "address"}, "onlink": {"onLink", "on-link"}}},
	} {
		for ours, words := range tt.keys {
			for _, word := range words {
				_, err := Parse(fmt.Appendf(nil, tt.json, word))
				want := fmt.Sprintf("%s: is not a key here; write %q", word, ours)
				if err == nil || !strings.HasSuffix(err.Error(), want) && !strings.Contains(err.Error(), want+";") {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		}
	}
	wantFaults(t, `{"routes": [{"dst": "10.0.0.0/8", "scope": 253}]}`, `routes[0].scope: is not a key here; write one of dst, gw, metric, mtu, advmss, onlink`)
}

func TestOneSlip(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"viamain", "viamain", true}, {"viamian", "viamain", true}, {"vimain", "viamain", true}, {"viamaain", "viamain", true}, {"viamajn", "viamain", true},
		{"xviamain", "viamain", true}, {"viamainx", "viamain", true}, {"aab", "aba", true}, {"ab", "ba", true}, {"", "a", true}, {"", "", true}, {"ä", "a", true},
		{"abc", "cab", false}, {"abc", "cba", false}, {"vmain", "viamain", false}, {"viamian", "viamains", false}, {"", "ab", false}, {"ba", "abc", false},
		{"args", "arp", false}, {"ips", "lvs", false},
	} {
		if got := oneSlip([]rune(tt.a), []rune(tt.b)); got != tt.want {
			t.Errorf("%s, %s: got %t", tt.a, tt.b, got)
		}
		if got := oneSlip([]rune(tt.b), []rune(tt.a)); got != tt.want {
			t.Errorf("%s, %s: got %t", tt.b, tt.a, got)
		}
	}
}

// TestFaultsOfThePod leaves out what the pod shows only because a key could not be read.
func TestFaultsOfThePod(t *testing.T) {
	shown := Faults{
		{"gateways[0]", "g"}, {"routes[1].gw", "r"}, {"checkDestinations[0]", "c"}, {"requireGateway", "q"}, {"mainDefault", "m"},
		{"interfaces.net7", "i"}, {"table", "t"}, {"lvs.replyBy", "l"},
	}
	for known, want := range map[string]string{
		"table":              "table gateways[0] routes[1].gw checkDestinations[0] requireGateway mainDefault interfaces.net7 lvs.replyBy",
		"gateways[3]":        "gateways[3] checkDestinations[0] interfaces.net7 table lvs.replyBy",
		"gatways":            "gatways checkDestinations[0] interfaces.net7 table lvs.replyBy",
		"defaultRoute":       "defaultRoute checkDestinations[0] interfaces.net7 table lvs.replyBy",
		"sources[0]":         "sources[0] routes[1].gw mainDefault interfaces.net7 table lvs.replyBy",
		"lvs.vips":           "lvs.vips gateways[0] routes[1].gw requireGateway mainDefault table",
		`interfaces["a.b"]`:  `interfaces["a.b"] gateways[0] routes[1].gw checkDestinations[0] requireGateway mainDefault table lvs.replyBy`,
		"interfaces.x.y":     "interfaces.x.y gateways[0] routes[1].gw checkDestinations[0] requireGateway mainDefault table lvs.replyBy",
		"checkDestination":   "checkDestination gateways[0] routes[1].gw requireGateway mainDefault interfaces.net7 table lvs.replyBy",
		"verify":             "verify gateways[0] routes[1].gw checkDestinations[0] requireGateway mainDefault interfaces.net7 table lvs.replyBy",
		"cni.dev/x[0].y":     "cni.dev/x[0].y gateways[0] routes[1].gw checkDestinations[0] requireGateway mainDefault interfaces.net7 table lvs.replyBy",
		"prevResult.ips[0].": "prevResult.ips[0]. gateways[0] routes[1].gw checkDestinations[0] requireGateway mainDefault interfaces.net7 table lvs.replyBy",
	} {
		var got []string
		for _, f := range (Faults{{known, "k"}}).With(shown) {
			got = append(got, f.Path)
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", known, diff)
		}
	}
	if faults := (Faults{{"prevResult.ips[0]", "x"}, {"gatways", "y"}}); !faults.On("prevResult") || !faults.On("gateways") || faults.On("table") {
		t.Error("On")
	}
}

func TestFindings(t *testing.T) {
	var found Findings
	if found.Add(nil); found.Err() != nil {
		t.Errorf("got %v of nothing", found.Err())
	}
	first := errors.New("first")
	found.Add(first)
	found.Add(errors.New("second"))
	if !errors.Is(found.Err(), first) {
		t.Errorf("got %v, want the first", found.Err())
	}
	found.Add(fmt.Errorf("wrapped: %w", Faults{{"a", "b"}, {"c", "d"}}))
	found.Add(Faults{{"a", "b"}, {"e", "f"}})
	if got := found.Err().Error(); got != "a: b; c: d; e: f" {
		t.Errorf("got %s", got)
	}
}

func TestLacksVersion(t *testing.T) {
	for text, want := range map[string]bool{`{}`: true, `{"cniVersion": ""}`: true, `{"cniVersion": null}`: true, `{"cniVersion": "0.1.0"}`: false, `{`: false} {
		if got := LacksVersion([]byte(text)); got != want {
			t.Errorf("%s: got %t", text, got)
		}
	}
}
