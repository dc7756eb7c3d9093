// Package preview says what ADD would do, as commands that do the same, for a pod that is there or for one
// that is imagined.
package preview

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/pod"
)

// Command is one command for a shell.
type Command struct {
	// Comment says what it is for, where that is not what the command before is for.
	Comment string `json:"comment,omitempty"`
	Text    string `json:"command"`
}

// Commands are those that do what Add would do. They are to be run in the pod's network namespace, in
// their order.
func Commands(p pod.Preview) []Command {
	n := namesOf(p)
	out := make([]Command, len(p.Changes))
	last := ""
	for i, c := range p.Changes {
		text, lost := n.command(c)
		comment := purpose(c)
		if comment == last {
			comment = ""
		} else {
			last = comment
		}
		if lost {
			comment = strings.TrimPrefix(comment+"; ", "; ") + "the route has attributes that this line leaves out"
			last = ""
		}
		out[i] = Command{comment, text}
	}
	return out
}

// names are those of devices, by index.
type names map[int]string

func namesOf(p pod.Preview) names {
	n := names{}
	if p.Seen != nil {
		for _, l := range p.Seen.Links {
			n[l.Index] = l.Name
		}
	}
	for _, c := range p.Changes {
		if made, ok := c.(change.MakeLink); ok {
			n[made.Index] = made.Name
		}
	}
	return n
}

// command is the command for a change. It has lost something where ip(8) has no words for it.
func (n names) command(c change.Change) (text string, lost bool) {
	switch c := c.(type) {
	case change.AddRule:
		return rule("add", c.Rule), c.Rule.Other != ""
	case change.DelRule:
		return rule("del", c.Rule), c.Rule.Other != ""
	case change.AddRoute:
		return n.route("add", c.Route)
	case change.DelRoute:
		return n.route("del", c.Route)
	case change.ReplaceRoute:
		return n.route("replace", c.Route)
	case change.AddToMain:
		return n.route("append", c.Route)
	case change.DelFromMain:
		text, _ := n.route("del", c.Route)
		return text, false // it is found without
	case change.Set:
		return words("sysctl", "-w", fib.SettingPath(c.Device, c.Key)+"="+strconv.Itoa(c.Value)), false
	case change.AddAddress:
		return n.address("add", c.Address), false
	case change.DelAddress:
		return n.address("del", c.Address), false
	case change.MakeLink:
		return makeLink(c), false
	case change.DelLink:
		return words("ip", "link", "del", "dev", c.Name), false
	case change.SetLink:
		state := "down"
		if c.Up {
			state = "up"
		}
		return words("ip", "link", "set", "dev", c.Name, state), false
	}
	return "# " + c.String(), true
}

// makeLink makes a device, unless the kernel does so itself when it loads the module for the first
// (ip_tunnel_init_net).
func makeLink(c change.MakeLink) string {
	add := words("ip", "link", "add", "name", c.Name, "type", c.Kind)
	if c.Name == "tunl0" || c.Name == "ip6tnl0" {
		return add + " || " + words("ip", "link", "show", "dev", c.Name)
	}
	return add
}

// rule is a command about a rule (ip-rule(8)).
func rule(verb string, r fib.Rule) string {
	args := ip(r.Family, "rule", verb)
	if r.Inverted {
		args = append(args, "not")
	}
	args = append(args, "from", "all")
	if r.From.IsValid() {
		args[len(args)-1] = fib.PrefixText(r.From)
	}
	if r.To.IsValid() {
		args = append(args, "to", fib.PrefixText(r.To))
	}
	if r.TOS != 0 {
		args = append(args, "tos", fmt.Sprintf("%#x", r.TOS))
	}
	if r.IIF != "" {
		args = append(args, "iif", r.IIF)
	}
	if r.OIF != "" {
		args = append(args, "oif", r.OIF)
	}
	args = append(args, "priority", number(r.Priority))
	args = append(args, r.Action.String())
	switch r.Action {
	case fib.Lookup:
		args = append(args, fib.TableText(r.Table))
	case fib.Goto:
		args = append(args, number(r.Target))
	case fib.Nop, fib.Unreachable: // the word is all
	}
	return words(append(args, protocol(r.Protocol)...)...)
}

