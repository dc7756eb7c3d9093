package symmetry

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// pair is a pod with a NIC that came first and the one that is asked about.
func pair() []nic { return []nic{{"eth0", "10.244.0.5/24"}, {"net1", "10.20.30.5/24"}} }

const resultOf = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}]}`

func TestQuestions(t *testing.T) {
	for _, tc := range []struct {
		name string
		nics []nic
		conf string
		prev string
		only string // compare just the questions that hold this
		want string
	}{
		{
			name: "a subnet, its gateway and the world",
			nics: pair(),
			prev: resultOf,
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.1 to 10.20.30.5 that arrive on net1: delivered
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through 10.20.30.1
				packets from 192.0.2.254 to 10.20.30.5 that arrive on net1: delivered
				packets to 10.20.30.1 of a socket bound to net1: out of net1, on-link
				packets to 192.0.2.254 of a socket bound to net1: out of net1 through 10.20.30.1`,
		},
		{
			name: "a subnet alone",
			nics: pair(),
			prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.1 to 10.20.30.5 that arrive on net1: delivered
				packets to 10.20.30.1 of a socket bound to net1: out of net1, on-link`,
		},
		{
			name: "IPv6, with a link-local gateway",
			nics: []nic{{"net1", "2001:db8:30::5/64 fe80::5/64"}},
			prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`,
			want: `
				packets from 2001:db8:30::5 to 2001:db8:30::1: out of net1, on-link
				packets from 2001:db8:30::1 to 2001:db8:30::5 that arrive on net1: delivered
				packets from 2001:db8:30::5 to fe80::1: out of net1, on-link
				packets from fe80::1 to 2001:db8:30::5 that arrive on net1: delivered
				packets from 2001:db8:30::5 to 2001:db8:ffff:ffff::fffe: out of net1 through fe80::1
				packets from 2001:db8:ffff:ffff::fffe to 2001:db8:30::5 that arrive on net1: delivered
				packets to 2001:db8:30::1 of a socket bound to net1: out of net1, on-link
				packets to fe80::1 of a socket bound to net1: out of net1, on-link
				packets to 2001:db8:ffff:ffff::fffe of a socket bound to net1: out of net1 through fe80::1`,
		},
		{
			name: "several gateways of one source",
			nics: pair(),
			conf: `"gateways": ["10.20.30.253", "10.20.30.254"]`,
			prev: resultOf,
			only: "packets from 10.20.30.5",
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.5 to 10.20.30.253: out of net1, on-link
				packets from 10.20.30.5 to 10.20.30.254: out of net1, on-link
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through 10.20.30.253 or out of net1 through 10.20.30.254`,
		},
		{
			name: "a gateway of each source, any of which may serve bound sockets",
			nics: []nic{{"net1", "10.20.30.5/24 10.20.31.5/24"}},
			prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`,
			only: "192.0.2.254",
			want: `
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through 10.20.30.1
				packets from 192.0.2.254 to 10.20.30.5 that arrive on net1: delivered
				packets from 10.20.31.5 to 192.0.2.254: out of net1 through 10.20.31.1
				packets from 192.0.2.254 to 10.20.31.5 that arrive on net1: delivered
				packets to 192.0.2.254 of a socket bound to net1: out of net1 through 10.20.30.1 or out of net1 through 10.20.31.1`,
		},
		{
			name: "where one table has no route, the other one serves bound sockets",
			nics: []nic{{"net1", "10.20.30.5/24 10.20.31.5/24"}},
			prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`,
			only: "192.0.2.254",
			want: `
				packets from 10.20.31.5 to 192.0.2.254: out of net1 through 10.20.31.1
				packets from 192.0.2.254 to 10.20.31.5 that arrive on net1: delivered
				packets to 192.0.2.254 of a socket bound to net1: out of net1 through 10.20.31.1`,
		},
		{
			name: "an address in each route that only this one decides for",
			nics: pair(),
			conf: `"routes": [
				{"dst": "172.16.0.0/12", "gw": "10.20.30.9"},
				{"dst": "172.16.0.0/31", "gw": "10.20.30.8"},
				{"dst": "172.16.0.2/32", "gw": "10.20.30.7"},
				{"dst": "192.0.2.0/24", "gw": "10.20.30.6"},
				{"dst": "224.0.0.0/4"}]`,
			prev: resultOf,
			only: "packets from 10.20.30.5 to 1",
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.5 to 198.51.100.254: out of net1 through 10.20.30.1
				packets from 10.20.30.5 to 10.20.30.9: out of net1, on-link
				packets from 10.20.30.5 to 172.16.0.3: out of net1 through 10.20.30.9
				packets from 10.20.30.5 to 10.20.30.8: out of net1, on-link
				packets from 10.20.30.5 to 10.20.30.7: out of net1, on-link
				packets from 10.20.30.5 to 172.16.0.2: out of net1 through 10.20.30.7
				packets from 10.20.30.5 to 10.20.30.6: out of net1, on-link
				packets from 10.20.30.5 to 192.0.2.1: out of net1 through 10.20.30.6`,
		},
		{
			name: "a route whose every address others decide for is not asked about",
			nics: pair(),
			conf: `"routes": [
				{"dst": "172.16.0.0/24", "gw": "10.20.30.9"},
				{"dst": "172.16.0.0/25", "gw": "10.20.30.8"},
				{"dst": "172.16.0.128/25", "gw": "10.20.30.7"}]`,
			prev: resultOf,
			only: "10.20.30.5 to 172.16",
			want: `
				packets from 10.20.30.5 to 172.16.0.1: out of net1 through 10.20.30.8
				packets from 10.20.30.5 to 172.16.0.129: out of net1 through 10.20.30.7`,
		},
		{
			name: "of routes to one place that with the best metric",
			nics: pair(),
			conf: `"routes": [
				{"dst": "172.16.0.0/12", "gw": "10.20.30.9", "metric": 20},
				{"dst": "172.16.0.0/12", "gw": "10.20.30.8", "metric": 10}]`,
			prev: resultOf,
			only: "10.20.30.5 to 172.16",
			want: `packets from 10.20.30.5 to 172.16.0.1: out of net1 through 10.20.30.8`,
		},
		{
			name: "the pod itself is no remote",
			nics: []nic{{"eth0", "10.20.30.1/24"}, {"net1", "10.20.30.5/24"}},
			prev: resultOf,
			only: "packets from 10.20.30.5",
			want: `
				packets from 10.20.30.5 to 10.20.30.2: out of net1, on-link
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through 10.20.30.1`,
		},
		{
			name: "destinations of the configuration, in the source's family",
			nics: []nic{{"net1", "10.20.30.5/24"}},
			conf: `"checkDestinations": ["203.0.113.10", "10.20.30.1"]`,
			prev: resultOf,
			only: ".10",
			want: `
				packets from 10.20.30.5 to 203.0.113.10: out of net1 through 10.20.30.1
				packets from 203.0.113.10 to 10.20.30.5 that arrive on net1: delivered
				packets to 203.0.113.10 of a socket bound to net1: out of net1 through 10.20.30.1`,
		},
		{
			name: "what is no one host's is no remote",
			nics: pair(),
			conf: `"routes": [{"dst": "255.255.255.255/32"}, {"dst": "10.20.30.255/32"}, {"dst": "10.20.30.0/32"}, {"dst": "10.244.0.255/32"},
				{"dst": "224.0.0.251/32"}, {"dst": "239.0.0.0/8"}, {"dst": "10.20.31.255/32"}]`,
			prev: resultOf,
			only: "packets from 10.20.30.5",
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.5 to 10.20.31.255: out of net1, on-link
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through 10.20.30.1`,
		},
		{
			name: "a next hop on the link is asked about by its own route",
			nics: pair(),
			conf: `"routes": [{"dst": "172.16.0.0/12", "gw": "192.0.2.9", "onlink": true}]`,
			prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			only: "packets from 10.20.30.5",
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.5 to 192.0.2.9: out of net1, on-link
				packets from 10.20.30.5 to 172.16.0.1: out of net1 through 192.0.2.9`,
		},
		{
			name: "an IPv6 next hop of IPv4 is no remote itself (RFC 8950)",
			nics: []nic{{"net1", "10.20.30.5/24 fe80::5/64"}},
			prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "fe80::1"}]}`,
			want: `
				packets from 10.20.30.5 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.1 to 10.20.30.5 that arrive on net1: delivered
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through fe80::1
				packets from 192.0.2.254 to 10.20.30.5 that arrive on net1: delivered
				packets to 10.20.30.1 of a socket bound to net1: out of net1, on-link
				packets to 192.0.2.254 of a socket bound to net1: out of net1 through fe80::1`,
		},
		{
			name: "destinations that are refused for want of a gateway",
			nics: pair(),
			conf: `"checkDestinations": ["203.0.113.10"]`,
			prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			only: ".10",
			want: `
				packets from 10.20.30.5 to 203.0.113.10: out of net1
				packets from 203.0.113.10 to 10.20.30.5 that arrive on net1: delivered`,
		},
		{
			name: "destinations that main decides for",
			nics: pair(),
			conf: `"checkDestinations": ["203.0.113.10"], "noGateway": "main"`,
			prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			only: ".10",
		},
		{
			name: "viaMain is left out, whatever leads there",
			nics: pair(),
			conf: `"viaMain": ["10.96.0.0/12", "192.0.2.0/24", "10.20.30.0/28"],
				"routes": [{"dst": "10.96.0.0/16", "gw": "10.20.30.9"}, {"dst": "192.0.2.0/25", "gw": "10.20.30.9"}]`,
			prev: resultOf,
			want: `
				packets from 10.20.30.5 to 10.20.30.16: out of net1, on-link
				packets from 10.20.30.16 to 10.20.30.5 that arrive on net1: delivered
				packets from 10.20.30.5 to 198.51.100.254: out of net1 through 10.20.30.1
				packets from 198.51.100.254 to 10.20.30.5 that arrive on net1: delivered
				packets to 10.20.30.16 of a socket bound to net1: out of net1, on-link
				packets to 198.51.100.254 of a socket bound to net1: out of net1 through 10.20.30.1`,
		},
		{
			name: "a tentative address has no answer",
			nics: []nic{{"net1", "2001:db8:30::5/64? 2001:db8:30::6/64"}},
			prev: `{"ips": [{"address": "2001:db8:30::5/64"}, {"address": "2001:db8:30::6/64"}]}`,
			want: `
				packets from 2001:db8:30::6 to 2001:db8:30::1: out of net1, on-link
				packets from 2001:db8:30::1 to 2001:db8:30::6 that arrive on net1: delivered
				packets to 2001:db8:30::1 of a socket bound to net1: out of net1, on-link`,
		},
		{
			name: "a source that the pod does not have yet has no answer, a VIP on lo has",
			nics: []nic{{"net1", "10.20.30.5/24 lo:10.20.73.30/32"}},
			conf: `"sources": ["10.20.73.29", "10.20.73.30"]`,
			prev: resultOf,
			only: "10.20.73",
			want: `
				packets from 10.20.73.30 to 10.20.30.1: out of net1, on-link
				packets from 10.20.30.1 to 10.20.73.30 that arrive on net1: delivered
				packets from 10.20.73.30 to 192.0.2.254: out of net1 through 10.20.30.1
				packets from 192.0.2.254 to 10.20.73.30 that arrive on net1: delivered`,
		},
		{
			name: "a prefix is asked through the NIC's addresses in it",
			nics: []nic{{"eth0", "2001:db8:31::7/64"}, {"net1", "2001:db8:30::5/64 2001:db8:30::6/64 2001:db8:30::7/64? 2001:db8:32::5/64"}},
			conf: `"sources": ["2001:db8:30::/64"], "gateways": ["fe80::1"]`,
			prev: `{}`,
			only: "to fe80::1",
			want: `
				packets from 2001:db8:30::5 to fe80::1: out of net1, on-link
				packets from 2001:db8:30::6 to fe80::1: out of net1, on-link
				packets to fe80::1 of a socket bound to net1: out of net1, on-link`,
		},
		{
			name: "a prefix and an address",
			nics: []nic{{"net1", "2001:db8:30::5/64 2001:db8:30:0:a8bb:ccff:fedd:eeff/64 2001:db8:30::7/64? 2001:db8:32::5/64"}},
			conf: `"sources": ["2001:db8:30::/64"]`,
			prev: `{"ips": [{"address": "2001:db8:30::5/64"}]}`,
			only: "packets from 2001:db8:30",
			want: `
				packets from 2001:db8:30::5 to 2001:db8:30::1: out of net1, on-link
				packets from 2001:db8:30::1 to 2001:db8:30::5 that arrive on net1: delivered
				packets from 2001:db8:30:0:a8bb:ccff:fedd:eeff to 2001:db8:30::1: out of net1, on-link
				packets from 2001:db8:30::1 to 2001:db8:30:0:a8bb:ccff:fedd:eeff that arrive on net1: delivered`,
		},
		{
			name: "a prefix and an address with a gateway of its own",
			nics: []nic{{"net1", "10.20.30.5/24 10.20.30.6/24 10.20.30.7/24"}},
			conf: `"sources": ["10.20.30.0/24"]`,
			prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.30.6/24", "gateway": "10.20.30.2"}]}`,
			only: " to 192.0.2.254: ",
			want: `
				packets from 10.20.30.5 to 192.0.2.254: out of net1 through 10.20.30.1
				packets from 10.20.30.7 to 192.0.2.254: out of net1 through 10.20.30.1
				packets from 10.20.30.6 to 192.0.2.254: out of net1 through 10.20.30.2`,
		},
		{
			name: "of several NICs, each",
			nics: []nic{{"net1", "10.20.30.5/24"}, {"net2", "10.20.31.5/24"}},
			prev: `{"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
				"ips": [{"address": "10.20.30.5/24", "interface": 0}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1", "interface": 1}]}`,
			only: "bound",
			want: `
				packets to 10.20.30.1 of a socket bound to net1: out of net1, on-link
				packets to 10.20.31.1 of a socket bound to net2: out of net2, on-link
				packets to 192.0.2.254 of a socket bound to net2: out of net2 through 10.20.31.1`,
		},
		{
			name: "a NIC without addresses",
			nics: []nic{{"net1", ""}},
			prev: `{}`,
		},
		{
			name: "forgery, where the mode is strict: for each IPv4 address of another NIC that is up",
			nics: []nic{
				{"eth0", "10.244.0.1/24 10.244.1.5/24 2001:db8:1::5/64"},
				{"!eth1", "10.245.0.5/24"},
				{"eth2", "192.0.2.7/32"},
				{"net1", "10.20.30.5/24 lo:10.20.73.29/32"},
			},
			conf: `"rpFilter": "strict"`,
			prev: resultOf,
			only: "forged",
			want: `
				forged packets from 10.244.0.2 for eth0's address 10.244.0.1 that arrive on net1: refused by strict mode
				forged packets from 10.244.1.4 for eth0's address 10.244.1.5 that arrive on net1: refused by strict mode
				forged packets from 192.0.2.254 for eth2's address 192.0.2.7 that arrive on net1: refused by strict mode`,
		},
		{
			name: "no forgery in loose mode, nor of another device's strict mode",
			nics: []nic{{"eth0", "10.244.0.5/24"}, {"net1", "10.20.30.5/24"}},
			conf: `"interfaces": {"eth0": {"rpFilter": "strict"}}`,
			prev: resultOf,
			only: "forged",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, tc.nics, tc.conf, tc.prev)
			var got []string
			for _, q := range s.questions() {
				if line := q.what(q.flow) + ": " + q.want(q.flow); strings.Contains(line, tc.only) {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(lines(tc.want), got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("questions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestQuestionsOfOthers asks nothing of a displaced NIC that it cannot answer, for it
// is down, nor what its own attachment has the say in.
func TestQuestionsOfOthers(t *testing.T) {
	onMain := func(in *plan.Input) {
		in.Seen.Routes = append(in.Seen.Routes, fib.Route{
			Family: fib.V4, Dst: fib.V4.Any(), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
			Hops: []fib.Hop{{Index: 2, Dev: "eth0", Gateway: ip("10.244.0.1")}},
		})
	}
	attached := func(in *plan.Input) {
		own := func(role state.Role, table uint32) state.State {
			sources := []state.Source{{Prefix: netip.MustParsePrefix("10.244.0.5/32")}}
			return state.State{NICs: []state.NIC{{Index: 2, Name: "eth0", Role: role, Tables: []state.Table{{Number: table, Sources: sources}}}}}
		}
		in.Mine = &record.Attachment{Key: in.Key, State: own(state.Displaced, 7301)}
		in.Others = []record.Attachment{{Key: record.Key{Network: "other", ContainerID: "c1", IfName: "eth0"}, State: own(state.Attached, 7302)}}
	}
	for name, tc := range map[string]struct {
		nic   string
		more  []func(*plan.Input)
		asked []string // of eth0
	}{
		"displaced": {"eth0", []func(*plan.Input){onMain}, []string{
			"packets from 10.244.0.5 to 192.0.2.254", "packets from 192.0.2.254 to 10.244.0.5 that arrive on eth0",
			"packets from 10.244.0.6 to 192.0.2.254", "packets from 192.0.2.254 to 10.244.0.6 that arrive on eth0",
			"packets to 192.0.2.254 of a socket bound to eth0",
		}},
		"attached since": {"eth0", []func(*plan.Input){onMain, attached}, []string{
			"packets from 10.244.0.6 to 192.0.2.254", "packets from 192.0.2.254 to 10.244.0.6 that arrive on eth0",
		}},
		"down": {"!eth0", []func(*plan.Input){onMain}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			nics := []nic{{tc.nic, "10.244.0.5/24 10.244.0.6/24"}, {"net1", "10.20.30.5/24"}}
			s := newSite(t, nics, `"mainDefault": "take", "checkDestinations": ["192.0.2.254"]`, resultOf, tc.more...)
			var got []string
			for _, q := range s.questions() {
				if q.nic.Name == "eth0" && q.remote == ip("192.0.2.254") {
					got = append(got, q.what(q.flow))
				}
			}
			if diff := cmp.Diff(tc.asked, got); diff != "" {
				t.Errorf("questions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestQuestionsInKernelWords holds the kinds to what RTM_GETROUTE is asked.
func TestQuestionsInKernelWords(t *testing.T) {
	local, remote := netip.MustParseAddr("10.20.30.5"), netip.MustParseAddr("192.0.2.254")
	kinds := allKinds()
	for name, tc := range map[string]struct {
		kind kind
		want fib.Query
	}{
		"out":    {kinds.out, fib.Query{To: remote, From: local}},
		"in":     {kinds.in, fib.Query{To: local, From: remote, IIF: 4}},
		"bound":  {kinds.bound, fib.Query{To: remote, OIF: 3}},
		"forged": {kinds.forged, fib.Query{To: local, From: remote, IIF: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			f := flow{nic: device{Index: 3, Name: "net1"}, arrival: device{Index: 4, Name: "tunl0"}, local: local, remote: remote}
			if got := tc.kind.query(f); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestNeighbour(t *testing.T) {
	for _, tc := range []struct {
		address string
		others  string
		want    string
	}{
		{"10.244.0.5/24", "", "10.244.0.4"},
		{"10.244.0.1/24", "", "10.244.0.2"},
		{"10.244.0.5/24", "10.244.0.4/24", "10.244.0.6"},
		{"10.244.0.5/31", "", "192.0.2.254"},
		{"10.244.0.5/32", "", "192.0.2.254"},
		{"192.0.2.254/32", "", "198.51.100.254"},
		{"0.0.0.1/8", "", "0.0.0.2"},
	} {
		t.Run(tc.address, func(t *testing.T) {
			s := snapshot([]nic{{"eth0", tc.address + " " + tc.others}})
			local := map[netip.Addr]bool{}
			for _, a := range s.Addresses {
				local[a.Prefix.Addr()] = true
			}
			if got := neighbour(local, netip.MustParsePrefix(tc.address)); got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestQuestionsAboutRefusals asks nothing about what main refuses, and with it the table.
func TestQuestionsAboutRefusals(t *testing.T) {
	refuse := func(in *plan.Input) {
		for _, dst := range []string{"192.0.2.0/24", "198.18.0.0/15"} {
			in.Seen.Routes = append(in.Seen.Routes, fib.Route{
				Family: fib.V4, Dst: netip.MustParsePrefix(dst), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_BLACKHOLE,
			})
		}
	}
	s := newSite(t, pair(), `"checkDestinations": ["198.18.0.7", "198.51.100.7"]`, resultOf, refuse)
	var got []string
	for _, q := range s.questions() {
		if q.back == nil && q.local.IsValid() {
			got = append(got, q.remote.String())
		}
	}
	if diff := cmp.Diff([]string{"10.20.30.1", "198.51.100.254", "198.51.100.7"}, got); diff != "" {
		t.Errorf("remotes (-want +got):\n%s", diff)
	}
}

// TestQuestionsOfACrowd bounds them: of each table its gateway and one remote in each prefix
// length are asked, and those that were asked for.
func TestQuestionsOfACrowd(t *testing.T) {
	var routes []string
	for i := range 3000 {
		routes = append(routes, fmt.Sprintf(`{"dst": "172.%d.%d.0/24", "gw": "10.20.30.9"}`, 16+i/256, i%256))
	}
	routes = append(routes, `{"dst": "172.31.0.0/16", "gw": "10.20.30.8"}`)
	result := fmt.Sprintf(`{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [%s]}`, strings.Join(routes, ", "))
	s := newSite(t, pair(), `"checkDestinations": ["8.8.4.4"]`, result)
	asked := map[string]bool{}
	for _, q := range s.questions() {
		asked[q.remote.String()] = true
	}
	if len(asked) != 1000 {
		t.Errorf("%d remotes are asked about", len(asked))
	}
	for _, remote := range []string{"10.20.30.1", "192.0.2.254", "172.16.0.1", "172.31.0.1", "8.8.4.4"} {
		if !asked[remote] {
			t.Errorf("%s is not asked about", remote)
		}
	}
}

func TestPairs(t *testing.T) {
	for _, tc := range []struct {
		ones, others, most int
		want               string
	}{
		{2, 3, 6, "00 01 02 10 11 12"},
		{2, 3, 5, "00 11 02"},
		{3, 2, 5, "00 11 20"},
		{3, 2, 2, "00 11"},
		{0, 3, 5, ""},
		{3, 0, 5, ""},
	} {
		var got []string
		for i, j := range pairs(tc.ones, tc.others, tc.most) {
			got = append(got, fmt.Sprint(i)+fmt.Sprint(j))
		}
		if got := strings.Join(got, " "); got != tc.want {
			t.Errorf("%d and %d, at most %d: got %s, want %s", tc.ones, tc.others, tc.most, got, tc.want)
		}
	}
}
