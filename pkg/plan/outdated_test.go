package plan_test

import (
	"testing"

	"github.com/symroute/symroute/pkg/plan"
)

// TestOutdated has main change after ADD. ADD again mends what is reported, and is then content.
func TestOutdated(t *testing.T) {
	all := func(list ...mishap) []mishap { return list }
	const nics = `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		2001:db8:30::5/64
		-4 route default via 10.244.0.1 dev eth0`
	const bare = `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`
	const named = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`
	for _, tc := range []struct {
		name string
		pod  string // beside the above
		attachment
		mishaps []mishap
		want    string
		refused bool // ADD again is, too
	}{
		{name: "nothing happened", attachment: attachment{prev: bare}},
		{
			name:       "routers came",
			attachment: attachment{prev: bare},
			mishaps: all(
				withRoute("-4 route default via 10.20.30.1 dev net1 metric 100"),
				withRoute("-6 route default via fe80::1 dev net1 proto ra metric 1024 expires")),
			want: `
				lost: the table 7300: want the IPv4 route "default via 10.20.30.1 dev net1 table 7300 proto 73", by what main has now, got none: ADD again
				lost: the table 7300: want the IPv6 route "default via fe80::1 dev net1 table 7300 proto 73 metric 1024", by what main has now, got none: ADD again`,
		},
		{
			name:       "routers came, and the gateways are named",
			attachment: attachment{prev: named},
			mishaps: all(
				withRoute("-4 route default via 10.20.30.9 dev net1 metric 100"),
				withRoute("-6 route default via fe80::9 dev net1 proto ra metric 1024 expires")),
		},
		{
			name:       "another NIC's router came",
			attachment: attachment{prev: bare},
			mishaps:    all(withRoute("-6 route default via fe80::1 dev eth0 proto ra metric 1024 expires")),
		},
		{
			name:       "the router that advertised itself was replaced",
			pod:        "-6 route default via fe80::1 dev net1 proto ra metric 1024 expires",
			attachment: attachment{prev: bare},
			mishaps: all(
				without("-6 route default via fe80::1 dev net1 proto ra metric 1024"),
				withRoute("-6 route default via fe80::2 dev net1 proto ra metric 1024 expires")),
			want: `
				lost: the table 7300: want the IPv6 route "default via fe80::2 dev net1 table 7300 proto 73 metric 1024", by what main has now, ` +
				`got "default via fe80::1 dev net1 table 7300 proto 73 metric 1024": ADD again`,
		},
		{
			name:       "it is gone",
			pod:        "-6 route default via fe80::1 dev net1 proto ra metric 1024 expires",
			attachment: attachment{prev: bare},
			mishaps:    all(without("-6 route default via fe80::1 dev net1 proto ra metric 1024")),
			want: `
				lost: the table 7300: want no IPv6 route "default via fe80::1 dev net1 table 7300 proto 73 metric 1024", for main has lost its ground, got it: ADD again`,
		},
		{
			name:       "it is gone, and a gateway is required",
			pod:        "-6 route default via fe80::1 dev net1 proto ra metric 1024 expires",
			attachment: attachment{conf: `"requireGateway": true`, prev: `{"ips": [{"address": "2001:db8:30::5/64"}]}`},
			mishaps:    all(without("-6 route default via fe80::1 dev net1 proto ra metric 1024")),
			want: `
				lost: the table 7300: want no IPv6 route "default via fe80::1 dev net1 table 7300 proto 73 metric 1024", for main has lost its ground, got it: ADD again`,
			refused: true,
		},
		{
			name:       "in the place of the default that yielded there is another",
			pod:        "-4 route default via 10.20.30.1 dev net1 metric 100",
			attachment: attachment{prev: bare},
			mishaps:    all(withRoute("-4 route default via 10.20.30.2 dev net1 metric 100")),
			want: `
				lost: the table 7300: want the IPv4 route "default via 10.20.30.2 dev net1 table 7300 proto 73", by what main has now, ` +
				`got "default via 10.20.30.1 dev net1 table 7300 proto 73": ADD again`,
		},
		{
			name:       "beside the default that yielded there is a worse one",
			pod:        "-4 route default via 10.20.30.1 dev net1 metric 100",
			attachment: attachment{prev: bare},
			mishaps:    all(withRoute("-4 route default via 10.20.30.2 dev net1 metric 200")),
		},
		{
			name:       "the default that yielded is back, as it was",
			pod:        "-4 route default via 10.20.30.1 dev net1 metric 100",
			attachment: attachment{prev: bare},
			mishaps:    all(withRoute("-4 route default via 10.20.30.1 dev net1 metric 100")),
		},
		{
			name:       "a prefix came to the link, and a route through a gateway",
			attachment: attachment{conf: `"sources": ["2001:db8:31::/64"]`, prev: named},
			mishaps: all(
				withRoute("-6 route 2001:db8:31::/64 dev net1 proto kernel metric 256 expires"),
				withRoute("-6 route 2001:db8:32::/64 via fe80::9 dev net1 proto ra metric 256 expires"),
				withRoute("-4 route 172.16.0.0/12 via 10.20.30.9 dev net1")),
			want: `
				lost: the table 7300: want the IPv6 route "2001:db8:31::/64 dev net1 table 7300 proto 73 metric 256", by what main has now, got none: ADD again`,
		},
		{
			name:       "a prefix of the link expired",
			pod:        "-6 route 2001:db8:31::/64 dev net1 proto kernel metric 256 expires",
			attachment: attachment{prev: named},
			mishaps:    all(without("-6 route 2001:db8:31::/64 dev net1 proto kernel metric 256")),
			want: `
				lost: the table 7300: want no IPv6 route "2001:db8:31::/64 dev net1 table 7300 proto 73 metric 256", for main has lost its ground, got it: ADD again`,
		},
		{
			name:       "the NIC is down: there is nothing that ADD could mend",
			attachment: attachment{prev: bare},
			mishaps:    all(func(_ *testing.T, p *pod) { p.kernel.down("net1") }),
			refused:    true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, nics+"\n"+tc.pod)
			p.add(tc.attachment)
			for _, m := range tc.mishaps {
				m(t, p)
			}
			var got []string
			for _, dev := range plan.Outdated(p.check(tc.attachment)) {
				got = append(got, "lost: "+dev.String())
			}
			compare(t, "outdated", lines(tc.want), got)
			if _, err := plan.Build(p.input(tc.attachment)); tc.refused {
				if err == nil {
					t.Error("ADD again is not refused")
				}
				return
			}
			p.add(tc.attachment)
			compare(t, "after ADD again", nil, p.deviations(tc.attachment))
			p.add(tc.attachment)
			compare(t, "after the next", nil, p.deviations(tc.attachment))
		})
	}
}

// TestNobodyIsOutdated: what attachments do to one another does not make their tables outdated.
func TestNobodyIsOutdated(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		p.add(s.attachment)
		for _, a := range append(s.earlier, s.attachment) {
			changed := a.key() == s.key() && a != s.attachment
			if in := p.check(a); in.Mine != nil && !changed {
				for _, dev := range plan.Outdated(in) {
					t.Errorf("%s: %s", a.key().IfName, dev)
				}
			}
		}
	})
}

// TestDefaultIsReplaced: the default that somebody puts in the place of one that yielded is what
// DEL leaves in main, once ADD has known it.
func TestDefaultIsReplaced(t *testing.T) {
	p := newPod(t, second+"-4 route default via 10.20.30.1 dev net1 metric 100")
	a := attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}]}`}
	p.add(a)
	withRoute("-4 route default via 10.20.30.2 dev net1 metric 100")(t, p)
	p.add(a)
	p.del(a)
	compare(t, "main", lines(`
		-4 route default via 10.244.0.1 dev eth0 proto boot
		-4 route default via 10.20.30.2 dev net1 proto boot metric 100`), p.mainDefaults())
}