// route is a command about a route (ip-route(8)).
func (n names) route(verb string, r fib.Route) (text string, lost bool) {
	args := ip(r.Family, "route", verb)
	if r.Type != unix.RTN_UNICAST {
		args = append(args, r.Type.String())
	}
	args = append(args, "default")
	if r.Dst.Bits() > 0 {
		args[len(args)-1] = fib.PrefixText(r.Dst)
	}
	if r.From.IsValid() {
		args = append(args, "from", r.From.String())
	}
	if r.TOS != 0 {
		args = append(args, "tos", fmt.Sprintf("%#x", r.TOS))
	}
	lost = r.Other != "" || r.OtherMetrics != "" || r.Expires
	switch {
	case r.NexthopID != 0:
		args = append(args, "nhid", number(r.NexthopID))
	case len(r.Hops) == 1:
		args = append(args, n.hop(r.Family, r.Hops[0])...)
	}
	args = append(args, attributes(verb, r)...)
	for _, h := range r.Hops {
		lost = lost || h.Other != ""
		if len(r.Hops) > 1 && r.NexthopID == 0 {
			args = append(append(args, "nexthop"), n.hop(r.Family, h)...)
			args = append(args, "weight", strconv.Itoa(max(h.Weight, 1)))
		}
	}
	return words(args...), lost
}

func attributes(verb string, r fib.Route) []string {
	var args []string
	if r.Table != unix.RT_TABLE_MAIN && r.Table != unix.RT_TABLE_UNSPEC {
		args = append(args, "table", fib.TableText(r.Table))
	}
	if verb != "del" || r.Family == fib.V4 || r.Table != unix.RT_TABLE_MAIN { // see kernel.delFromMain
		args = append(args, protocol(r.Protocol)...)
	}
	if r.Family == fib.V4 && r.Type == unix.RTN_UNICAST {
		args = append(args, scope(r)...)
	}
	if r.PrefSrc.IsValid() {
		args = append(args, "src", r.PrefSrc.String())
	}
	for _, a := range []struct {
		key    string
		number uint32
	}{{"metric", r.Metric}, {"mtu", r.MTU}, {"advmss", r.AdvMSS}} {
		if a.number != 0 {
			args = append(args, a.key, number(a.number))
		}
	}
	switch r.Pref { // RFC 4191, 2.1
	case 1:
		args = append(args, "pref", "high")
	case 3:
		args = append(args, "pref", "low")
	}
	return args
}

// scope is that of an IPv4 route, unless ip(8) chooses it by itself: link without a gateway, else global.
func scope(r fib.Route) []string {
	usual := fib.Scope(unix.RT_SCOPE_UNIVERSE)
	if len(r.Gateways()) == 0 {
		usual = unix.RT_SCOPE_LINK
	}
	if r.Scope == usual {
		return nil
	}
	return []string{"scope", r.Scope.String()}
}

func (n names) hop(f fib.Family, h fib.Hop) []string {
	var args []string
	if h.Gateway.IsValid() {
		args = append(args, "via")
		if fib.FamilyOf(h.Gateway) != f {
			args = append(args, "inet6")
		}
		args = append(args, h.Gateway.String())
	}
	if dev := n.of(h); dev != "" {
		args = append(args, "dev", dev)
	}
	if h.OnLink {
		args = append(args, "onlink")
	}
	return args
}

func (n names) of(h fib.Hop) string {
	if name, known := n[h.Index]; known {
		return name
	}
	return h.Dev
}

// address is a command about an address, as wire.EncodeAddress writes it.
func (n names) address(verb string, a fib.Address) string {
	args := []string{"ip", "address", verb, a.Prefix.String(), "dev", n[a.Index]}
	if verb == "del" {
		return words(args...)
	}
	args = append(args, "scope", a.Scope.String())
	if a.Prefix.Addr().Is6() {
		args = append(args, "nodad", "noprefixroute")
	}
	if a.Deprecated {
		args = append(args, "preferred_lft", "0")
	}
	return words(args...) // not who configured it: iproute2 before 6.3 has no word for that
}

func ip(f fib.Family, args ...string) []string {
	if f == fib.V6 {
		return append([]string{"ip", "-6"}, args...)
	}
	return append([]string{"ip"}, args...)
}

func protocol(p uint8) []string {
	switch p {
	case unix.RTPROT_UNSPEC:
		return nil
	case unix.RTPROT_KERNEL:
		return []string{"proto", "kernel"}
	case unix.RTPROT_BOOT:
		return []string{"proto", "boot"}
	case unix.RTPROT_STATIC:
		return []string{"proto", "static"}
	case unix.RTPROT_RA:
		return []string{"proto", "ra"}
	}
	return []string{"proto", strconv.Itoa(int(p))}
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// words joins words for a shell, quoted where they have to be: devices may be called nearly anything.
func words(list ...string) string {
	quoted := slices.Clone(list)
	for i, w := range quoted {
		if w == "" || strings.ContainsFunc(w, special) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// special says whether a character may mean something to a shell.
func special(r rune) bool {
	plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=:,./@%", r)
	return !plain
}
