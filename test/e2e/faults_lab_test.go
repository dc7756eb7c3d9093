package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// faultLab runs one command again and again, each time with another fault.
type faultLab struct {
	t       *testing.T
	c       faultCase
	verb    string
	figures *figures
	*bench
	a attachment

	empty  podState // before anything was attached
	before podState // before the command
	after  podState // after it, when nothing went wrong
	stdout string   // what it printed then
	ready  bool     // the pod is as before the command
	faulty int      // the trials that went wrong
}

// enoughFaulty trials are shown.
const enoughFaulty = 20

// newFaultLab makes a pod that is about to get a command.
func newFaultLab(t *testing.T, c faultCase, verb string, figures *figures) *faultLab {
	t.Helper()
	l := &faultLab{t: t, c: c, verb: verb, figures: figures}
	l.renew()
	return l
}

// renew makes the pod, and sees what the command does to it when nothing goes wrong.
func (l *faultLab) renew() {
	l.t.Helper()
	l.bench, l.a = l.c.make(l.t)
	l.empty = l.look()
	l.must(l.prepare())
	l.before = l.look()
	call := l.a.must(l.t, l.verb)
	l.stdout = string(call.Stdout)
	l.after = l.look()
	if l.before.imprint == l.after.imprint {
		l.t.Fatalf("%s changes nothing: this test shows nothing", l.verb)
	}
	l.must(l.leave())
}

