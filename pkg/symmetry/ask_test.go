package symmetry

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// script is a kernel that answers as it was told. What it was not told of it
// answers rightly.
type script struct {
	t       *testing.T
	site    site
	answers map[fib.Query]fib.Answer
	asked   []fib.Query
}

// scripted makes a kernel that answers everything rightly.
func scripted(t *testing.T, s site) *script {
	t.Helper()
	k := &script{t: t, site: s, answers: map[fib.Query]fib.Answer{}}
	for _, q := range s.questions() {
		k.answers[q.query(q.flow)] = right(q)
		if isForged(q) { // the other NIC really answers the remote
			k.answers[wayOut(q.flow)] = fib.Answer{Route: leaving(q.other, netip.Addr{}, unix.RT_TABLE_MAIN)}
		}
	}
	return k
}

func isForged(q question) bool { return q.other != device{} }

func right(q question) fib.Answer {
	switch {
	case isForged(q):
		return fib.Answer{Err: unix.EXDEV}
	case q.back != nil: // arriving
		return delivered()
	}
	hop := fib.Hop{Index: q.nic.Index}
	if len(q.exit) > 0 {
		hop = q.exit[len(q.exit)-1]
	}
	return fib.Answer{Route: leaving(device{Index: hop.Index}, hop.Gateway, state.TableBase)}
}

func delivered() fib.Answer {
	return fib.Answer{Route: fib.Route{Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Hops: []fib.Hop{{Index: 1}}}}
}

// leaving is a route out of a NIC, without the NIC's name, as the kernel has it.
func leaving(l device, gateway netip.Addr, table uint32) fib.Route {
	return fib.Route{Type: unix.RTN_UNICAST, Table: table, Hops: []fib.Hop{{Index: l.Index, Gateway: gateway}}}
}

func (k *script) Ask(questions ...fib.Query) []fib.Answer {
	k.t.Helper()
	var answers []fib.Answer
	for _, q := range questions {
		answers = append(answers, k.answer(q))
	}
	return answers
}

