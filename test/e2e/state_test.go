package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/test/netlab"
)

// protocol marks everything that symroute puts into the kernel.
const protocol = "proto 73"

// ourRules is symroute's routing policy in one family ("-4", "-6"), one rule a
// line, as `ip rule` prints it but for runs of blanks.
func ourRules(t testing.TB, ns *netlab.NS, family string) []string {
	t.Helper()
	var rules []string
	for line := range strings.Lines(ns.IP(t, family, "rule")) {
		if line = strings.Join(strings.Fields(line), " "); strings.HasSuffix(line, protocol) {
			rules = append(rules, strings.TrimSuffix(line, " "+protocol))
		}
	}
	return rules
}

// rulesOf is what one family has, in the kernel's order, where a NIC with a table has these
// sources: addresses, whose ways are decided in a block behind main and default.
func rulesOf(nic, table string, sources ...string) []string {
	var decisions, lookups, refusals []string
	for _, source := range sources {
		decisions = append(decisions, "32765: from "+source+" goto 40000")
		lookups = append(lookups, "40012: from "+source+" lookup "+table)
		refusals = append(refusals, "40015: from "+source+" unreachable")
	}
	return slices.Concat(decisions, []string{"32765: from all oif " + nic + " goto 40000", "40000: from all nop"}, lookups, refusals,
		[]string{"49000: from all oif " + nic + " lookup " + table, "49002: from all oif " + nic + " lookup main"})
}

// assertRules compares the rules of one family, whatever the order of those with one priority,
// which are never in each other's way.
func assertRules(t testing.TB, ns *netlab.NS, family string, want []string) {
	t.Helper()
	assertLines(t, "rules (ip "+family+")", slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(ourRules(t, ns, family))))
}

// metrics is what IPv6 routes end with whether or not anybody asked for it.
var metrics = regexp.MustCompile(` metric (256|1024)\b| pref medium`)

// table is a routing table of one family, sorted, as `ip route` prints it but
// for runs of blanks and the IPv6 defaults. Routes of symroute lose their mark;
// others show theirs.
func table(t testing.TB, ns *netlab.NS, family, number string) []string {
	t.Helper()
	out, err := ns.Command("", "ip", family, "route", "show", "table", number)
	if err != nil {
		return nil // the kernel knows no such table
	}
	var routes []string
	for line := range strings.Lines(out) {
		line = strings.Join(strings.Fields(metrics.ReplaceAllString(line, "")), " ")
		routes = append(routes, strings.Replace(line, " "+protocol, "", 1))
	}
	slices.Sort(routes)
	return routes
}

// defaultRoutes is what main has for a default in one family, in the kernel's
// order.
func defaultRoutes(t testing.TB, ns *netlab.NS, family string) string {
	t.Helper()
	return ns.IP(t, family, "route", "show", "default", "table", "main")
}

// assertLines compares lines of text.
func assertLines(t testing.TB, what string, want, got []string) {
	t.Helper()
	if len(want) == 0 && len(got) == 0 {
		return
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// assertNothingOfOurs demands that no rule and no route carries symroute's mark.
func assertNothingOfOurs(t testing.TB, ns *netlab.NS) {
	t.Helper()
	if left := ns.Snapshot(t).Grep(protocol); len(left) != 0 {
		t.Errorf("symroute left behind:\n%s", strings.Join(left, "\n"))
	}
}

// assertEffective demands the reverse-path filter mode of a device.
func assertEffective(t testing.TB, ns *netlab.NS, device, want string) {
	t.Helper()
	if got := ns.EffectiveRPFilter(t, device); got != want {
		t.Errorf("effective rp_filter of %s is %s, want %s", device, got, want)
	}
}
