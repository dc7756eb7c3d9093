package plan_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
)

var (
	walkSeed = flag.Uint64("walk.seed", 0, "first seed of TestNICsComeAndGo; a walk that fails prints its own")
	walks    = flag.Uint64("walk.count", 100, "number of TestNICsComeAndGo's walks")
)

// TestNICsComeAndGo lets NICs of a crowd be attached, attached again, detached,
// and vanish with DEL or without, at random. A twin of the pod sees the same
// NICs, and no symroute. At every step of every change main has a default of
// each family that the twin's has, and what an attached NIC's address sends leaves
// by that NIC or not at all. After each ADD and DEL, CHECK is content with all who are
// there, and whenever the twin can send, so can the pod. What takes an ADD back
// brings back what was. When all have left, the pod is as its twin.
func TestNICsComeAndGo(t *testing.T) {
	pods := crowds()
	addresses, _, _ := strings.Cut(crowd, "\t-4 route")
	pods["one route for two"] = addresses + `
			-4 route default nexthop via 10.20.1.1 dev net1 weight 1 nexthop via 10.20.2.1 dev net2 weight 1
			-4 route default via 10.244.0.1 dev eth0 metric 50
			-6 route default via 2001:db8:0::1 dev eth0 metric 50
			-6 route default nexthop via 2001:db8:1::1 dev net1 weight 1 nexthop via 2001:db8:2::1 dev net2 weight 1`
	for name, text := range pods {
		t.Run(name, func(t *testing.T) {
			for seed := *walkSeed; seed < *walkSeed+*walks; seed++ {
				w := &comings{
					Rand: rand.New(rand.NewPCG(seed, 0)), t: t,
					pod: newPod(t, text), twin: newPod(t, text),
					here: map[string]attachment{}, gone: map[string]bool{},
				}
				w.walk()
				if len(w.faults) > 0 {
					t.Fatalf("-walk.seed=%d -walk.count=1:\n%s\n%s", seed, strings.Join(w.log, "\n"), strings.Join(w.faults, "\n"))
				}
			}
		})
	}
}

// comings is a walk of TestNICsComeAndGo.
type comings struct {
	*rand.Rand
	t         *testing.T
	pod, twin *pod
	here      map[string]attachment
	gone      map[string]bool // NICs
	log       []string
	faults    []string
}

func (w *comings) walk() {
	nics := []string{"eth0", "net1", "net2"}
	for range 7 {
		nic := nics[w.IntN(len(nics))]
		_, here := w.here[nic]
		switch chance := w.IntN(10); {
		case chance < 5 && !w.gone[nic]:
			w.add(nic)
		case chance < 9 && here:
			w.del(nic)
			w.check()
			if w.IntN(2) == 0 {
				w.vanish(nic)
			}
		case chance == 9:
			w.vanish(nic)
		}
	}
	for _, i := range w.Perm(len(nics)) {
		if _, here := w.here[nics[i]]; here {
			w.del(nics[i])
			w.check()
		}
	}
	if got, want := w.pod.kernel.text(), w.twin.kernel.text(); !slices.Equal(got, want) {
		w.fault("all have left: lost\n%s\nleft\n%s", strings.Join(newLines(got, want), "\n"), strings.Join(newLines(want, got), "\n"))
	}
}

func (w *comings) add(nic string) {
	a, again := w.here[nic]
	if !again || w.IntN(3) == 0 {
		a = member(nic, []string{"yield", "take", "keep"}[w.IntN(3)])
		a.conf += []string{"", "", `, "arp": "isolate"`, w.realServer(nic, "dr"), w.realServer(nic, "tunnel")}[w.IntN(5)]
	}
	w.log = append(w.log, "ADD "+nic+" "+a.conf)
	before := w.pod.kernel.text()
	changes := w.pod.begin(a)
	w.here[nic] = a
	w.apply(changes)
	for _, c := range reversed(changes) {
		w.must(c.Inverse())
	}
	if now := w.pod.kernel.text(); !slices.Equal(before, now) {
		w.fault("taken back: lost\n%s\nleft\n%s", strings.Join(newLines(now, before), "\n"), strings.Join(newLines(before, now), "\n"))
	}
	w.apply(changes)
	w.pod.settle(a)
	w.check()
}

// realServer makes the pod a real server by a NIC.
func (w *comings) realServer(nic, mode string) string {
	return fmt.Sprintf(`, "lvs": {"mode": %q, "vips": ["10.99.0.%d", "2001:db8:99::%d"]}`, mode, nic[3], nic[3])
}

func (w *comings) del(nic string) {
	w.log = append(w.log, "DEL "+nic)
	w.apply(w.pod.leave(w.here[nic]))
	w.pod.forget(w.here[nic].key())
	delete(w.here, nic)
}

func (w *comings) vanish(nic string) {
	if !w.gone[nic] {
		w.log = append(w.log, nic+" vanishes")
		w.pod.kernel.died(nic)
		w.twin.kernel.died(nic)
		w.gone[nic] = true
		w.send()
	}
}

// apply carries changes out, and looks at main's defaults after each.
func (w *comings) apply(changes []change.Change) {
	had := slices.DeleteFunc(w.pod.kernel.defaults(), func(f fib.Family) bool { return !slices.Contains(w.twin.kernel.defaults(), f) })
	for _, c := range changes {
		w.must(c)
		if !containsAll(w.pod.kernel.defaults(), had) {
			w.fault("after %s main lacks a default", c)
		}
	}
}

func (w *comings) must(c change.Change) {
	if err := w.pod.kernel.apply(c); err != nil {
		w.fault("%s: %v", c, err)
	}
}

// check demands that nobody misses anything.
func (w *comings) check() {
	if !containsAll(w.pod.kernel.defaults(), w.twin.kernel.defaults()) {
		w.fault("main lacks a default that the twin has")
	}
	w.send()
	for nic, a := range w.here {
		if w.gone[nic] {
			continue
		}
		for _, deviation := range w.pod.deviations(a) {
			if !strings.Contains(deviation, "default route of the main table") || containsAll(w.twin.kernel.defaults(), []fib.Family{fib.V4, fib.V6}) {
				w.fault("CHECK of %s: %s", nic, deviation)
			}
		}
	}
}

// send sends packets, some of sockets without a source, some from each attached NIC's address.
func (w *comings) send() {
	for _, f := range fib.Families() {
		if twin, ours := w.twin.kernel.send(packet{family: f}), w.pod.kernel.send(packet{family: f}); twin.isSent() && !ours.isSent() {
			w.fault("%s packets are %s; without us they go %s", f, ours, twin)
		}
	}
	for _, a := range w.pod.kernel.addresses {
		l, _ := w.pod.kernel.observe(0).LinkAt(a.Index)
		if _, here := w.here[l.Name]; !here {
			continue
		}
		p := packet{family: fib.FamilyOf(a.Prefix.Addr()), from: a.Prefix.Addr()}
		if got := w.pod.kernel.send(p); got.isSent() && got.dev != l.Name {
			w.fault("packets from %s of %s go %s", p.from, l.Name, got)
		}
	}
}

func (w *comings) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}
