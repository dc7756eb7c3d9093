package plan_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// This file reads pods, rules and routes from text as iproute2 would print
// them, so that tests can be read by those who know iproute2.

// parsePod reads a pod. A line is one of
//
//	eth0 rp_filter=1 down      a NIC, with settings that differ from a new one's
//	10.244.0.5/24 tentative    an address of the NIC above ("lo" alone goes back to lo)
//	-4 route default via ...   a route, of main unless it names a table
//	-6 rule 100: from ...      a rule beside those that every pod has
//	no -4 rule 0: from ...     one of those that is missing here, or such a route
//	rp_filter all=1 default=2  the settings that belong to no device
//
// As the kernel does it, lo is there, and each address brings its connected
// route, each NIC with IPv6 that of fe80::/64.
func parsePod(t *testing.T, text string) *fib.Snapshot {
	t.Helper()
	p := podParser{t: t, seen: &fib.Snapshot{Links: []fib.Link{{Index: 1, Name: "lo", Up: true, Loopback: true, HasIPv4: true, HasIPv6: true, IPv6: true}}}}
	for _, line := range []string{
		"-4 rule 0: from all lookup local",
		"-4 rule 32766: from all lookup main",
		"-4 rule 32767: from all lookup default",
		"-6 rule 0: from all lookup local",
		"-6 rule 32766: from all lookup main",
	} {
		p.line(line)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			p.line(line)
		}
	}
	slices.SortStableFunc(p.seen.Rules, byFamilyAndPriority)
	return p.seen
}

func byFamilyAndPriority(a, b fib.Rule) int {
	if a.Family != b.Family {
		return int(a.Family) - int(b.Family)
	}
	return int(a.Priority) - int(b.Priority)
}

type podParser struct {
	t    *testing.T
	seen *fib.Snapshot
}

func (p *podParser) line(line string) {
	p.t.Helper()
	words := strings.Fields(line)
	switch {
	case words[0] == "no" && words[2] == "rule":
		gone := parseRule(p.t, strings.TrimPrefix(line, "no "))
		p.seen.Rules = slices.DeleteFunc(p.seen.Rules, func(r fib.Rule) bool { return r == gone })
	case words[0] == "no":
		gone := parseRoute(p.t, p.seen, strings.TrimPrefix(line, "no "))
		p.seen.Routes = slices.DeleteFunc(p.seen.Routes, gone.Equal)
	case len(words) > 1 && words[1] == "rule":
		p.seen.Rules = append(p.seen.Rules, parseRule(p.t, line))
	case len(words) > 1 && words[1] == "route":
		p.seen.Routes = append(p.seen.Routes, parseRoute(p.t, p.seen, line))
	case words[0] == "rp_filter":
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			if key == "all" {
				p.seen.All.RPFilter = number(p.t, value)
			} else {
				p.seen.Default.RPFilter = number(p.t, value)
			}
		}
	case strings.Contains(words[0], "/"):
		p.address(words)
	default:
		p.link(words)
	}
}

func (p *podParser) link(words []string) {
	p.t.Helper()
	last := p.seen.Links[len(p.seen.Links)-1]
	l := fib.Link{Index: last.Index + 1, Name: words[0], Up: true, HasIPv4: true, HasIPv6: true, IPv6: true, Kind: "veth"}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "down":
			l.Up = false
		case "noipv4":
			l.HasIPv4 = false
		case "noipv6":
			l.IPv6 = false
		case "keep_addr_on_down":
			l.KeepAddrOnDown = number(p.t, value)
		case "master":
			master, ok := p.seen.Link(value)
			if !ok {
				p.t.Fatalf("%v: no such master", words)
			}
			l.Master = master.Index
		case "mtu":
			l.MTU = uint32(number(p.t, value))
		case "inside":
			l.Inside = uint8(number(p.t, value))
		case "kind":
			l.Kind = value
			l.AnyToAny = value == fib.KindIPIP || value == fib.KindIP6Tunnel
		case "vrf":
			l.Kind, l.VRFTable = "vrf", uint32(number(p.t, value))
		case "rp_filter":
			l.RPFilter = number(p.t, value)
		case "arp_ignore":
			l.ARPIgnore = number(p.t, value)
		case "arp_announce":
			l.ARPAnnounce = number(p.t, value)
		case "arp_filter":
			l.ARPFilter = number(p.t, value)
		default:
			p.t.Fatalf("%v: what is %q?", words, w)
		}
	}
	p.seen.Links = append(p.seen.Links, l)
	if l.IPv6 && l.Up {
		p.line("-6 route fe80::/64 dev " + l.Name + " proto kernel metric 256")
	}
}