func (k *script) answer(q fib.Query) fib.Answer {
	k.t.Helper()
	k.asked = append(k.asked, q)
	a, ok := k.answers[q]
	if !ok {
		k.t.Errorf("asked %+v, which is not in the script", q)
	}
	a.Route.Family = fib.FamilyOf(q.To)
	a.Route.Hops = slices.Clone(a.Route.Hops)
	return a
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestNothingWrong asks every kind of question, and is answered rightly.
func TestNothingWrong(t *testing.T) {
	s := newSite(t, pair(), `"rpFilter": "strict", "gateways": ["10.20.30.253", "10.20.30.254"]`, resultOf)
	k := scripted(t, s)
	if wrong := s.check(k); len(wrong) > 0 {
		t.Errorf("found:\n%s", wrong.Details())
	}
	var kinds []string
	for _, q := range s.questions() {
		kinds = append(kinds, strings.Fields(q.what(q.flow))[0]+" "+q.want(q.flow))
		if !slices.Contains(k.asked, q.query(q.flow)) {
			t.Errorf("not asked: %s", q.what(q.flow))
		}
	}
	slices.Sort(kinds)
	want := []string{
		"forged refused by strict mode", "packets delivered",
		"packets out of net1 through 10.20.30.253 or out of net1 through 10.20.30.254", "packets out of net1, on-link",
	}
	if diff := cmp.Diff(want, slices.Compact(kinds)); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

// The flow that the tests of judging are about.
const (
	local   = "10.20.30.5"
	remote  = "192.0.2.254"
	gateway = "10.20.30.1"
	// A neighbour of eth0's address.
	forger = "10.244.0.4"
)

func TestJudging(t *testing.T) {
	var (
		outward = fib.Query{To: ip(remote), From: ip(local)}
		inward  = fib.Query{To: ip(local), From: ip(remote), IIF: 3}
		ofBound = fib.Query{To: ip(remote), OIF: 3}
		forged  = fib.Query{To: ip("10.244.0.5"), From: ip(forger), IIF: 3}
		back    = fib.Query{To: ip(forger), From: ip("10.244.0.5")}
		eth0    = device{Index: 2, Name: "eth0"}
		net1    = device{Index: 3, Name: "net1"}
		lost    = errors.New("no answer from the kernel")
	)
	const (
		outText   = "packets from 10.20.30.5 to 192.0.2.254: want out of net1 through 10.20.30.1, got "
		inText    = "packets from 192.0.2.254 to 10.20.30.5 that arrive on net1: want delivered, got "
		boundText = "packets to 192.0.2.254 of a socket bound to net1: want out of net1 through 10.20.30.1, got "
		spoofText = "forged packets from 10.244.0.4 for eth0's address 10.244.0.5 that arrive on net1: want refused by strict mode, got "
		ours      = `the rule "40012: from 10.20.30.5 lookup 7300 proto 73" and the route "default via 10.20.30.1 dev net1 table 7300 proto 73"`
		main      = `the rule "32766: from all lookup main proto kernel"`
	)
	for _, tc := range []struct {
		name    string
		answers map[fib.Query]fib.Answer
		rules   []fib.Rule          // of somebody else
		lost    func(fib.Rule) bool // rules of ours that are gone
		kind    state.Kind
		want    string // empty: nothing is wrong
	}{
		// Outwards.
		{
			name:    "out of the wrong NIC, for our rule to decide is gone",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), unix.RT_TABLE_MAIN)}},
			lost:    state.IsDecision,
			kind:    state.Asymmetric,
			want:    outText + "out of eth0 through 10.244.0.1; decided by " + main,
		},
		{
			name:    "out of the wrong NIC, for what it leads to is gone",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), unix.RT_TABLE_MAIN)}},
			lost:    state.IsAnchor,
			kind:    state.Asymmetric,
			want:    outText + "out of eth0 through 10.244.0.1; decided by " + main,
		},
		{
			name:    "through the wrong gateway",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(net1, ip("10.20.30.2"), 7300)}},
			kind:    state.Asymmetric,
			want:    outText + "out of net1 through 10.20.30.2; decided by " + ours,
		},
		{
			name:    "on the link, where there is a gateway",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(net1, netip.Addr{}, 7300)}},
			kind:    state.Asymmetric,
			want:    outText + "out of net1, on-link; decided by " + ours,
		},
		{
			name:    "by the rule of somebody else",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), 100)}},
			rules:   []fib.Rule{{Family: fib.V4, Priority: 50, From: netip.MustParsePrefix("10.20.0.0/16"), Action: fib.Lookup, Table: 100, Protocol: unix.RTPROT_STATIC}},
			kind:    state.Foreign,
			want:    outText + `out of eth0 through 10.244.0.1; decided by the rule "50: from 10.20.0.0/16 lookup 100 proto static"`,
		},
		{
			name:    "by a table that no rule leads to",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), 100)}},
			rules: []fib.Rule{
				{Family: fib.V6, Action: fib.Lookup, Table: 100},
				{Family: fib.V4, IIF: "eth0", Action: fib.Lookup, Table: 100},
				{Family: fib.V4, OIF: "net1", Action: fib.Lookup, Table: 100},
				{Family: fib.V4, From: netip.MustParsePrefix("10.21.0.0/16"), Action: fib.Lookup, Table: 100},
				{Family: fib.V4, To: netip.MustParsePrefix("198.51.100.0/24"), Action: fib.Lookup, Table: 100},
			},
			kind: state.Asymmetric,
			want: outText + "out of eth0 through 10.244.0.1; decided by the table 100",
		},
		{
			name:    "by main, beside the rule of somebody else for marked packets",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), unix.RT_TABLE_MAIN)}},
			rules:   []fib.Rule{{Family: fib.V4, Priority: 50, Other: "a mark", Action: fib.Lookup, Table: unix.RT_TABLE_MAIN}},
			lost:    state.IsDecision,
			kind:    state.Asymmetric,
			want:    outText + "out of eth0 through 10.244.0.1; decided by " + main,
		},
		{
			name:    "by a rule with more selectors, where no other is",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), 100)}},
			rules:   []fib.Rule{{Family: fib.V4, Priority: 50, Other: "suppress", Action: fib.Lookup, Table: 100, Protocol: unix.RTPROT_STATIC}},
			kind:    state.Foreign,
			want:    outText + `out of eth0 through 10.244.0.1; decided by the rule "50: from all other 7375707072657373 lookup 100 proto static"`,
		},
		{
			name:    "by a rule for what the pod itself sends",
			answers: map[fib.Query]fib.Answer{outward: {Route: leaving(eth0, ip("10.244.0.1"), 100)}},
			rules:   []fib.Rule{{Family: fib.V4, Priority: 50, IIF: "lo", Action: fib.Lookup, Table: 100, Protocol: unix.RTPROT_STATIC}},
			kind:    state.Foreign,
			want:    outText + `out of eth0 through 10.244.0.1; decided by the rule "50: from all iif lo lookup 100 proto static"`,
		},
		{
			name:    "refused as unreachable",
			answers: map[fib.Query]fib.Answer{outward: {Err: unix.ENETUNREACH}},
			kind:    state.Asymmetric,
			want:    outText + `refused as unreachable (ENETUNREACH); decided by the rule "40015: from 10.20.30.5 unreachable proto 73"`,
		},
		{
			name:    "refused by a route that is asked before",
			answers: map[fib.Query]fib.Answer{outward: {Err: unix.EHOSTUNREACH}},
			kind:    state.Asymmetric,
			want:    outText + "refused as unreachable (EHOSTUNREACH); decided by an unreachable or prohibit route in a table that is asked before",
		},
		{
			name:    "prohibited",
			answers: map[fib.Query]fib.Answer{outward: {Err: unix.EACCES}},
			kind:    state.Asymmetric,
			want:    outText + "permission denied; decided by an unreachable or prohibit route in a table that is asked before",
		},
		{
			name:    "refused by somebody else's rule",
			answers: map[fib.Query]fib.Answer{outward: {Err: unix.ENETUNREACH}},
			rules:   []fib.Rule{{Family: fib.V4, Priority: 50, To: netip.MustParsePrefix("192.0.2.0/24"), Action: fib.Unreachable, Protocol: unix.RTPROT_STATIC}},
			kind:    state.Foreign,
			want:    outText + `refused as unreachable (ENETUNREACH); decided by the rule "50: from all to 192.0.2.0/24 unreachable proto static"`,
		},
		{
			name:    "an answer without a way",
			answers: map[fib.Query]fib.Answer{outward: {Route: fib.Route{Dst: fib.Host(ip(remote)), Type: unix.RTN_BLACKHOLE, Table: unix.RT_TABLE_MAIN}}},
			lost:    state.IsDecision,
			kind:    state.Asymmetric,
			want:    outText + "no way (blackhole 192.0.2.254); decided by " + main,
		},
		{
			name:    "the pod has the remote by now",
			answers: map[fib.Query]fib.Answer{outward: delivered()},
			kind:    state.Asymmetric,
			want:    outText + `delivered; decided by the rule "0: from all lookup local proto kernel"`,
		},
		// Inwards.
		{
			name:    "refused by the filter of older kernels",
			answers: map[fib.Query]fib.Answer{inward: {Err: unix.EXDEV}},
			kind:    state.Asymmetric,
			want:    inText + "refused by the reverse-path filter (EXDEV); decided by the way back to 192.0.2.254, out of net1 through 10.20.30.1, by " + ours,
		},
		{
			name:    "refused by newer kernels, without a cause",
			answers: map[fib.Query]fib.Answer{inward: {Err: unix.EINVAL}},
			kind:    state.Asymmetric,
			want: inText + "refused, cause not named by this kernel (EINVAL): most often the reverse-path filter; " +
				"decided by the way back to 192.0.2.254, out of net1 through 10.20.30.1, by " + ours,
		},
		{
			name:    "routed on, where it should be delivered",
			answers: map[fib.Query]fib.Answer{inward: {Route: leaving(eth0, ip("10.244.0.1"), unix.RT_TABLE_MAIN)}},
			kind:    state.Asymmetric,
			want:    inText + "out of eth0 through 10.244.0.1; decided by the way back to 192.0.2.254, out of net1 through 10.20.30.1, by " + ours,
		},
		// Bound to the device.
		{
			name:    "no route at all: believed on-link",
			answers: map[fib.Query]fib.Answer{ofBound: {Route: leaving(net1, netip.Addr{}, unix.RT_TABLE_UNSPEC)}},
			kind:    state.Asymmetric,
			want:    boundText + "out of net1, on-link; decided by no route at all: of a socket bound to a device IPv4 then believes every remote on-link",
		},
		{
			name:    "through another gateway",
			answers: map[fib.Query]fib.Answer{ofBound: {Route: leaving(net1, ip("10.20.30.2"), 7300)}},
			kind:    state.Asymmetric,
			want: boundText + `out of net1 through 10.20.30.2; decided by the rule "49000: from all oif net1 lookup 7300 proto 73" ` +
				`and the route "default via 10.20.30.1 dev net1 table 7300 proto 73"`,
		},
		{
			name:    "refused, by no rule",
			answers: map[fib.Query]fib.Answer{ofBound: {Err: unix.ENETUNREACH}},
			kind:    state.Asymmetric,
			want:    boundText + "refused as unreachable (ENETUNREACH)",
		},
		// Forged.
		{
			name:    "let in",
			answers: map[fib.Query]fib.Answer{forged: delivered()},
			kind:    state.Asymmetric,
			want:    spoofText + "delivered; decided by the way back to 10.244.0.4, out of eth0, on-link, by " + main,
		},
		{
			name:    "routed on is let in, too",
			answers: map[fib.Query]fib.Answer{forged: {Route: leaving(eth0, netip.Addr{}, unix.RT_TABLE_MAIN)}},
			kind:    state.Asymmetric,
			want:    spoofText + "out of eth0, on-link; decided by the way back to 10.244.0.4, out of eth0, on-link, by " + main,
		},
		{
			name:    "refused for another reason",
			answers: map[fib.Query]fib.Answer{forged: {Err: unix.EHOSTUNREACH}},
			kind:    state.Asymmetric,
			want:    spoofText + "refused as unreachable (EHOSTUNREACH); decided by the way back to 10.244.0.4, out of eth0, on-link, by " + main,
		},
		{
			name:    "refused by newer kernels is refused",
			answers: map[fib.Query]fib.Answer{forged: {Err: unix.EINVAL}},
		},
		{
			name:    "not forged, for this NIC answers the remote itself",
			answers: map[fib.Query]fib.Answer{forged: delivered(), back: {Route: leaving(net1, netip.Addr{}, 7300)}},
		},
		{
			name:    "not forged, for nobody answers the remote",
			answers: map[fib.Query]fib.Answer{forged: delivered(), back: {Err: unix.ENETUNREACH}},
		},
		{
			name:    "not told whether it is forged: it is asked",
			answers: map[fib.Query]fib.Answer{forged: {Err: unix.ENETUNREACH}, back: {Err: lost}},
			kind:    state.Asymmetric,
			want:    spoofText + "refused as unreachable (ENETUNREACH); decided by the way back to 10.244.0.4, " + lost.Error(),
		},
		{
			name:    "lost, which needs no explanation",
			answers: map[fib.Query]fib.Answer{inward: {Err: lost}},
			kind:    state.Asymmetric,
			want:    inText + lost.Error(),
		},
		{
			name:    "an error of the way there and not of the kernel's routing",
			answers: map[fib.Query]fib.Answer{outward: {Err: lost}},
			kind:    state.Asymmetric,
			want:    outText + lost.Error(),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, pair(), `"rpFilter": "strict"`, resultOf)
			if tc.lost != nil {
				s.seen.Rules = slices.DeleteFunc(s.seen.Rules, tc.lost)
			}
			s.seen.Rules = append(slices.Clone(tc.rules), s.seen.Rules...)
			slices.SortStableFunc(s.seen.Rules, byPriority)
			k := scripted(t, s)
			for q, a := range tc.answers {
				k.answers[q] = a
			}
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			wrong := s.check(k)
			if diff := cmp.Diff(want, lines(wrong.Details()), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("deviations (-want +got):\n%s", diff)
			}
			for _, d := range wrong {
				if d.Kind != tc.kind {
					t.Errorf("kind %d, want %d", d.Kind, tc.kind)
				}
			}
		})
	}
}

