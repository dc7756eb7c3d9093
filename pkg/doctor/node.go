package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/record"
)

func (p Patient) capabilities(context.Context) []Finding {
	f := Finding{Test: "capabilities", Verdict: OK, Found: "CAP_NET_ADMIN and CAP_SYS_ADMIN"}
	if err := kernel.Capable(); err != nil {
		f.Verdict, f.Found = Problem, err.Error()
		f.Remedy = "Run this as root, in no container that drops capabilities: tests that need them may say more then."
	}
	return []Finding{f}
}

func (p Patient) dataDirs(context.Context) []Finding {
	var out []Finding
	for _, dir := range p.Node.DataDirs {
		out = append(out, judgeDataDir(dir))
	}
	return out
}

// judgeDataDir asks as the plugin does: for a directory in which only this user can write.
func judgeDataDir(dir string) Finding {
	f := Finding{Test: "records", Verdict: OK, Found: dir + " takes records, and only this user can write there"}
	store := record.NewStore(dir)
	if _, err := store.Load("none"); err != nil { // of no namespace: looks at the directory alone
		f.Verdict, f.Found = Problem, err.Error()
		f.Remedy = fmt.Sprintf("symroute acts on no record there: chown root:root %[1]s; chmod 0700 %[1]s. Remove what you do not know.", dir)
		return f
	}
	if err := store.Usable(); err != nil {
		f.Verdict, f.Found = Problem, err.Error()
		f.Remedy = "ADD fails without a record (code 5): make the directory writable, or set \"dataDir\" of the networks to one that is."
		return f
	}
	if _, err := store.List(); err != nil {
		f.Verdict, f.Found = Warning, strings.ReplaceAll(err.Error(), "\n", "; ")
		f.Remedy = "symroute leaves these files out. DEL of their attachments takes rules and routes back, but neither settings nor defaults."
	}
	return f
}

// leftovers are records and locks of pods that have ended without a DEL.
func (p Patient) leftovers(context.Context) []Finding {
	f := Finding{Test: "leftovers", Verdict: OK, Found: "no records and no locks of pods that are gone"}
	pods, _ := p.Node.Pods() // dataDirs says what cannot be read
	var gone []string
	locks := map[string]bool{} // that pods may have
	for _, pod := range pods {
		locks[kernel.LockName(identityOf(pod))] = true
		if len(pod.Attachments) > 0 && !pod.Alive() {
			gone = append(gone, pod.String())
		}
	}
	idle := 0
	for _, dir := range p.Node.DataDirs {
		entries, _ := os.ReadDir(dir) // judgeDataDir says what is wrong with it
		for _, e := range entries {
			if lock, ok := strings.CutSuffix(e.Name(), ".lock"); ok && !locks[lock] {
				idle++
			}
		}
	}
	if len(gone) > 0 || idle > 0 {
		f.Verdict, f.Found = Warning, left(gone, idle)
		f.Remedy = "They do no harm, and are gone after a reboot. GC of CNI 1.1 removes them, if the runtime calls it. If there are many,\n" +
			"look in the runtime's log why DEL was not called, or failed. Name each \"dataDir\" of the networks by --data-dir."
	}
	return []Finding{f}
}

// identityOf is that of a pod's namespace. Of a network whose "dataDir" nobody told there are locks without records.
func identityOf(p node.Pod) string {
	if p.Identity != "" {
		return p.Identity
	}
	ns, err := kernel.Enter(p.Netns)
	if err != nil {
		return ""
	}
	defer ns.Close() //nolint:errcheck // it was only looked at
	identity, err := ns.Identity(p.ContainerID)
	if err != nil {
		return ""
	}
	return identity
}

// left says what is left, with some names.
func left(gone []string, locks int) string {
	const few = 5
	var parts []string
	if n := len(gone); n > 0 {
		names := strings.Join(gone[:min(n, few)], ", ")
		if n > few {
			names += fmt.Sprintf(" and %d more", n-few)
		}
		verb := "are"
		if n == 1 {
			verb = "is"
		}
		parts = append(parts, fmt.Sprintf("records of %s that %s gone (%s)", count(n, "pod"), verb, names))
	}
	if locks > 0 {
		parts = append(parts, count(locks, "lock")+" of which no record is known")
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// patience is how long a program may take to say its version.
const patience = 5 * time.Second

// plugin is the one that the runtime would run.
func (p Patient) plugin(ctx context.Context) []Finding {
	path, ok := p.find("symroute")
	if !ok {
		return []Finding{{
			Test: "plugin", Verdict: Problem, Found: "no symroute in " + strings.Join(p.BinDirs, ", "),
			Remedy: "Install it there, or say with --bin-dir where the runtime looks (containerd: bin_dir, CRI-O: plugin_dirs).",
		}}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return []Finding{{
			Test: "plugin", Verdict: Problem, Found: fmt.Sprintf("%s does not run: %v", path, err),
			Remedy: "Install the executable for this machine's architecture, with mode 0755.",
		}}
	}
	return []Finding{judgeVersion(path, string(out), p.Release)}
}

// find is the first executable of a name in the directories of the runtime.
func (p Patient) find(name string) (string, bool) {
	for _, dir := range p.BinDirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, true
		}
	}
	return "", false
}

