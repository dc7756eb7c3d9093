package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// capabilities are what each command needs; the rest needs none. To enter the pod's
// namespace takes CAP_SYS_ADMIN, to change its routing CAP_NET_ADMIN.
var capabilities = map[string][]string{
	"ADD":    {"sys_admin", "net_admin"},
	"CHECK":  {"sys_admin"},
	"DEL":    {"sys_admin", "net_admin"},
	"STATUS": {"sys_admin", "net_admin"},
}

// confined is the wrapper that runs a command as root with these capabilities alone,
// and no way to others.
func confined(capabilities ...string) []string {
	bounds := "-all"
	for _, capability := range capabilities {
		bounds += ",+" + capability
	}
	return []string{"setpriv", "--inh-caps=-all", "--bounding-set=" + bounds, "--no-new-privs"}
}

// under runs a command of the executable under another program.
func (a attachment) under(t *testing.T, wrapper []string, command string) netlab.Invocation {
	t.Helper()
	return a.node.RunPluginUnder(t, wrapper, a.environ(command), a.stdin(t))
}

// securityBenches are pods in which the commands do all that they can.
var securityBenches = map[string]func(t *testing.T) (*bench, attachment){
	"strict, default taken, ARP isolated": faultBench,
	"real server":                         func(t *testing.T) (*bench, attachment) { t.Helper(); return lvsFaultBench(t, "dr") },
}

// TestCapabilities runs every command with the capabilities that it needs and no
// other one. Without one of them it says what it may not do, and does nothing.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	for name, prepare := range securityBenches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, a := prepare(t)
			before := b.pod.NS.Snapshot(t)
			for _, command := range []string{"VERSION", "STATUS", "ADD", "CHECK", "ADD", "GC", "DEL"} {
				a.assertNeeds(t, command, capabilities[command], command == "ADD" && before.Diff(b.pod.NS.Snapshot(t)) != "")
				if call := a.under(t, confined(capabilities[command]...), command); call.ExitCode != 0 {
					t.Fatalf("%s with %v alone failed\n%v", command, capabilities[command], call)
				}
			}
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}
}

// assertNeeds leaves out one capability after the other. An ADD that has nothing to
// do changes nothing and needs no right to.
func (a attachment) assertNeeds(t *testing.T, command string, needed []string, done bool) {
	t.Helper()
	for _, missing := range needed {
		if done && missing == "net_admin" {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(needed), func(capability string) bool { return capability == missing })
		before := a.pod.NS.Snapshot(t)
		call := a.under(t, confined(rest...), command)
		failure := call.Failed(t)
		if failure == nil {
			t.Fatalf("%s works without %s, which then is not needed\n%v", command, missing, call)
		}
		want := "operation not permitted"
		if command == "STATUS" { // which tries nothing
			want = "CAP_" + strings.ToUpper(missing)
		}
		if !strings.Contains(failure.Msg, want) {
			t.Errorf("%s without %s does not say what is wrong: %s", command, missing, failure.Msg)
		}
		if command != "DEL" { // which does what it can
			assertSame(t, command+" without "+missing+" changed the pod", before, a.pod.NS.Snapshot(t))
		}
	}
}

// TestUserNamespace works where the runtime has a user namespace of its own, which
// owns the pod's network: the capabilities of that one are enough. They give no right
// to a pod that belongs to the node.
func TestUserNamespace(t *testing.T) {
	t.Parallel()
	b := &bench{
		node:    netlab.New(t, "node"),
		wire:    netlab.New(t, "wire"),
		pod:     netlab.NewPod(t),
		dataDir: filepath.Join(t.TempDir(), "symroute"),
	}
	user := ownedByUser(t, b.pod.NS)
	b.plug(t, eth0)
	b.plug(t, net1)
	a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
	inside := append([]string{"nsenter", "--user=" + user}, confined("sys_admin", "net_admin")...)

	before := b.pod.NS.Snapshot(t)
	for _, command := range []string{"STATUS", "ADD", "CHECK", "GC", "DEL"} {
		if call := a.under(t, inside, command); call.ExitCode != 0 {
			t.Fatalf("%s failed\n%v", command, call)
		}
		if command == "ADD" && len(ourRules(t, b.pod.NS, "-4")) == 0 {
			t.Error("ADD made no rules")
		}
	}
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))

	others := newBench(t, eth0, net1)
	foreign := others.attach(net1, netlab.Object{"dataDir": b.dataDir})
	before = others.pod.NS.Snapshot(t)
	for _, command := range []string{"ADD", "CHECK", "DEL"} {
		failure := foreign.under(t, inside, command).Failed(t)
		if failure == nil || !strings.Contains(failure.Msg, "operation not permitted") {
			t.Errorf("%s in a pod of the node: %v", command, failure)
		}
	}
	assertSame(t, "a user namespace changed a pod of the node", before, others.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir)
}