func (l *faultLab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// prepare brings the pod to where the command begins.
func (l *faultLab) prepare() error {
	switch {
	case l.ready:
		return nil
	case l.verb == "DEL":
		return l.run("ADD", l.a)
	case l.c.before != nil:
		earlier := l.a
		for key, value := range l.c.before {
			earlier = earlier.with(key, value)
		}
		return l.run("ADD", earlier)
	}
	return nil
}

// run runs a command without faults.
func (l *faultLab) run(command string, a attachment) error {
	call := a.run(l.t, command)
	if call.ExitCode != 0 {
		return fmt.Errorf("%s without a fault failed\n%v", command, call)
	}
	return nil
}

// leave detaches the NIC: nothing is left then.
func (l *faultLab) leave() error {
	if err := l.run("DEL", l.a); err != nil {
		return err
	}
	if diff := l.differs(l.empty); diff != "" {
		return fmt.Errorf("DEL has left something (-before ADD +after DEL):\n%s", diff)
	}
	return nil
}

// places counts the system calls that the command makes.
func (l *faultLab) places() map[string]span {
	l.t.Helper()
	return count(l.rehearse().trace)
}

// rehearse runs the command, with faults or without, to see its system calls.
func (l *faultLab) rehearse(faults ...fault) struck {
	l.t.Helper()
	l.must(l.prepare())
	run := l.a.straced(l.t, l.verb, []string{faultyCalls}, faults...)
	l.must(l.leave())
	return run
}

// wayBack is the fault of ADD's end, where it prints the result, and the system calls
// that it makes to take everything back.
func (l *faultLab) wayBack() (end fault, places map[string]span) {
	l.t.Helper()
	lines := l.rehearse().trace
	result := slices.IndexFunc(lines, toStdout.MatchString)
	if result < 0 {
		l.t.Fatalf("no result is printed:\n%s", strings.Join(lines, "\n"))
	}
	end = fault{"write", count(lines[:result+1])["write"].last, once("EPERM")}
	lines = l.rehearse(end).trace
	result = slices.IndexFunc(lines, toStdout.MatchString)
	there, places := count(lines[:result+1]), count(lines)
	for call, all := range places {
		first := there[call].last + 1
		if call == end.call {
			first = max(first, end.place+1) // the result may be another thread's this time
		}
		places[call] = span{first, all.last}
	}
	return end, places
}

// tryEach tries the places of each system call with those faults that they get; earlier
// ones come before. The places are those of a run without these faults, so it goes on
// until there is none any more.
func (l *faultLab) tryEach(places map[string]span, turn int, earlier ...fault) {
	l.t.Helper()
	for _, call := range slices.Sorted(maps.Keys(places)) {
		all := faultKinds(call, earlier)
		for place, hit := places[call].first, true; hit || place <= places[call].last; place++ {
			hit = false
			for _, kind := range l.chosen(all, turn, len(earlier) > 0) {
				hit = l.try(append(slices.Clip(earlier), fault{call, place, kind})...) || hit
			}
			turn++
		}
	}
}

// chosen are the faults that a place gets when it has its turn.
func (l *faultLab) chosen(all []faultKind, turn int, afterOthers bool) []faultKind {
	switch {
	case *faultsAll:
		return all
	case testing.Short():
		return oneOf(all, turn, shortStride)
	case afterOthers:
		return oneOf(all, turn, wayBackStride)
	}
	kinds := oneOf(all, turn, 1)
	if kill := []faultKind{killed, killedThenAgain}[turn%2]; l.c.killed && kinds[0] != kill {
		kinds = append(kinds, kill)
	}
	return kinds
}

// oneOf takes the next kind at every stride-th place.
func oneOf(all []faultKind, turn, stride int) []faultKind {
	if turn%stride != 0 {
		return nil
	}
	kind := turn / stride % len(all)
	return all[kind : kind+1 : kind+1]
}

// How far it is from one place that gets a fault to the next.
const (
	shortStride   = 30
	wayBackStride = 3
)

// try runs the command with faults, and then sees whether DEL leaves nothing. It
// says whether they hit.
func (l *faultLab) try(faults ...fault) bool {
	l.t.Helper()
	l.must(l.prepare())
	run := l.a.strike(l.t, l.verb, faults...)
	hit := run.wasKilled() || len(run.hits()) >= len(faults)
	if hit {
		l.figures.count(faults[len(faults)-1])
	}
	if err := l.judge(run, faults); err != nil {
		l.faulty++
		l.t.Errorf("%s with %v: %v\n%s\n%v", l.verb, faults, err, strings.Join(run.hits(), "\n"), run.Invocation)
		if l.faulty >= enoughFaulty {
			l.t.Fatal("and so on")
		}
		l.renew()
	}
	return hit
}

// judge compares the pod with what the command says that it has done.
func (l *faultLab) judge(run struck, faults []fault) error {
	last := faults[len(faults)-1]
	l.ready = false
	switch {
	case run.wasKilled() || run.crashed():
		if last.kind.again {
			if err := l.attachAgain(); err != nil {
				return err
			}
		}
	case run.ExitCode != 0:
		failure, err := refusal(run)
		if err != nil {
			return err
		}
		if l.verb == "DEL" {
			break
		}
		if strings.Contains(failure, "could not be taken back") || run.mute() {
			// strace counts by thread: one fault can hit two calls of two threads.
			if len(faults) == 1 && len(run.hits()) == 1 && !last.kind.onwards {
				return errors.New("it could not be taken back, though nothing was in the way")
			}
			break
		}
		if diff := l.differs(l.before); diff != "" {
			return fmt.Errorf("it failed and left something (-before +after):\n%s", diff)
		}
		l.ready = true
		return nil
	default:
		if string(run.Stdout) != l.stdout {
			return fmt.Errorf("it printed another result than without the fault, which is:\n%s", l.stdout)
		}
		if l.verb == "DEL" && len(run.Stderr) > 0 {
			break // it has said that something stays
		}
		if diff := l.routingDiffers(l.after); diff != "" {
			return fmt.Errorf("it succeeded and did something else (-without the fault +with it):\n%s", diff)
		}
	}
	return l.leave()
}

// attachAgain is what a runtime may do after an ADD that was killed.
func (l *faultLab) attachAgain() error {
	if l.verb == "DEL" {
		return nil
	}
	if err := l.run("ADD", l.a); err != nil {
		return err
	}
	return l.run("CHECK", l.a)
}

// refusal is the message of a command that failed.
func refusal(run struck) (string, error) {
	if run.mute() {
		return "", nil
	}
	failure, err := run.Failure()
	if err != nil {
		return "", err
	}
	return failure.Msg, nil
}

// podState is what a pod's routing is, and what is remembered of it.
type podState struct {
	imprint  netlab.Imprint
	snapshot netlab.Snapshot
	records  map[string]string
}

func (l *faultLab) look() podState {
	l.t.Helper()
	return podState{l.pod.NS.Imprint(l.t), l.pod.NS.Snapshot(l.t), l.records()}
}

// records are the files of dataDir.
func (l *faultLab) records() map[string]string {
	l.t.Helper()
	records := map[string]string{}
	for _, file := range files(l.t, l.dataDir) {
		content, err := os.ReadFile(file)
		l.must(err)
		records[file] = string(content)
	}
	return records
}

// differs is what is not as it was, if anything.
func (l *faultLab) differs(want podState) string {
	l.t.Helper()
	diff := l.routingDiffers(want)
	if now := l.records(); !maps.Equal(now, want.records) {
		diff += fmt.Sprintf("records:\n\t- %v\n\t+ %v\n", want.records, now)
	}
	return diff
}

// routingDiffers is differs without what is remembered.
func (l *faultLab) routingDiffers(want podState) string {
	l.t.Helper()
	if l.pod.NS.Imprint(l.t) == want.imprint {
		return ""
	}
	return l.comparable(want.snapshot).Diff(l.comparable(l.pod.NS.Snapshot(l.t)))
}

// comparable is a snapshot with as much order as matters. That of rules of one priority means
// nothing among ours, which an undo may bring back behind others. A DEL that was killed, or
// failed, may leave the hops of a multipath route in another order, which means nothing; and ip
// prints them in that order.
func (l *faultLab) comparable(s netlab.Snapshot) netlab.Snapshot {
	s = maps.Clone(s)
	for _, dump := range []string{"ip -4 -details rule", "ip -6 -details rule"} {
		ours := func(line string) bool { return strings.Contains(line, "proto 73") }
		own := slices.DeleteFunc(slices.Clone(s[dump]), func(line string) bool { return !ours(line) })
		s[dump] = append(slices.DeleteFunc(slices.Clone(s[dump]), ours), slices.Sorted(slices.Values(own))...)
	}
	if l.verb == "DEL" {
		const routes = "ip -6 -details route show table all"
		s[routes] = slices.Sorted(slices.Values(s[routes]))
	}
	return s
}
