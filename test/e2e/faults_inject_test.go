package e2e

import (
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// fault is one interference with a run of the executable.
type fault struct {
	call  string // the system call
	place int    // which of those that a thread makes, from 1 on
	kind  faultKind
}

func (f fault) String() string { return fmt.Sprintf("%s %d: %s", f.call, f.place, f.kind.name) }

// faultKind is what happens to a system call, which is not carried out.
type faultKind struct {
	name string
	// inject is it in the words of strace.
	inject string
	// onwards says that it happens to all further ones, too.
	onwards bool
	// again says that ADD is what comes next, and not DEL.
	again bool
}

// once is an error of one system call.
func once(errno string) faultKind { return faultKind{name: errno, inject: "error=" + errno} }

var (
	killed          = faultKind{name: "SIGKILL", inject: "signal=KILL"}
	killedThenAgain = faultKind{name: "SIGKILL, ADD", inject: "signal=KILL", again: true}
	fromHereOn      = faultKind{name: "EPERM from here on", inject: "error=EPERM", onwards: true}
)

// faultKinds are the faults of a system call that come after others, if any. EAGAIN of a socket is
// none: Go's poller waits for the answer then (TestLostAnswer in pkg/kernel has one that never comes).
func faultKinds(call string, earlier []fault) []faultKind {
	kinds := []faultKind{
		once("EPERM"), once("ENOBUFS"), killed, once("EEXIST"), once("ENODEV"), fromHereOn, once("EINTR"), once("ENOSPC"), killedThenAgain,
	}
	switch call {
	case "write", "read":
		kinds = append(kinds, once("EIO"))
	}
	return slices.DeleteFunc(kinds, func(k faultKind) bool {
		// A socket never answers by what is the kernel's word about a change: package nl does not
		// tell them apart, and the tolerant undo believes it.
		if isSocket := strings.HasPrefix(call, "send") || strings.HasPrefix(call, "recv"); isSocket && refuses(k) {
			return true
		}
		// Strace cannot do one thing to a call first, and then another.
		return len(earlier) > 0 && earlier[0].call == call && (k.onwards || k.kills())
	})
}

// refuses says that the errno is one by which the kernel refuses changes.
func refuses(k faultKind) bool {
	return slices.Contains([]string{"EPERM", "EEXIST", "ENODEV", "ENOSPC", fromHereOn.name}, k.name)
}

// kills says that there is an end to the executable.
func (k faultKind) kills() bool { return strings.HasPrefix(k.inject, "signal=") }

// faultyCalls are the system calls that the executable makes to some purpose: all but
// those of memory, threads, signals and polling, which are the Go runtime's. The
// question mark is for those that a machine may not have.
const faultyCalls = "sendto,sendmsg,recvfrom,recvmsg,setns,openat,read,write,?rename,renameat,renameat2,?mkdir,mkdirat," +
	"?unlink,unlinkat,fsync,flock,fstat,newfstatat,getdents64,socket,setsockopt,getsockopt,ioctl"

// struck is a run of the executable with what strace saw of it.
type struck struct {
	netlab.Invocation
	trace []string // a line for each system call that was traced
}

// hits are the system calls that failed by our doing.
func (s struck) hits() []string {
	return slices.DeleteFunc(slices.Clone(s.trace), func(line string) bool { return !strings.Contains(line, "(INJECTED)") })
}

// wasKilled says whether the executable was: strace then kills itself, too.
func (s struck) wasKilled() bool { return s.ExitCode < 0 }

// crashed says whether the Go runtime was kept from waking itself up, about which it
// can do nothing.
func (s struck) crashed() bool {
	return slices.ContainsFunc(s.hits(), func(line string) bool { return strings.Contains(line, "[eventfd]") })
}

// mute says whether it was kept from saying what was wrong.
func (s struck) mute() bool {
	said := slices.DeleteFunc(slices.Clone(s.trace), func(line string) bool { return !toStdout.MatchString(line) })
	return len(said) > 0 && strings.Contains(said[len(said)-1], "(INJECTED)")
}

var (
	toStdout   = regexp.MustCompile(`^\d+ +write\(1<`)
	callOfLine = regexp.MustCompile(`^\d+ +([a-z0-9]+)\(`)
)

// span is the places of a system call from first on.
type span struct{ first, last int }

// count counts the system calls of the thread that makes the most of them.
func count(trace []string) map[string]span {
	threads := map[string]map[string]int{}
	for _, line := range trace {
		call := callOfLine.FindStringSubmatch(line)
		if call == nil {
			continue // the end of one that another thread came between
		}
		thread, _, _ := strings.Cut(line, " ")
		if threads[call[1]] == nil {
			threads[call[1]] = map[string]int{}
		}
		threads[call[1]][thread]++
	}
	most := map[string]span{}
	for call, counts := range threads {
		most[call] = span{1, slices.Max(slices.Collect(maps.Values(counts)))}
	}
	return most
}

// strike runs a command under strace, with these faults.
func (a attachment) strike(t *testing.T, command string, faults ...fault) struck {
	t.Helper()
	calls := []string{faultyCalls}
	if len(faults) > 0 {
		calls = nil
		for _, f := range faults {
			calls = append(calls, f.call)
		}
	}
	return a.straced(t, command, calls, faults...)
}

// straced is strike that traces what it is told to.
func (a attachment) straced(t *testing.T, command string, calls []string, faults ...fault) struck {
	t.Helper()
	file, err := os.CreateTemp("", "strace-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	strace := []string{"strace", "-f", "-y", "-qq", "-o", file.Name(), "-e", "trace=" + strings.Join(calls, ",")}
	if !slices.ContainsFunc(faults, func(f fault) bool { return f.kind.kills() }) {
		// Stops at nothing else, which halves the time; but signals get lost with it.
		strace = append(strace, "--seccomp-bpf")
	}
	call := a.node.RunPluginUnder(t, append(strace, injections(faults)...), a.environ(command), a.stdin(t))
	trace, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return struck{call, strings.Split(strings.TrimSpace(string(trace)), "\n")}
}

// injections are the faults in the words of strace, which keeps one for each call: of
// two errors of one call both are the second.
func injections(faults []fault) []string {
	when := map[string]string{}
	for _, f := range faults {
		places := fmt.Sprint(f.place)
		if f.kind.onwards {
			places += "+"
		}
		if first := faults[0]; first != f && first.call == f.call {
			places = fmt.Sprintf("%d..%d+%d", first.place, f.place, f.place-first.place)
		}
		when[f.call] = fmt.Sprintf("inject=%s:%s:when=%s", f.call, f.kind.inject, places)
	}
	var args []string
	for _, call := range slices.Sorted(maps.Keys(when)) {
		args = append(args, "-e", when[call])
	}
	return args
}