// ownedByUser puts a network namespace that a new user namespace owns in the place of
// another, and returns the path of the user namespace.
func ownedByUser(t *testing.T, ns *netlab.NS) string {
	t.Helper()
	holder := exec.Command("unshare", "--user", "--map-root-user", "--net", "cat")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(stdin.Close(), holder.Wait()); err != nil {
			t.Errorf("%v: %v", holder, err)
		}
	})
	// An echo says that the namespaces are made.
	if _, err := stdin.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	namespaces := fmt.Sprintf("/proc/%d/ns/", holder.Process.Pid)
	if err := unix.Unmount(ns.Path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(namespaces+"net", ns.Path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	ns.IP(t, "link", "set", "lo", "up")
	ns.SetSysctl(t, "net/ipv6/conf/default/accept_dad=0")
	return namespaces + "user"
}

// TestWritesNowhereElse watches every system call with a path in it, every socket and
// every program: nothing is written but below dataDir, to the lock of the pod and, in its
// namespace, to the kernel's settings. CHECK and VERSION write nothing at all. The lock goes
// with the last attachment.
func TestWritesNowhereElse(t *testing.T) {
	t.Parallel()
	for name, prepare := range securityBenches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, a := prepare(t)
			gone := a
			gone.netns = filepath.Join(t.TempDir(), "gone")
			alone := a
			alone.prev = nil
			everything := []string{b.dataDir, lockDir, settings, settings6}
			for _, run := range []struct {
				attachment
				command string
				fails   bool
				writes  []string // where it may
				after   []string // a command of ip
			}{
				{attachment: a, command: "VERSION"},
				{attachment: a, command: "STATUS", writes: []string{b.dataDir}},
				{attachment: alone, command: "ADD", fails: true},
				{attachment: gone, command: "ADD", fails: true},
				{attachment: gone, command: "DEL"},
				{attachment: a, command: "CHECK", fails: true},
				{attachment: a, command: "ADD", fails: true, writes: everything, after: strings.Fields("rule add priority 100 from 203.0.113.144 unreachable")},
				{attachment: a, command: "ADD", writes: everything, after: strings.Fields("rule del priority 100")},
				{attachment: a, command: "CHECK"},
				{attachment: a, command: "CHECK", fails: true, after: strings.Fields("rule del priority 40012")},
				{attachment: a, command: "ADD", writes: []string{b.dataDir, lockDir}},
				{attachment: a.with("cni.dev/valid-attachments", []any{}), command: "GC", writes: []string{b.dataDir}},
				{attachment: a, command: "DEL", writes: everything},
				{attachment: a, command: "DEL", writes: []string{b.dataDir, lockDir}},
			} {
				if run.after != nil {
					b.pod.NS.IP(t, run.after...)
				}
				calls := run.straced(t, run.command, []string{"%file,%net,%process,setns,unshare,?ftruncate,?fallocate,?fchmod,?fchown"})
				if (calls.ExitCode != 0) != run.fails {
					t.Fatalf("%s: exit code %d\n%v", run.command, calls.ExitCode, calls.Invocation)
				}
				w := watch{t: t, run: calls, netns: run.netns, allowed: run.writes}
				w.all()
				if run.command == "DEL" {
					w.assertUnlocked()
				}
				if slices.Contains(run.writes, settings) && w.written == 0 {
					t.Errorf("%s writes nothing: this test shows nothing\n%s", run.command, strings.Join(calls.trace, "\n"))
				}
			}
			assertNoFiles(t, b.dataDir)
		})
	}
}