// TestForgedOfSeveral has one of two other NICs answer its remote, and no forged packet
// refused: only those for that NIC are forged.
func TestForgedOfSeveral(t *testing.T) {
	remotes := map[string]string{"eth0": "10.244.0.4", "net2": "10.40.0.4"}
	locals := map[string]string{"eth0": "10.244.0.5", "net2": "10.40.0.5"}
	for answering, idle := range map[string]string{"eth0": "net2", "net2": "eth0"} {
		s := newSite(t, append(pair(), nic{"net2", "10.40.0.5/24"}), `"rpFilter": "strict"`, resultOf)
		k := scripted(t, s)
		for name := range remotes {
			k.answers[fib.Query{To: ip(locals[name]), From: ip(remotes[name]), IIF: 3}] = delivered()
		}
		k.answers[fib.Query{To: ip(remotes[idle]), From: ip(locals[idle])}] = fib.Answer{Route: leaving(device{Index: 3}, netip.Addr{}, 7300)}
		wrong := s.check(k)
		if want := "forged packets from " + remotes[answering] + " for " + answering; len(wrong) != 1 || !strings.HasPrefix(wrong[0].What, want) {
			t.Errorf("where %s answers: want %s, got:\n%s", answering, want, wrong.Details())
		}
	}
}

// TestWayBackRefused has the way back refused as well, which then is what there
// is to show.
func TestWayBackRefused(t *testing.T) {
	s := newSite(t, pair(), "", `{"ips": [{"address": "10.20.30.5/24"}]}`)
	k := scripted(t, s)
	k.answers[fib.Query{To: ip(local), From: ip(gateway), IIF: 3}] = fib.Answer{Err: unix.EINVAL}
	k.answers[fib.Query{To: ip(gateway), From: ip(local)}] = fib.Answer{Err: unix.ENETUNREACH}
	want := lines(`
		packets from 10.20.30.5 to 10.20.30.1: want out of net1, on-link, got refused as unreachable (ENETUNREACH); decided by the rule "40015: from 10.20.30.5 unreachable proto 73"
		packets from 10.20.30.1 to 10.20.30.5 that arrive on net1: want delivered, got refused, cause not named by this kernel (EINVAL): most often the reverse-path filter; decided by the way back to 10.20.30.1, refused as unreachable (ENETUNREACH), by the rule "40015: from 10.20.30.5 unreachable proto 73"`)
	if diff := cmp.Diff(want, lines(s.check(k).Details())); diff != "" {
		t.Errorf("deviations (-want +got):\n%s", diff)
	}
}

// TestEveryDeviation has the kernel answer everything wrongly: each wrong answer
// is told, none twice.
func TestEveryDeviation(t *testing.T) {
	s := newSite(t, pair(), `"rpFilter": "strict"`, resultOf)
	k := scripted(t, s)
	for q := range k.answers {
		if q.IIF == 0 && q.From != ip("10.244.0.5") {
			k.answers[q] = fib.Answer{Err: unix.ENETUNREACH}
		} else if q.IIF != 0 {
			k.answers[q] = fib.Answer{Route: leaving(device{Index: 2}, netip.Addr{}, unix.RT_TABLE_MAIN)}
		}
	}
	var want, got []string
	for _, q := range s.questions() {
		want = append(want, q.what(q.flow))
	}
	for _, d := range s.check(k) {
		got = append(got, d.What)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-questions +deviations):\n%s", diff)
	}
}
