package walk

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Names are what the things of a walk are called on one machine.
type Names struct {
	// Pod and Wire are namespaces of iproute2. End begins the names of the NICs'
	// other ends in Wire.
	Pod, Wire, End string
	// Netns is the path of the pod's namespace.
	Netns   string
	DataDir string
}

// ContainerID is the pod's in all walks.
const ContainerID = "walk"

// Begin is what a new namespace is given.
func (w Walk) Begin() []Line {
	return []Line{
		{Setting: true, Text: fmt.Sprintf("net/ipv4/conf/all/rp_filter=%d", w.All)},
		{Setting: true, Text: fmt.Sprintf("net/ipv4/conf/default/rp_filter=%d", w.Default)},
	}
}

// Lines is what a step that is others' doing consists of.
func (w Walk) Lines(s Step, names Names) []Line {
	n, ok := w.NIC(s.NIC)
	switch {
	case s.Verb == Foreign, s.Verb == Router:
		return s.Lines
	case !ok:
		return nil
	}
	switch s.Verb {
	case Plug:
		end := fmt.Sprintf("%s%d", names.End, s.Index)
		lines := []Line{
			{Wire: true, Text: fmt.Sprintf("link add %s type veth peer name %s address 02:00:00:00:%02x:%02x netns %s",
				end, n.Name, s.Index>>8, s.Index&0xff, names.Pod)},
			{Wire: true, Text: "link set " + end + " up"},
		}
		for _, setting := range n.Settings {
			lines = append(lines, Line{Setting: true, Text: "net/ipv4/conf/" + n.Name + "/" + setting})
		}
		lines = append(lines, Line{Text: "link set " + n.Name + " up"})
		for _, a := range n.Addresses {
			lines = append(lines, Line{Text: addressAdd(a.Prefix, n.Name)})
		}
		return append(lines, n.routes()...)
	case NoCarrier:
		return []Line{{Wire: true, Text: fmt.Sprintf("link set %s%d down", names.End, s.Index)}}
	case Carrier:
		return []Line{{Wire: true, Text: fmt.Sprintf("link set %s%d up", names.End, s.Index)}}
	case Unplug:
		return []Line{{Text: "link del " + n.Name}}
	case Down:
		return []Line{{Text: "link set " + n.Name + " down"}}
	case Up:
		lines := []Line{{Text: "link set " + n.Name + " up"}}
		for _, a := range n.Addresses {
			if a.Prefix.Addr().Is6() { // the kernel drops them with the carrier (addrconf_ifdown)
				lines = append(lines, Line{Text: addressAdd(a.Prefix, n.Name)})
			}
		}
		if s.Back {
			lines = append(lines, n.routes()...)
		}
		return lines
	case Foreign, Router, Flush, Lose, Damage, Afresh, Add, Del, Check, GC:
	}
	return nil
}

// addressAdd configures an address, usable at once.
func addressAdd(p netip.Prefix, device string) string {
	line := fmt.Sprintf("addr add %s dev %s", p, device)
	if p.Addr().Is6() {
		line += " nodad"
	}
	return line
}

// routes are those of IPAM: a default of IPv4 comes before the others, one of IPv6
// becomes one route with them.
func (n NIC) routes() []Line {
	var lines []Line
	for _, dst := range n.Routes {
		if gateway := n.Gateway(dst.Addr().Is4()); gateway.IsValid() {
			lines = append(lines, Line{Text: fmt.Sprintf("route add %s via %s dev %s", dst, gateway, n.Name)})
		}
	}
	if !n.Defaults {
		return lines
	}
	for _, four := range []bool{true, false} {
		gateway := n.Gateway(four)
		if !gateway.IsValid() {
			continue
		}
		text := fmt.Sprintf("route prepend default via %s dev %s", gateway, n.Name)
		if four && n.Metric > 0 {
			text += fmt.Sprintf(" metric %d", n.Metric)
		}
		if !four && n.MTU > 0 {
			text += fmt.Sprintf(" mtu %d", n.MTU)
		}
		lines = append(lines, Line{Text: text})
	}
	return lines
}

// Network is the network that a NIC attaches the pod to.
func Network(nic string) string { return "net-of-" + nic }

// Stdin is what symroute is told on its standard input.
func (w Walk) Stdin(s Step, keys map[string]any, names Names) []byte {
	conf := map[string]any{
		"cniVersion": "1.1.0", "name": Network(s.NIC), "type": "symroute", "dataDir": names.DataDir,
	}
	for key, value := range keys {
		conf[key] = value
	}
	if n, ok := w.NIC(s.NIC); ok {
		conf["prevResult"] = n.result(names)
	}
	return encode(conf)
}

// GCStdin is what the garbage collection of a network is told, with the NICs whose
// attachments are in use.
func GCStdin(network string, inUse []string, names Names) []byte {
	valid := []map[string]string{}
	for _, nic := range inUse {
		valid = append(valid, map[string]string{"containerID": ContainerID, "ifname": nic})
	}
	return encode(map[string]any{
		"cniVersion": "1.1.0", "name": network, "type": "symroute", "dataDir": names.DataDir,
		"cni.dev/valid-attachments": valid,
	})
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // only what JSON can say is ever put in
	}
	return text
}

