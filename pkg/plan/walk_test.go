package plan_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

var (
	walkSeed = flag.Uint64("walk.seed", 0, "first seed of TestNICsComeAndGo; a walk that fails prints its own")
	walks    = flag.Uint64("walk.count", 300, "number of TestNICsComeAndGo's walks")
)

// TestNICsComeAndGo lets NICs of a crowd be attached, attached again, detached,
// and vanish with DEL or without, at random. A twin of the pod sees the same
// NICs, and no symroute. At every step of every change main has a default of
// each family that the twin's has. After each ADD and DEL, CHECK is content
// with all who are there. What takes an ADD back brings back what was. When all
// have left, the pod is as its twin.
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
					pod: newPod(t, text), twin: newPod(t, text), shared: strings.Contains(text, "-4 route default nexthop"),
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
	shared    bool // there is an IPv4 default by several NICs
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
			if w.IntN(2) == 0 {
				w.vanish(nic)
			}
			w.check()
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
	got, want := w.pod.kernel.text(), w.twin.kernel.text()
	if len(w.gone) == 0 && !slices.Equal(got, want) {
		w.fault("all have left, but their NICs have not: want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	lost, extra := newLines(got, want), newLines(want, got)
	if w.shared { // the kernel takes such a route away with the first NIC, and what was made of it before may stay
		extra = slices.DeleteFunc(extra, inStead)
	}
	if len(lost)+len(extra) > 0 {
		w.fault("all have left: lost\n%s\nleft\n%s", strings.Join(lost, "\n"), strings.Join(extra, "\n"))
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
	ops := w.pod.begin(a)
	w.here[nic] = a
	w.apply(ops)
	for _, op := range reversed(ops) {
		w.must(op.Inverse())
	}
	if now := w.pod.kernel.text(); !slices.Equal(before, now) {
		w.fault("taken back: lost\n%s\nleft\n%s", strings.Join(newLines(now, before), "\n"), strings.Join(newLines(before, now), "\n"))
	}
	w.apply(ops)
	w.pod.settle(a)
	w.check()
}

// realServer makes the pod a real server by a NIC.
func (w *comings) realServer(nic, mode string) string {
	return fmt.Sprintf(`, "lvs": {"mode": %q, "vips": ["10.99.0.%d", "2001:db8:99::%d"]}`, mode, nic[3], nic[3])
}

func (w *comings) del(nic string) {
	w.log = append(w.log, "DEL "+nic)
	for _, state := range w.pod.states(w.here[nic]) {
		w.apply(w.pod.leaveFrom(w.here[nic], state))
	}
	w.pod.forget(w.here[nic].key())
	delete(w.here, nic)
}

func (w *comings) vanish(nic string) {
	if !w.gone[nic] {
		w.log = append(w.log, nic+" vanishes")
		w.pod.kernel.died(nic)
		w.twin.kernel.died(nic)
		w.gone[nic] = true
	}
}

// apply carries changes out, and looks at main's defaults after each.
func (w *comings) apply(ops []plan.Op) {
	had := slices.DeleteFunc(w.pod.kernel.defaults(), func(f fib.Family) bool { return !slices.Contains(w.twin.kernel.defaults(), f) })
	for _, op := range ops {
		w.must(op)
		if !containsAll(w.pod.kernel.defaults(), had) {
			w.fault("after %s main lacks a default", op)
		}
	}
}

func (w *comings) must(op plan.Op) {
	if err := w.pod.kernel.apply(op); err != nil {
		w.fault("%s: %v", op, err)
	}
}

// check demands that nobody misses anything.
func (w *comings) check() {
	if !containsAll(w.pod.kernel.defaults(), w.twin.kernel.defaults()) {
		w.fault("main lacks a default that the twin has")
	}
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

func (w *comings) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}