func (p *podParser) address(words []string) {
	p.t.Helper()
	l := p.seen.Links[len(p.seen.Links)-1]
	prefix := netip.MustParsePrefix(words[0])
	p.seen.Addresses = append(p.seen.Addresses, fib.Address{Index: l.Index, Prefix: prefix, Tentative: slices.Contains(words, "tentative")})
	switch {
	case l.Loopback || !l.Up:
	case prefix.Addr().Is6():
		p.line(fmt.Sprintf("-6 route %s dev %s proto kernel metric 256", prefix.Masked(), l.Name))
	case !fib.IsHost(prefix):
		p.line(fmt.Sprintf("-4 route %s dev %s proto kernel scope link src %s", prefix.Masked(), l.Name, prefix.Addr()))
	}
}

// words reads a line word by word.
type words struct {
	t    *testing.T
	line string
	rest []string
}

func (w *words) more() bool { return len(w.rest) > 0 }

func (w *words) next() string {
	w.t.Helper()
	if len(w.rest) == 0 {
		w.t.Fatalf("%q: ends too early", w.line)
	}
	word := w.rest[0]
	w.rest = w.rest[1:]
	return word
}

func (w *words) number() uint32 { w.t.Helper(); return uint32(number(w.t, w.next())) }

// family reads the -4 or -6 and the object that a line starts with.
func (w *words) family(object string) fib.Family {
	w.t.Helper()
	f := fib.V4
	switch option := w.next(); option {
	case "-4":
	case "-6":
		f = fib.V6
	default:
		w.t.Fatalf("%q: starts with %q, not -4 or -6", w.line, option)
	}
	if got := w.next(); got != object {
		w.t.Fatalf("%q: is about a %s, not a %s", w.line, got, object)
	}
	return f
}