// result is what the plugins before symroute say about the NIC.
func (n NIC) result(names Names) map[string]any {
	ips, routes := []map[string]any{}, []map[string]any{}
	for _, a := range n.Addresses {
		ip := map[string]any{"address": a.Prefix.String(), "interface": 0}
		if a.Gateway.IsValid() {
			ip["gateway"] = a.Gateway.String()
		}
		ips = append(ips, ip)
	}
	for _, dst := range n.Routes {
		if gateway := n.Gateway(dst.Addr().Is4()); gateway.IsValid() {
			routes = append(routes, map[string]any{"dst": dst.String(), "gw": gateway.String()})
		}
	}
	if n.Defaults {
		for _, four := range []bool{true, false} {
			if n.Gateway(four).IsValid() {
				routes = append(routes, map[string]any{"dst": map[bool]string{true: "0.0.0.0/0", false: "::/0"}[four]})
			}
		}
	}
	return map[string]any{
		"cniVersion": "1.1.0",
		"interfaces": []map[string]any{{"name": n.Name, "sandbox": names.Netns}},
		"ips":        ips,
		"routes":     routes,
	}
}

// FlushLine empties all source tables of a family.
func FlushLine(family int) Line {
	return Line{Text: fmt.Sprintf("-%d route flush table all proto 73", family)}
}

// Environ is what a runtime tells symroute besides.
func Environ(s Step, names Names) []string {
	env := []string{"CNI_COMMAND=" + string(s.Verb), "CNI_PATH=/opt/cni/bin"}
	if s.Verb != GC {
		env = append(env, "CNI_CONTAINERID="+ContainerID, "CNI_NETNS="+names.Netns, "CNI_IFNAME="+s.NIC)
	}
	return env
}

// Wrapper is the program that an invocation runs under, with its arguments.
func (k *Kill) Wrapper() []string {
	if k == nil {
		return nil
	}
	return []string{
		"strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null",
		"-e", "trace=" + k.Call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", k.Call, k.When),
	}
}

// String is a step in a few words.
func (s Step) String() string {
	text := string(s.Verb)
	if s.NIC != "" {
		text += " " + s.NIC
	}
	if len(s.Config) > 0 {
		text += " " + string(encode(s.Config))
	}
	for _, l := range s.Lines {
		text += " " + l.Text
	}
	if s.Kill != nil {
		text += fmt.Sprintf(", killed at %s %d", s.Kill.Call, s.Kill.When)
	}
	return text
}

// Script is the walk for a shell: root, iproute2, strace and a symroute in PATH are
// what it needs.
func (w Walk) Script() string {
	names := Names{Pod: "pod", Wire: "wire", End: "far", Netns: "/run/netns/pod", DataDir: "/tmp/walk-data"}
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# -walk.seed=%d, shortened\n", w.Seed)
	b.WriteString("for ns in pod wire node; do ip netns add $ns; ip -n $ns link set lo up; done\n")
	b.WriteString("ip netns exec wire sysctl -qw net/ipv6/conf/default/disable_ipv6=1\n")
	b.WriteString("ip netns exec pod sysctl -qw net/ipv6/conf/default/accept_dad=0\n")
	for _, l := range w.Begin() {
		b.WriteString(l.shell(names))
	}
	keys := map[string]map[string]any{}
	for i, s := range w.Steps {
		fmt.Fprintf(&b, "\n# %d: %s %s\n", i+1, s.Verb, s.NIC)
		for _, l := range w.Lines(s, names) {
			b.WriteString(l.shell(names))
		}
		switch s.Verb {
		case Add:
			keys[s.NIC] = s.Config
			fallthrough
		case Del, Check:
			command := strings.Join(append(s.Kill.Wrapper(), "symroute"), " ")
			fmt.Fprintf(&b, "ip netns exec node env %s %s <<'EOF'\n%s\nEOF\n",
				strings.Join(Environ(s, names), " "), command, w.Stdin(s, keys[s.NIC], names))
		case GC:
			b.WriteString("# garbage collection of every network, with all attachments that are in use\n")
		case Flush:
			b.WriteString(FlushLine(4).shell(names) + FlushLine(6).shell(names))
		case Lose:
			fmt.Fprintf(&b, "rm -f %s/*/*:%s:*.json\n", names.DataDir, s.NIC)
		case Damage:
			fmt.Fprintf(&b, "for f in %s/*/*:%s:*.json; do truncate -s $(($(stat -c %%s $f) / 2)) $f; done\n", names.DataDir, s.NIC)
		case Afresh:
			b.WriteString("# ADD of all attachments again; and then a pod like this one, where they are added for the first time\n")
		case Plug, Unplug, Down, Up, NoCarrier, Carrier, Router, Foreign:
		}
	}
	return b.String()
}

func (l Line) shell(names Names) string {
	ns := names.Pod
	if l.Wire {
		ns = names.Wire
	}
	if l.Setting {
		return fmt.Sprintf("ip netns exec %s sysctl -qw %s\n", ns, l.Text)
	}
	return fmt.Sprintf("ip -n %s %s\n", ns, l.Text)
}