// judgeVersion compares what the plugin calls itself with the tool's release.
func judgeVersion(path, says, release string) Finding {
	installed, ok := strings.CutPrefix(strings.TrimSpace(says), "CNI plugin symroute ")
	f := Finding{Test: "plugin", Verdict: OK, Found: fmt.Sprintf("%s is symroute %s, as this program", path, installed)}
	switch {
	case !ok:
		f.Verdict, f.Found = Problem, fmt.Sprintf("%s is something else: its version is %q", path, strings.TrimSpace(says))
		f.Remedy = "Install symroute there."
	case installed != release:
		f.Verdict, f.Found = Warning, fmt.Sprintf("%s is symroute %s, this program %s", path, installed, release)
		f.Remedy = "Use the symroutectl of the plugin's release: what it says may not be true of another one."
	}
	return f
}

// networks are those of the runtime. NetworkAttachmentDefinitions, which are in the API server, are not looked at.
func (p Patient) networks(context.Context) []Finding {
	all, err := node.Networks(p.ConfDir)
	if err != nil {
		return []Finding{{
			Test: "networks", Verdict: Warning, Found: err.Error(),
			Remedy: "Say with --conf-dir where the runtime looks for networks.",
		}}
	}
	var out []Finding
	var with []string
	for _, n := range all {
		if n.Has("symroute") {
			with = append(with, n.Name)
		}
		out = append(out, p.judgeNetwork(n)...)
	}
	found := fmt.Sprintf("%s in %s", count(len(all), "network"), p.ConfDir)
	if len(with) > 0 {
		found += ", with symroute: " + strings.Join(with, ", ")
	} else {
		found += ", none with symroute; NetworkAttachmentDefinitions are not looked at"
	}
	return append([]Finding{{Test: "networks", Verdict: OK, Found: found}}, out...)
}

// judgeNetwork looks for what is missing, and for what does the same as symroute.
func (p Patient) judgeNetwork(n node.Network) []Finding {
	test := "network " + cmp.Or(n.Name, n.File)
	if n.Err != nil {
		return []Finding{{
			Test: test, Verdict: Warning, Found: fmt.Sprintf("%s cannot be read: %v", n.File, n.Err),
			Remedy: "The runtime does not take it either: repair or remove it.",
		}}
	}
	var out []Finding
	for _, plugin := range n.Plugins {
		if _, ok := p.find(plugin.Type); !ok && plugin.Type != "symroute" {
			out = append(out, Finding{
				Test: test, Verdict: Warning, Found: fmt.Sprintf("%s names the plugin %q, which is not in %s", n.File, plugin.Type, strings.Join(p.BinDirs, ", ")),
				Remedy: "Install it, or say with --bin-dir where the runtime looks.",
			})
		}
		out = append(out, judgeNeighbour(test, n, plugin)...)
	}
	return out
}

// judgeNeighbour: sbr makes rules and tables for the same addresses, and tuning writes the settings that symroute does.
func judgeNeighbour(test string, n node.Network, plugin node.Plugin) []Finding {
	verdict, beside := Warning, "Pods that have this network and one with symroute get both"
	if n.Has("symroute") {
		verdict, beside = Problem, "They work against one another"
	}
	if plugin.Type == "sbr" {
		return []Finding{{
			Test: test, Verdict: verdict, Found: n.File + " has sbr, which makes rules and tables for addresses as symroute does",
			Remedy: beside + ": replace sbr by symroute (docs/comparison.md).",
		}}
	}
	i := slices.IndexFunc(plugin.Sysctls, func(key string) bool { return strings.HasSuffix(key, "rp_filter") })
	if plugin.Type != "tuning" || i < 0 {
		return nil
	}
	return []Finding{{
		Test: test, Verdict: verdict, Found: fmt.Sprintf("%s has tuning, which writes %s as symroute does", n.File, plugin.Sysctls[i]),
		Remedy: beside + ": take the key away, and set \"rpFilter\" of symroute.",
	}}
}

// cache is where libcni remembers attachments: pods without symroute are known from there, and names of pods.
func (p Patient) cache(context.Context) []Finding {
	f := Finding{Test: "cache of libcni", Verdict: OK, Found: p.Node.CacheDir + " can be read"}
	_, err := os.ReadDir(filepath.Join(p.Node.CacheDir, "results"))
	if err == nil {
		_, err = node.Node{CacheDir: p.Node.CacheDir}.Pods()
	}
	if err != nil {
		f.Verdict, f.Found = Warning, err.Error()
		f.Remedy = "Pods without symroute can be named by --netns alone. Say with --cni-cache-dir where the runtime has the cache."
	}
	return []Finding{f}
}

func (p Patient) iproute2(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "-V").Output()
	if err != nil {
		return []Finding{{
			Test: "iproute2", Verdict: Warning, Found: fmt.Sprintf("ip does not run: %v", err),
			Remedy: "Only \"symroutectl bundle\" needs it, and you, to look yourself: install iproute2.",
		}}
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), ", ")
	return []Finding{{Test: "iproute2", Verdict: OK, Found: version}}
}
