package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
)

// release is the kernel's, as "uname -r" has it.
func (p Patient) release() string {
	text, _ := os.ReadFile(filepath.Join(p.Proc, "sys/kernel/osrelease")) // without it nothing is known of the kernel
	return strings.TrimSpace(string(text))
}

func (p Patient) kernel(context.Context) []Finding { return []Finding{judgeKernel(p.release())} }

// judgeKernel: rules have had a protocol since Linux 4.17 (FRA_PROTOCOL), by which symroute tells its own; 5.10 is the
// oldest that it is tested with (docs/compatibility.md).
func judgeKernel(release string) Finding {
	f := Finding{Test: "kernel", Verdict: OK, Found: "Linux " + release}
	major, minor, ok := version(release)
	switch {
	case !ok:
		f.Verdict, f.Found = Warning, fmt.Sprintf("the kernel calls itself %q, which is no version", release)
		f.Remedy = "See with \"uname -r\" that it is Linux 5.10 or later."
	case before(major, minor, 4, 17):
		f.Verdict = Problem
		f.Remedy = "Install Linux 5.10 or later: before 4.17 a rule has no protocol, by which symroute tells its rules from others."
	case before(major, minor, 5, 10):
		f.Verdict = Warning
		f.Remedy = "Install Linux 5.10 or later: that is the oldest with which symroute is tested."
	}
	return f
}

// version reads the first two numbers of a release.
func version(release string) (major, minor int, ok bool) {
	fields := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(fields) < 2 || !strings.HasPrefix(release, fields[0]+"."+fields[1]) {
		return 0, 0, false
	}
	major, err := strconv.Atoi(fields[0])
	minor, err2 := strconv.Atoi(fields[1])
	return major, minor, err == nil && err2 == nil
}

func before(major, minor, thanMajor, thanMinor int) bool {
	return major < thanMajor || major == thanMajor && minor < thanMinor
}

// rules: without policy routing there is no symroute. IPv6 may be left out.
func (p Patient) rules(context.Context) []Finding {
	v4 := Finding{Test: "policy routing, IPv4", Verdict: OK, Found: "the kernel has it"}
	if err := kernel.HasRules(fib.V4); err != nil {
		v4.Verdict, v4.Found = Problem, err.Error()
		v4.Remedy = "Take a kernel with CONFIG_IP_MULTIPLE_TABLES=y."
	}
	v6 := Finding{Test: "policy routing, IPv6", Verdict: OK, Found: "the kernel has it"}
	if _, err := os.Stat(filepath.Join(p.Proc, "sys/net/ipv6")); err != nil {
		v6.Verdict, v6.Found = Warning, "this kernel runs without IPv6: pods have no IPv6 addresses, and symroute routes IPv4 alone"
		v6.Remedy = "If pods need IPv6, take \"ipv6.disable=1\" from the kernel's command line, or load the module ipv6."
	} else if err := kernel.HasRules(fib.V6); err != nil {
		v6.Verdict, v6.Found = Problem, err.Error()
		v6.Remedy = "Take a kernel with CONFIG_IPV6_MULTIPLE_TABLES=y."
	}
	return []Finding{v4, v6}
}

func (p Patient) cookies(context.Context) []Finding {
	f := Finding{Test: "namespace cookies", Verdict: OK, Found: "the kernel has them: a record is never taken for that of another pod"}
	has, err := kernel.HasCookies()
	switch {
	case err != nil:
		f.Verdict, f.Found = Warning, err.Error()
		f.Remedy = "symroute needs to ask for the cookie of a pod's namespace: look what forbids it."
	case !has:
		f.Verdict, f.Found = Warning, "the kernel has none (before Linux 5.14): records are found by inode and container ID"
		f.Remedy = "Nothing has to be done. Linux 5.14 or later knows a pod again if its runtime loses the container ID."
	}
	return []Finding{f}
}

// tunnels are for "lvs" with mode "tunnel" alone.
func (p Patient) tunnels(context.Context) []Finding {
	var out []Finding
	for _, t := range []struct{ module, family, device string }{{"ipip", "IPv4", "tunl0"}, {"ip6_tunnel", "IPv6", "ip6tnl0"}} {
		f := Finding{Test: "module " + t.module, Verdict: OK}
		has, where := p.module(t.module, t.device)
		f.Found = where
		if !has {
			f.Verdict = Warning
			f.Remedy = fmt.Sprintf("Only pods with \"lvs\" in mode \"tunnel\" and an %s VIP need it: install the kernel's module %s.", t.family, t.module)
		}
		out = append(out, f)
	}
	return out
}