// parseRule reads a rule. Beside what records hold there may be a mark.
func parseRule(t *testing.T, line string) fib.Rule {
	t.Helper()
	text, ok := strings.CutPrefix(line, "-4 rule ")
	option := "-4 "
	if !ok {
		option = "-6 "
		if text, ok = strings.CutPrefix(line, "-6 rule "); !ok {
			t.Fatalf("%q: is no rule", line)
		}
	}
	if before, mark, ok := strings.Cut(text, " fwmark "); ok {
		mark, rest, _ := strings.Cut(mark, " ")
		text = fmt.Sprintf("%s other %x %s", before, "mark "+mark, rest)
	}
	var r fib.Rule
	if err := r.UnmarshalText([]byte(option + text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func parseRoute(t *testing.T, s *fib.Snapshot, line string) fib.Route {
	t.Helper()
	w := &words{t: t, line: line, rest: strings.Fields(line)}
	r := fib.Route{Family: w.family("route"), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST}
	dst := w.next()
	for name, kind := range map[string]fib.RouteType{
		"blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT, "throw": unix.RTN_THROW,
	} {
		if dst == name {
			r.Type, dst = kind, w.next()
			break
		}
	}
	if r.Dst = parsePrefix(t, dst); !r.Dst.IsValid() {
		r.Dst = r.Family.Any()
	}
	hop := fib.Hop{}
	for w.more() {
		switch word := w.next(); word {
		case "via":
			gateway := w.next()
			if gateway == "inet6" {
				gateway = w.next()
			}
			hop.Gateway = netip.MustParseAddr(gateway)
		case "dev":
			hop.Index, hop.Dev = device(t, s, w.next())
		case "onlink":
			hop.OnLink = true
		case "weight":
			hop.Weight = int(w.number())
		case "nexthop":
			if hop != (fib.Hop{}) {
				r.Hops = append(r.Hops, hop)
			}
			hop = fib.Hop{Weight: 1}
		default:
			setAttribute(t, &r, w, word)
		}
	}
	return complete(r, hop)
}

// complete adds what iproute2 and the kernel add by themselves.
func complete(r fib.Route, last fib.Hop) fib.Route {
	if last != (fib.Hop{}) {
		r.Hops = append(r.Hops, last)
	}
	if r.Family == fib.V6 && r.Metric == 0 {
		r.Metric = 1024
	}
	if r.Family == fib.V4 && len(r.Gateways()) == 0 && r.Type == unix.RTN_UNICAST {
		r.Scope = unix.RT_SCOPE_LINK
	}
	return r
}

func setAttribute(t *testing.T, r *fib.Route, w *words, word string) {
	t.Helper()
	switch word {
	case "table":
		r.Table = parseTable(t, w.next())
	case "proto":
		r.Protocol = parseProtocol(t, w.next())
	case "scope":
		if scope := w.next(); scope != "link" {
			t.Fatalf("%q: what is scope %q?", w.line, scope)
		}
	case "src":
		r.PrefSrc = netip.MustParseAddr(w.next())
	case "metric":
		r.Metric = w.number()
	case "mtu":
		r.MTU = w.number()
	case "advmss":
		r.AdvMSS = w.number()
	case "pref":
		r.Pref = map[string]uint8{"high": 1, "medium": 0, "low": 3}[w.next()]
	case "nhid":
		r.NexthopID = w.number()
	case "expires":
		r.Expires = true
	case "tos":
		r.TOS = uint8(w.number())
	case "window": // a metric that is carried, but not modelled
		raw := binary.NativeEndian.AppendUint16(nil, 8) // struct rtattr: length, type, value
		raw = binary.NativeEndian.AppendUint16(raw, unix.RTAX_WINDOW)
		r.OtherMetrics = fib.Opaque(binary.NativeEndian.AppendUint32(raw, w.number()))
	default:
		t.Fatalf("%q: what is %q?", w.line, word)
	}
}

func device(t *testing.T, s *fib.Snapshot, name string) (index int, _ string) {
	t.Helper()
	l, ok := s.Link(name)
	if !ok {
		t.Fatalf("no such device: %s", name)
	}
	return l.Index, name
}

// parsePrefix reads a prefix or an address; the result for "all" and "default"
// is not valid.
func parsePrefix(t *testing.T, s string) netip.Prefix {
	t.Helper()
	if s == "all" || s == "default" {
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return fib.Host(a)
	}
	return netip.MustParsePrefix(s)
}

func parseTable(t *testing.T, s string) uint32 {
	t.Helper()
	switch s {
	case "local":
		return unix.RT_TABLE_LOCAL
	case "main":
		return unix.RT_TABLE_MAIN
	case "default":
		return unix.RT_TABLE_DEFAULT
	}
	return uint32(number(t, s))
}

func parseProtocol(t *testing.T, s string) uint8 {
	t.Helper()
	switch s {
	case "kernel":
		return unix.RTPROT_KERNEL
	case "boot":
		return unix.RTPROT_BOOT
	case "static":
		return unix.RTPROT_STATIC
	case "ra":
		return unix.RTPROT_RA
	}
	return uint8(number(t, s))
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		t.Fatalf("%q is no number: %v", s, err)
	}
	return int(n)
}

// lines trims the lines of a text, so that tests can indent it.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
