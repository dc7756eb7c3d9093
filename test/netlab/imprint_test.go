package netlab

import "testing"

// TestImprint changes a namespace in every way that a Snapshot shows, and sees the
// imprint change with it, and come back.
func TestImprint(t *testing.T) {
	t.Parallel()
	ns, _ := pair(t)
	before, snapshot := ns.Imprint(t), ns.Snapshot(t)
	for _, change := range []struct{ do, undo string }{
		{"rule add from 192.0.2.1 lookup 7300", "rule del from 192.0.2.1 lookup 7300"},
		{"-6 rule add from 2001:db8::1 lookup 7300", "-6 rule del from 2001:db8::1 lookup 7300"},
		{"route add default via 192.0.2.254 table 7300", "route del default table 7300"},
		{"-6 route add default via 2001:db8::2 table 7300", "-6 route del default table 7300"},
		{"addr add 192.0.2.3/32 dev lo", "addr del 192.0.2.3/32 dev lo"},
		{"addr add 2001:db8::3/128 dev lo nodad preferred_lft 0", "addr del 2001:db8::3/128 dev lo"},
		{"link set eth0 mtu 1400", "link set eth0 mtu 1500"},
	} {
		ns.Batch(t, change.do)
		if ns.Imprint(t) == before {
			t.Errorf("%s: the imprint is the same", change.do)
		}
		ns.Batch(t, change.undo)
		Eventually(t, change.undo+": all is as before", func() bool { return ns.Snapshot(t).Diff(snapshot) == "" })
		if ns.Imprint(t) != before {
			t.Errorf("%s: the imprint is not what it was", change.undo)
		}
	}
	for _, setting := range []string{"net/ipv4/conf/eth0/rp_filter", "net/ipv6/conf/eth0/accept_ra"} {
		value := ns.Sysctl(t, setting)
		ns.SetSysctl(t, setting+"=2")
		if ns.Imprint(t) == before {
			t.Errorf("%s: the imprint is the same", setting)
		}
		ns.SetSysctl(t, setting+"="+value)
	}
	if ns.Imprint(t) != before {
		t.Error("the imprint is not what it was")
	}
}