// module says whether the kernel has a module, or can load it. The device is one that it makes in the node's network.
func (p Patient) module(name, device string) (has bool, where string) {
	for _, path := range []string{filepath.Join(p.Sys, "module", name), filepath.Join(p.Sys, "class/net", device)} {
		if _, err := os.Stat(path); err == nil {
			return true, "is loaded"
		}
	}
	dir := filepath.Join(p.Modules, p.release())
	for _, list := range []struct{ file, found string }{
		{"modules.builtin", "is built into the kernel"}, {"modules.dep", "can be loaded"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, list.file))
		if err == nil && lists(string(text), name) {
			return true, list.found
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return false, "is not loaded, and whether it can be is not known: there is no " + dir
	}
	return false, "is neither loaded nor in " + dir
}

// lists says whether a list of modules has one: a path in each line, before a colon if others follow. Files may be
// packed.
func lists(text, module string) bool {
	for line := range strings.Lines(text) {
		path, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(filepath.Base(path), ".ko")
		if strings.ReplaceAll(name, "-", "_") == module {
			return true
		}
	}
	return false
}

// drops are what the command of that name needs. BTF tells it where the kernel keeps what; the reasons are an enum there.
func (p Patient) drops(context.Context) []Finding {
	f := Finding{Test: "reasons of drops", Verdict: OK, Found: "the kernel tells why it drops a packet"}
	btf, err := os.ReadFile(filepath.Join(p.Sys, "kernel/btf/vmlinux"))
	switch {
	case err != nil:
		f.Verdict, f.Found = Warning, fmt.Sprintf("the kernel does not describe its types: %v", err)
		f.Remedy = "Only \"symroutectl drops\" needs it: take a kernel with CONFIG_DEBUG_INFO_BTF=y. Counters are there all the same."
	case !bytes.Contains(btf, []byte("\x00skb_drop_reason\x00")):
		f.Verdict, f.Found = Warning, "the kernel knows no reasons (before Linux 5.17)"
		f.Remedy = "Only \"symroutectl drops\" needs them: install Linux 5.17 or later. Counters are there all the same."
	}
	return []Finding{f}
}

// rpFilter is what new pods begin with. The kernel copies conf/all and conf/default of the first namespace into a new one
// (devinet_init_net), unless net.core.devconf_inherit_init_net says otherwise: 2, its own values, which are 0; 3, those
// of the namespace of whoever makes it (Documentation/admin-guide/sysctl/net.rst).
func (p Patient) rpFilter(context.Context) []Finding {
	read := func(path string) (int, error) {
		text, err := os.ReadFile(filepath.Join(p.Proc, "sys/net", path))
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(string(text)))
	}
	all, err := read("ipv4/conf/all/rp_filter")
	def, err2 := read("ipv4/conf/default/rp_filter")
	if err != nil || err2 != nil {
		return []Finding{{
			Test: "rp_filter of the node", Verdict: Warning, Found: fmt.Sprintf("cannot be read: %v", firstOf(err, err2)),
			Remedy: "Look into net.ipv4.conf.all.rp_filter and net.ipv4.conf.default.rp_filter yourself.",
		}}
	}
	inherit, err := read("core/devconf_inherit_init_net")
	if err != nil {
		inherit = 0 // older kernels have no choice
	}
	return []Finding{judgeRPFilter(all, def, inherit)}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func judgeRPFilter(all, def, inherit int) Finding {
	f := Finding{
		Test: "rp_filter of the node", Verdict: OK,
		Found: fmt.Sprintf("all=%d, default=%d: new pods begin with these; pods that run keep theirs", all, def),
	}
	switch {
	case inherit == 2:
		f.Found = fmt.Sprintf("all=%d, default=%d, but new pods begin with 0 (net.core.devconf_inherit_init_net=2)", all, def)
	case max(all, def) == 1: // what a device has then
		f.Verdict = Warning
		f.Remedy = "NICs with symroute get the mode of \"rpFilter\" all the same, by default loose. Other NICs of a pod (eth0) are strict:\n" +
			"they drop what is answered by another NIC. Name them in \"interfaces\", or set both keys to 2 on the node (loose).\n" +
			"Pods that run keep what they have."
	}
	return f
}
