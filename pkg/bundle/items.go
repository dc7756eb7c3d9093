package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// ofNode are the files about the node.
func (o Options) ofNode() []item {
	here := func(collect func() ([]byte, error)) ([]byte, error) { return collect() }
	version := []item{
		{"node/symroutectl.txt", "symroutectl version", func(context.Context) ([]byte, error) { return []byte(o.Version + "\n"), nil }},
		command("node/plugin.txt", here, filepath.Join(o.BinDir, "symroute"), "--version"),
		read("node/kernel.txt", here, "/proc/version"),
		command("node/iproute2.txt", here, "ip", "-V"),
		{
			"node/networks.txt", "names of the files in " + o.ConfDir + ", of their networks, and types of their plugins",
			func(context.Context) ([]byte, error) { return networks(o.ConfDir) },
		},
		{
			"node/pods.json", "pods that symroute and libcni remember",
			func(context.Context) ([]byte, error) { return pods(o.Node) },
		},
	}
	for i, dir := range o.Node.DataDirs {
		version = append(version, item{
			fmt.Sprintf("node/data-dir-%d.txt", i), "names, modes and sizes of what is below " + dir,
			func(context.Context) ([]byte, error) { return listing(dir) },
		})
	}
	return append(version, network("node", here)...)
}

// ofPod are the files about a pod.
func (o Options) ofPod(dir string, p node.Pod) []item {
	within := func(collect func() ([]byte, error)) ([]byte, error) { return inside(p.Netns, collect) }
	items := []item{{dir + "/check.txt", "the judgement of each attachment", func(context.Context) ([]byte, error) {
		return []byte(o.Check(p)), nil
	}}}
	for _, a := range p.Attachments {
		items = append(items, item{
			dir + "/record-" + safe(a.IfName+"-"+a.Network) + ".json", "the record below " + filepath.Join(a.DataDir, p.Identity),
			func(context.Context) ([]byte, error) { return indented(a.Attachment) },
		})
	}
	if !p.Alive() {
		return append(items, item{dir + "/gone.txt", "whether the pod is there", func(context.Context) ([]byte, error) {
			return fmt.Appendf(nil, "The pod is gone: its network namespace is not at %s any more.\n", p.Netns), nil
		}})
	}
	return append(items, network(dir, within)...)
}

// place is where something is collected: on a thread that is in a network namespace.
type place func(collect func() ([]byte, error)) ([]byte, error)

// inside collects in a pod's network namespace: what is started by the thread, or read by it, is of that.
func inside(path string, collect func() ([]byte, error)) ([]byte, error) {
	ns, err := kernel.Enter(path)
	if err != nil {
		return nil, err
	}
	data, err := collect()
	return data, errors.Join(err, ns.Close())
}

// network are the files about a network namespace.
func network(dir string, at place) []item {
	items := []item{
		command(dir+"/rules-4.txt", at, "ip", "-4", "-d", "rule", "show"),
		command(dir+"/rules-6.txt", at, "ip", "-6", "-d", "rule", "show"),
		command(dir+"/routes-4.txt", at, "ip", "-4", "-d", "route", "show", "table", "all"),
		command(dir+"/routes-6.txt", at, "ip", "-6", "-d", "route", "show", "table", "all"),
		command(dir+"/nexthops.txt", at, "ip", "-d", "nexthop", "show"),
		command(dir+"/links.txt", at, "ip", "-d", "-s", "-s", "link", "show"),
		command(dir+"/addresses.txt", at, "ip", "-d", "address", "show"),
		command(dir+"/neighbours.txt", at, "ip", "-s", "neighbour", "show"),
		command(dir+"/nft.txt", at, "nft", "list", "ruleset"),
		{dir + "/sysctls.txt", "/proc/sys/net/{ipv4,ipv6,core}, but what only root may read", func(context.Context) ([]byte, error) {
			return at(sysctls)
		}},
	}
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		if _, err := exec.LookPath(save); err == nil {
			items = append(items, command(dir+"/"+save+".txt", at, save, "-c"))
		}
	}
	for _, name := range []string{"netstat", "snmp", "snmp6", "sockstat", "sockstat6"} {
		// /proc/net is that of the process, whose first thread is elsewhere.
		items = append(items, read(dir+"/"+name+".txt", at, "/proc/thread-self/net/"+name))
	}
	return items
}

