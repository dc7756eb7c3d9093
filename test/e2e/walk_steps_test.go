package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
	"github.com/symroute/symroute/test/walk"
)

// walker makes the steps of one walk in the pod and in its twin.
type walker struct {
	t         testing.TB
	w         walk.Walk
	site      *walkSite
	dataDir   string
	pod, twin walkPod

	// attached are the attachments whose DEL has not come, by NIC; order is that in which they
	// came, or came to take main.
	attached map[string]*attached
	order    []string
	// written are the devices whose rp_filter somebody else has written while
	// attachments were there.
	written map[string]bool
	// lost are the NICs that were down since the pod last was without attachments.
	lost map[string]bool
	// routers are the NICs that got routers after IPAM's.
	routers map[string]bool
	// silent are the NICs that have no carrier when they are up.
	silent map[string]bool
	// ignoring are the NICs whose routes are none without carrier.
	ignoring map[string]bool
	// was is the attachment of the step's NIC before the step; nil: none.
	was *attached
	// over: the twin says nothing any more about what should be.
	over bool
	// loss is that of a record; nil: none.
	loss *loss
}

// walkPod is the pod, or its twin.
type walkPod struct {
	observer
	names walk.Names
	// was is the state before the step, is that after it.
	was, is *routing
}

// attached is what became of an attachment since its ADD.
type attached struct {
	conf  map[string]any
	index int // of the NIC that ADD saw
	// wants are the modes of rp_filter that it has set, by index.
	wants map[int]int
	// replies is the index of the NIC that replies of a real server leave by.
	replies int
	// refusals are the destinations that main refused when it was added.
	refusals []netip.Prefix
	// rerouted: a router has come since, or another one.
	rerouted bool
	// killed: an ADD or DEL did not end, and anything may be.
	killed bool
	// cut: the NIC was down or has gone since, and CHECK has to say so.
	cut bool
	// spoiled: an address has gone since, or was not there, or somebody else has
	// written its rp_filter.
	spoiled bool
	// lost: it has no record any more.
	lost bool
	// rival: another NIC, which may have its table from this attachment (take), was
	// down or lost an address.
	rival bool
	// muted: its NIC lost its carrier, or has another router, or main refuses something else, and
	// CHECK may say so.
	muted bool
	// stale: something has happened since its ADD that the next one may see.
	stale bool
}

// sound reports whether everything has to be as configured.
func (a *attached) sound() bool { return !a.killed && !a.cut && !a.spoiled }

func newWalker(t testing.TB, site *walkSite, w walk.Walk) *walker {
	t.Helper()
	k := &walker{
		t: t, w: w, site: site, attached: map[string]*attached{}, written: map[string]bool{}, lost: map[string]bool{},
		routers: map[string]bool{}, silent: map[string]bool{}, ignoring: map[string]bool{},
	}
	dir, err := os.MkdirTemp("", "walk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k.dataDir = filepath.Join(dir, "data")
	k.pod, k.twin = k.newPod("pod", k.dataDir), k.newPod("twin", filepath.Join(dir, "afresh"))
	return k
}

func (k *walker) newPod(role, dataDir string) walkPod {
	k.t.Helper()
	ns := netlab.New(k.t, role)
	p := walkPod{names: walk.Names{
		Pod: ns.Name, Wire: k.site.wire.Name, End: fmt.Sprintf("%c%dx", role[0], k.site.walks), Netns: ns.Path, DataDir: dataDir,
	}}
	socket, err := newRTNL(ns)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(socket.close)
	p.observer = observer{ns: ns, rtnl: socket}
	k.run(p, k.w.Begin())
	p.is = k.look(p)
	return p
}

// walk makes the steps, and returns what was wrong first.
func (k *walker) walk() *wrong {
	for i, s := range k.w.Steps {
		if what, details := k.step(s); what != "" {
			return &wrong{step: s, at: i, what: what, details: details}
		}
		if k.over {
			break
		}
	}
	return nil
}

func (k *walker) step(s walk.Step) (what, details string) {
	var call netlab.Invocation
	switch s.Verb {
	case walk.Add, walk.Del, walk.Check:
		call = k.call(s)
	case walk.Afresh:
		return k.afresh()
	case walk.GC:
		if call = k.collect(); call.ExitCode != 0 {
			return "GC failed", call.String()
		}
	case walk.Flush:
		k.run(k.pod, []walk.Line{walk.FlushLine(4), walk.FlushLine(6)})
		for _, a := range k.attached {
			a.killed = true // anything may be, until it is added again
		}
	case walk.Lose, walk.Damage:
		k.spoilRecord(s)
	case walk.Plug, walk.Unplug, walk.Down, walk.Up, walk.NoCarrier, walk.Carrier, walk.Router, walk.Foreign:
		k.mirrorKeepAddr()
		answers := [2]string{k.run(k.pod, k.w.Lines(s, k.pod.names)), k.run(k.twin, k.w.Lines(s, k.twin.names))}
		if k.noteCarrier(s, answers == [2]string{}); answers[0] != answers[1] && s.Verb != walk.NoCarrier && s.Verb != walk.Carrier {
			return "somebody else is answered differently", strings.Join(answers[:], "\nthe twin: ")
		}
	}
	k.observe()
	return k.judge(s, call)
}

// noteCarrier notes which NICs have none. In a walk that was shortened there are ends that are gone.
func (k *walker) noteCarrier(s walk.Step, done bool) {
	switch s.Verb {
	case walk.NoCarrier:
		k.silent[s.NIC] = done || k.silent[s.NIC]
	case walk.Carrier:
		k.silent[s.NIC] = !done && k.silent[s.NIC]
	case walk.Plug:
		k.silent[s.NIC] = k.silent[s.NIC] && !done
	case walk.Unplug, walk.Down, walk.Up, walk.Router, walk.Foreign, walk.Flush, walk.Lose, walk.Damage, walk.Afresh,
		walk.Add, walk.Del, walk.Check, walk.GC:
	}
}

// mirrorKeepAddr gives the twin's NICs the keep_addr_on_down of the pod's: what a link loses when
// it goes down is up to it. That it is right is settingsHold's to say.
func (k *walker) mirrorKeepAddr() {
	k.t.Helper()
	for _, d := range k.pod.is.devices {
		if o, ok := k.twin.is.device(d.name); ok && d.six && o.keepAddr != d.keepAddr {
			k.keepAddr(d.name, d.keepAddr)
		}
	}
}

func (k *walker) keepAddr(device string, value int) {
	k.t.Helper()
	k.twin.ns.SetSysctl(k.t, fmt.Sprintf("net/ipv6/conf/%s/keep_addr_on_down=%d", device, value))
}

// observe looks at both, when the kernel is done with them.
func (k *walker) observe() {
	k.pod.was, k.twin.was = k.pod.is, k.twin.is
	k.pod.is, k.twin.is = k.look(k.pod), k.look(k.twin)
}

func (k *walker) look(p walkPod) *routing {
	k.t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		s, err := p.observe()
		if err != nil {
			k.t.Fatal(err)
		}
		if s.settled(k.silent) {
			return s
		}
		if time.Since(begun) > 10*time.Second {
			k.t.Fatalf("the addresses of %s never came to be usable", p.ns.Name)
		}
	}
}

