package change

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// Each change says which command would do the same, and which change takes it back; that of
// its inverse is the change itself.
func TestChanges(t *testing.T) {
	prefix := netip.MustParsePrefix
	rule := fib.Rule{Family: fib.V4, Priority: 40012, From: prefix("203.0.113.144/32"), Action: fib.Lookup, Table: 7300, Protocol: 73}
	goTo := fib.Rule{Family: fib.V6, Priority: 32765, From: prefix("2001:db8::/64"), Action: fib.Goto, Target: 40000, Protocol: 73}
	hops := []fib.Hop{{Gateway: netip.MustParseAddr("203.0.113.1"), Index: 5, Dev: "net1"}}
	own := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 7300, Protocol: 73, Type: unix.RTN_UNICAST, Hops: hops}
	main := fib.Route{Family: fib.V6, Dst: fib.V6.Any(), Table: 254, Type: unix.RTN_UNICAST, Metric: 1024, Hops: []fib.Hop{{Index: 5}}}
	vip := fib.Address{Index: 1, Prefix: prefix("10.20.73.29/32")}
	for _, tt := range []struct {
		change, inverse Change
		text            string
	}{
		{AddRule{rule}, DelRule{rule}, "ip rule add 40012: from 203.0.113.144 lookup 7300 proto 73"},
		{DelRule{goTo}, AddRule{goTo}, "ip -6 rule del 32765: from 2001:db8::/64 goto 40000 proto 73"},
		{AddRoute{own}, DelRoute{own}, "ip route add default via 203.0.113.1 dev net1 table 7300 proto 73"},
		{DelRoute{own}, AddRoute{own}, "ip route del default via 203.0.113.1 dev net1 table 7300 proto 73"},
		{AddToMain{main}, DelFromMain{main}, "ip -6 route append default dev if5 metric 1024"},
		{DelFromMain{main}, AddToMain{main}, "ip -6 route del default dev if5 metric 1024"},
		{AddAddress{vip}, DelAddress{vip}, "ip addr add 10.20.73.29/32 dev #1"},
		{DelAddress{vip}, AddAddress{vip}, "ip addr del 10.20.73.29/32 dev #1"},
		{MakeLink{9, "tunl9", "ipip"}, DelLink{9, "tunl9", "ipip"}, "ip link add tunl9 type ipip"},
		{DelLink{9, "tunl9", "ipip"}, MakeLink{9, "tunl9", "ipip"}, "ip link del tunl9"},
		{SetLink{9, "tunl9", true}, SetLink{9, "tunl9", false}, "ip link set tunl9 up"},
		{SetLink{9, "tunl9", false}, SetLink{9, "tunl9", true}, "ip link set tunl9 down"},
		{
			Set{Device: "net1", Index: 5, Key: fib.RPFilter, Was: 1, Value: 2},
			Set{Device: "net1", Index: 5, Key: fib.RPFilter, Was: 2, Value: 1},
			"sysctl -w net/ipv4/conf/net1/rp_filter=2",
		},
		{
			Set{Device: "eth0.5", Key: fib.KeepAddrOnDown, Value: 1}, Set{Device: "eth0.5", Key: fib.KeepAddrOnDown, Was: 1},
			"sysctl -w net/ipv6/conf/eth0.5/keep_addr_on_down=1",
		},
	} {
		if got := tt.change.String(); got != tt.text {
			t.Errorf("%T says %q, want %q", tt.change, got, tt.text)
		}
		values := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
		if diff := cmp.Diff(tt.inverse, tt.change.Inverse(), values); diff != "" {
			t.Errorf("%s: its inverse (-want +got):\n%s", tt.text, diff)
		}
		if diff := cmp.Diff(tt.change, tt.change.Inverse().Inverse(), values); diff != "" {
			t.Errorf("%s: the inverse of its inverse (-want +got):\n%s", tt.text, diff)
		}
	}
}