// command is what a program prints. Of one that fails all is kept.
func command(name string, at place, program string, args ...string) item {
	how := strings.Join(append([]string{program}, args...), " ")
	return item{name, how, func(ctx context.Context) ([]byte, error) {
		return at(func() ([]byte, error) { return run(ctx, program, args) })
	}}
}

// run starts a program and waits for it.
func run(ctx context.Context, program string, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	out := &bounded{limit: DefaultMaxFile + 1}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end in time: %w", err)
	}
	return out.Bytes(), err
}

// bounded keeps the beginning of what is written to it, and takes the rest.
type bounded struct {
	bytes.Buffer
	limit int
}

func (b *bounded) Write(data []byte) (int, error) {
	keep := min(len(data), max(b.limit-b.Len(), 0))
	b.Buffer.Write(data[:keep])
	return len(data), nil
}

// read is what is in a file.
func read(name string, at place, path string) item {
	return item{name, path, func(context.Context) ([]byte, error) {
		return at(func() ([]byte, error) { return os.ReadFile(path) })
	}}
}

// sysctls are the settings of the network namespace that the thread is in. Those that not everybody may read are keys
// (tcp_fastopen_key, stable_secret), or can only be written.
func sysctls() ([]byte, error) {
	const root = "/proc/sys"
	var out bytes.Buffer
	var faults []error
	for _, dir := range []string{"net/ipv4", "net/ipv6", "net/core"} {
		err := fs.WalkDir(os.DirFS(root), dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return ignoreAbsent(err)
			}
			info, err := d.Info()
			if err != nil || info.Mode()&0o004 == 0 {
				return ignoreAbsent(err)
			}
			value, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				faults = append(faults, ignoreAbsent(err))
				return nil
			}
			fmt.Fprintf(&out, "%s = %s\n", path, strings.Join(strings.Fields(string(value)), " "))
			return nil
		})
		faults = append(faults, err)
	}
	return out.Bytes(), errors.Join(faults...)
}

// ignoreAbsent: devices come and go while they are read, and with them their settings.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// networks are the names of networks and the types of their plugins: contents may hold secrets.
func networks(dir string) ([]byte, error) {
	all, err := node.Networks(dir)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, n := range all {
		if n.Err != nil {
			fmt.Fprintf(&out, "%s: cannot be read: %v\n", n.File, n.Err)
			continue
		}
		types := make([]string, len(n.Plugins))
		for i, p := range n.Plugins {
			types[i] = p.Type
		}
		fmt.Fprintf(&out, "%s: %q: %s\n", n.File, n.Name, strings.Join(types, ", "))
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !slices.ContainsFunc(all, func(n node.Network) bool { return n.File == e.Name() }) {
			fmt.Fprintf(&out, "%s\n", e.Name())
		}
	}
	return out.Bytes(), ignoreAbsent(err)
}

// pods are all that are known on the node, and why others may not be.
func pods(n node.Node) ([]byte, error) {
	type known struct {
		Pod         string   `json:"pod"`
		ContainerID string   `json:"containerID"`
		Netns       string   `json:"netns"`
		Alive       bool     `json:"alive"`
		Attachments []string `json:"attachments,omitempty"`
	}
	all, err := n.Pods()
	out := []known{}
	for _, p := range all {
		k := known{p.String(), p.ContainerID, p.Netns, p.Alive(), nil}
		for _, a := range p.Attachments {
			k.Attachments = append(k.Attachments, a.IfName+" of "+a.Network)
		}
		out = append(out, k)
	}
	data, jsonErr := indented(out)
	return data, errors.Join(err, jsonErr)
}

// listing is what is below a directory, by names only.
func listing(dir string) ([]byte, error) {
	var out bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return ignoreAbsent(err)
		}
		fmt.Fprintf(&out, "%v %8d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), path)
		return nil
	})
	return out.Bytes(), err
}

func indented(value any) ([]byte, error) {
	data, err := json.MarshalIndent(value, "", "  ")
	return append(data, '\n'), err
}

// Recorded tells what the records of a pod say that it has, as "ip" would.
func Recorded(p node.Pod) string {
	var out strings.Builder
	for _, a := range p.Attachments {
		fmt.Fprintf(&out, "%s of %s:\n%v\n", a.IfName, a.Network, a.State)
	}
	if out.Len() == 0 {
		return "symroute remembers no attachment of this pod\n"
	}
	return out.String()
}