// run runs lines, and returns the complaints: in a walk that was shortened there
// are commands that cannot work, in the pod and its twin alike.
func (k *walker) run(p walkPod, lines []walk.Line) string {
	k.t.Helper()
	var complaints strings.Builder
	for len(lines) > 0 {
		same := 1
		for same < len(lines) && lines[same].Wire == lines[0].Wire && lines[same].Setting == lines[0].Setting {
			same++
		}
		switch {
		case lines[0].Setting:
			err := p.ns.Do(func() error {
				var all error
				for _, l := range lines[:same] {
					key, value, _ := strings.Cut(l.Text, "=")
					all = errors.Join(all, os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644))
				}
				return all
			})
			if err != nil {
				fmt.Fprintln(&complaints, err)
			}
		default:
			ns := p.ns
			if lines[0].Wire {
				ns = k.site.wire
			}
			complaints.WriteString(ipBatch(k.t, ns, lines[:same]))
		}
		lines = lines[same:]
	}
	return complaints.String()
}

// ipBatch runs ip once for all lines and returns what it complains of.
func ipBatch(t testing.TB, ns *netlab.NS, lines []walk.Line) string {
	t.Helper()
	var batch, stderr strings.Builder
	for _, l := range lines {
		batch.WriteString(l.Text + "\n")
	}
	cmd := exec.Command("ip", "-n", ns.Name, "-force", "-batch", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(batch.String()), &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	// A default may be there already, or not any more, for attachments move them.
	var complaints strings.Builder
	for line := range strings.Lines(stderr.String()) {
		var at int
		if _, err := fmt.Sscanf(line, "Command failed -:%d", &at); err == nil && !strings.Contains(lines[at-1].Text, "default") {
			fmt.Fprintln(&complaints, lines[at-1].Text)
		}
	}
	return complaints.String()
}

// call runs symroute for a NIC. Verbs other than ADD get what the last ADD got.
func (k *walker) call(s walk.Step) netlab.Invocation {
	k.t.Helper()
	return k.callIn(k.pod, s)
}

func (k *walker) callIn(p walkPod, s walk.Step) netlab.Invocation {
	k.t.Helper()
	conf := s.Config
	if a := k.attached[s.NIC]; a != nil && s.Verb != walk.Add {
		conf = a.conf
	}
	stdin, env := k.w.Stdin(s, conf, p.names), walk.Environ(s, p.names)
	if s.Kill == nil {
		return k.site.node.RunPlugin(k.t, env, stdin)
	}
	return k.site.node.RunPluginUnder(k.t, s.Kill.Wrapper(), env, stdin)
}

// collect runs GC for all networks that attachments are of, with all of them in
// use. The first that fails is returned.
func (k *walker) collect() netlab.Invocation {
	k.t.Helper()
	var call netlab.Invocation
	for _, n := range k.w.NICs {
		var inUse []string
		if k.attached[n.Name] != nil {
			inUse = append(inUse, n.Name)
		}
		stdin := walk.GCStdin(walk.Network(n.Name), inUse, k.pod.names)
		call = k.site.node.RunPlugin(k.t, walk.Environ(walk.Step{Verb: walk.GC}, k.pod.names), stdin)
		if call.ExitCode != 0 {
			return call
		}
	}
	return call
}

// panicked reports whether an invocation ended in a way that no plugin may.
func panicked(call netlab.Invocation) bool {
	return call.ExitCode > 1 || bytes.Contains(call.Stderr, []byte("goroutine ")) || bytes.Contains(call.Stdout, []byte("internal error"))
}