// settings and settings6 are where the kernel's are, of the namespace that the thread is in.
const (
	settings  = "/proc/sys/net/ipv4/conf"
	settings6 = "/proc/sys/net/ipv6/conf"
)

// lockDir is where the locks of all pods lie.
const lockDir = "/run/cni/symroute"

// watch goes through the system calls of a run.
type watch struct {
	t       *testing.T
	run     struck
	netns   string
	allowed []string
	inPod   bool
	written int
}

var (
	// systemCall is a line of strace: the thread, the call, its arguments.
	systemCall = regexp.MustCompile(`^\d+ +([a-z0-9_]+)\((.*)`)
	pathOf     = regexp.MustCompile(`"([^"]*)"`)
	// rightsToWrite are the flags of an open that change something.
	rightsToWrite = regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE`)
)

func (w *watch) all() {
	w.t.Helper()
	programs := 0
	for _, line := range w.run.trace {
		call := systemCall.FindStringSubmatch(line)
		if call == nil {
			continue // the end of a call that began in a line above
		}
		switch name, args := call[1], call[2]; name {
		case "execve":
			if programs++; programs > 1 {
				w.t.Errorf("it runs another program: %s", line)
			}
		case "clone", "clone3":
			if !strings.Contains(args, "CLONE_THREAD") {
				w.t.Errorf("it makes another process: %s", line)
			}
		case "socket":
			if !strings.HasPrefix(args, "AF_NETLINK, ") || !strings.Contains(args, "NETLINK_ROUTE") {
				w.t.Errorf("it opens a socket to something else than the kernel's routing: %s", line)
			}
		case "setns":
			w.moves(line, args)
		case "openat", "open":
			if rightsToWrite.MatchString(pathOf.ReplaceAllString(args, "")) {
				w.writes(line, args)
			}
		case "mkdirat", "mkdir", "renameat", "rename", "renameat2", "unlinkat", "unlink", "rmdir":
			w.writes(line, args)
		case "bind": // to no group of notifications
			if !strings.Contains(args, "sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}") {
				w.t.Errorf("it binds a socket to something else than the kernel's answers: %s", line)
			}
		case "newfstatat", "stat", "lstat", "statx", "statfs", "readlinkat", "readlink", "faccessat2", "faccessat", "access", "getcwd",
			"sendto", "recvfrom", "getsockopt", "setsockopt", "getsockname",
			"exit", "exit_group", "kill", "tgkill", "wait4", "waitid", "rt_sigqueueinfo", "pidfd_open", "pidfd_send_signal":
		default:
			w.t.Errorf("it makes a system call that this test does not know: %s", line)
		}
	}
}

// moves follows the thread into the pod's namespace and out of it.
func (w *watch) moves(line, args string) {
	w.t.Helper()
	if w.inPod = strings.Contains(args, "<"+w.netns+">"); !w.inPod && !strings.Contains(args, "<net:[") && !strings.Contains(args, "/ns/net>") {
		w.t.Errorf("it enters another namespace than the pod's or its own: %s", line)
	}
	if !strings.Contains(args, "CLONE_NEWNET") {
		w.t.Errorf("it enters a namespace of another kind: %s", line)
	}
}

// writes demands that all paths of a call lie where it may write.
func (w *watch) writes(line, args string) {
	w.t.Helper()
	w.written++
	for _, path := range pathOf.FindAllStringSubmatch(args, -1) {
		allowed := slices.ContainsFunc(w.allowed, func(dir string) bool {
			return path[1] == dir || strings.HasPrefix(path[1], dir+"/") && path[1] == filepath.Clean(path[1])
		})
		if !allowed || strings.HasPrefix(path[1], "/proc/sys/") && !w.inPod {
			w.t.Errorf("it writes where it may not: %s", line)
		}
	}
}

// assertUnlocked demands that no lock is left that the run took.
func (w *watch) assertUnlocked() {
	w.t.Helper()
	for _, line := range w.run.trace {
		path := pathOf.FindStringSubmatch(line)
		if path == nil || !strings.HasPrefix(path[1], lockDir+"/") || !strings.HasSuffix(path[1], ".lock") {
			continue
		}
		if _, err := os.Lstat(path[1]); err == nil {
			w.t.Errorf("%s is left over", path[1])
		}
	}
}

// TestWordsOfThePodsAuthor puts into the configuration what a runtime adds of a pod's
// annotations (Multus: cni-args, ips, mac, ...) and of its name: none of it means
// anything to symroute, not even where it bears the names of its keys.
func TestWordsOfThePodsAuthor(t *testing.T) {
	t.Parallel()
	evil := func(b *bench) netlab.Object {
		return netlab.Object{
			"rpFilter": "off", "mainDefault": "take", "table": 100, "priority": 5, "noGateway": "main", "verify": false,
			"sources": []string{"198.51.100.0/24"}, "gateways": []string{"203.0.113.66"},
			"routes": []netlab.Object{{"dst": "10.0.0.0/8", "gw": "203.0.113.66"}}, "viaMain": []string{"10.0.0.0/8"},
			"lvs": netlab.Object{"mode": "dr", "vips": []string{"198.51.100.1"}}, "arp": "isolate",
			"dataDir": filepath.Join(b.dataDir, "..", "evil"), "interfaces": netlab.Object{"eth0": netlab.Object{"rpFilter": "off"}},
			"ips": []string{"203.0.113.66/24"}, "mac": "02:00:00:00:00:66", "gateway": []string{"203.0.113.66"},
			"default-route": []string{"203.0.113.66"}, "prevResult": nil,
		}
	}
	b := newBench(t, eth0, net1)
	before := b.pod.NS.Snapshot(t)
	plain := b.attach(net1, netlab.Object{"rpFilter": "strict"})
	result := plain.must(t, "ADD")
	want := b.pod.NS.Snapshot(t)
	plain.must(t, "DEL")

	words := evil(b)
	for name, a := range map[string]attachment{
		"args":          plain.with("args", netlab.Object{"cni": words, "symroute": words}),
		"runtimeConfig": plain.with("runtimeConfig", words),
		"CNI_ARGS": func() attachment {
			a := plain
			a.env = []string{"CNI_ARGS=IgnoreUnknown=1;rpFilter=off;table=100;dataDir=" + b.dataDir + "/../evil;IP=203.0.113.66;K8S_POD_NAME=../../etc;K8S_POD_NAMESPACE=" + strings.Repeat("x", 5000)}
			return a
		}(),
		"other keys": plain.with("deviceID", "../../etc/passwd").with("pciBusID", words).with("capabilities", words).with("cni.dev/attachments", words).
			with("x", strings.Repeat("\u202e", 1000)),
	} {
		call := a.must(t, "ADD")
		assertSame(t, name+": ADD did something else", want, b.pod.NS.Snapshot(t))
		if string(call.Stdout) != string(result.Stdout) {
			t.Errorf("%s: the result is another:\n%s", name, call.Stdout)
		}
		a.must(t, "CHECK")
		a.must(t, "DEL")
		assertSame(t, name+": ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	}
	assertNoFiles(t, filepath.Dir(b.dataDir))
}

// TestNamesThatMeanMore calls the attachment's interface what is no interface: the
// folders beside those of the devices in /proc/sys, patterns of the kernel, and what
// means something in a path or to a terminal. Nothing happens to any of them.
func TestNamesThatMeanMore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"all", "default", "lo", "...", "%d", "*", "-rf", "eth0@if3", "eth0.json", "a\tb", "\x1b[2J", "\xff\xfe", "ä", "eth0:1", ""} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0)
			b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			a := b.attach(eth0, netlab.Object{"rpFilter": "strict", "arp": "isolate"})
			a.nic = name
			prev := b.result(eth0)
			prev["interfaces"] = []netlab.Object{{"name": name, "sandbox": a.netns}}
			a.prev = prev
			before := b.pod.NS.Snapshot(t)
			for _, command := range []string{"ADD", "CHECK", "DEL"} {
				call := a.run(t, command)
				if failure := call.Failed(t); failure != nil {
					assertSame(t, command+" failed and changed the pod", before, b.pod.NS.Snapshot(t))
				}
				for _, c := range string(call.Stdout) + string(call.Stderr) {
					if c == '\x1b' {
						t.Errorf("%s prints what a terminal obeys: %q %q", command, call.Stdout, call.Stderr)
						break
					}
				}
			}
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, filepath.Dir(b.dataDir))
		})
	}
}
