package bench

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// trace is the system calls of one run of a plugin, in the order in which they ended.
type trace []*systemCall

// systemCall is one of them as strace shows it.
type systemCall struct {
	name string
	text string // "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 9"
	sent []byte // what it has written
}

// traced runs a plugin under strace.
func traced(t testing.TB, c call) trace {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: install the package of that name")
	}
	path := filepath.Join(t.TempDir(), "trace")
	c.must(t, strace, "-f", "-qq", "-e", "signal=none", "-e", "write=all", "-o", path)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var reader traceReader
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := reader.read(lines.Text()); err != nil {
			t.Fatalf("strace prints %q: %v", lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return reader.trace
}

// traceReader puts together what strace prints in pieces when threads run at the
// same time:
//
//	71 sendto(9, ..., 40, 0, {sa_family=AF_NETLINK, ...}, 12 <unfinished ...>
//	72 nanosleep({tv_sec=0, tv_nsec=20000}, NULL) = 0
//	71 <... sendto resumed>)        = 40
//	 | 00000  28 00 00 00 12 00 01 03  01 00 00 00 00 00 00 00  (............... |
type traceReader struct {
	trace      trace
	unfinished map[string]string // what a thread's call began with
	over       bool              // the process ends: what strace shows of killed threads may never have been
}

var resumed = regexp.MustCompile(`^<\.\.\. \w+ resumed>`)

func (r *traceReader) read(line string) error {
	if dump, ok := strings.CutPrefix(line, " | "); ok {
		return r.dumped(dump)
	}
	thread, text, _ := strings.Cut(line, " ")
	text = strings.TrimLeft(text, " ")
	if r.over = r.over || strings.HasPrefix(text, "exit_group("); r.over {
		return nil
	}
	if begun, ok := strings.CutSuffix(text, "<unfinished ...>"); ok {
		if r.unfinished == nil {
			r.unfinished = map[string]string{}
		}
		r.unfinished[thread] = begun
		return nil
	}
	if rest := resumed.FindString(text); rest != "" {
		text = r.unfinished[thread] + text[len(rest):]
	}
	if name, _, ok := strings.Cut(text, "("); ok {
		r.trace = append(r.trace, &systemCall{name: name, text: text})
	}
	return nil
}

// dumped adds what the call before has written: an offset, 16 bytes, and the same
// bytes as text.
func (r *traceReader) dumped(line string) error {
	const offset, digits = len("00000  "), 49
	if len(line) < offset+digits || len(r.trace) == 0 {
		return fmt.Errorf("no dump of what was written")
	}
	data, err := hex.DecodeString(strings.ReplaceAll(line[offset:offset+digits], " ", ""))
	last := r.trace[len(r.trace)-1]
	last.sent = append(last.sent, data...)
	return err
}

// ofRuntime are the system calls of Go's runtime: how many there are depends on how
// the machine lets the threads run. (By pread64 it looks for a limit of the cgroup.)
var ofRuntime = regexp.MustCompile(`^(clone3?|epoll_p?wait|futex|getpid|gettid|madvise|m(un)?map|mprotect|nanosleep|` +
	`pread64|restart_syscall|rseq|rt_sig\w+|sched_\w+|set_robust_list|sigaltstack|tgkill|timer_\w+)$`)

// byName counts the system calls that are not the runtime's.
func (tr trace) byName() map[string]int {
	count := map[string]int{}
	for _, c := range tr {
		if !ofRuntime.MatchString(c.name) {
			count[c.name]++
		}
	}
	return count
}

// without takes away what another trace has, too.
func without(count, other map[string]int) map[string]int {
	rest := maps.Clone(count)
	for name, number := range other {
		rest[name] -= number
		if rest[name] == 0 {
			delete(rest, name)
		}
	}
	return rest
}

func total(count map[string]int) int {
	sum := 0
	for _, number := range count {
		sum += number
	}
	return sum
}

// listed shows counts: "close 12, fcntl 21, ...".
func listed(count map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		list = append(list, fmt.Sprintf("%s %d", name, count[name]))
	}
	return strings.Join(list, ", ")
}

var onDescriptor = regexp.MustCompile(`^(\w+)\((\d+)[,)]`)

// toNetlink are the datagrams that were sent over netlink sockets. Each is a round
// trip: every one of them is answered.
func (tr trace) toNetlink() [][]byte {
	sockets := map[string]bool{}
	var datagrams [][]byte
	for _, c := range tr {
		if c.name == "socket" && strings.Contains(c.text, "AF_NETLINK") {
			_, fd, _ := strings.Cut(c.text, " = ")
			sockets[fd] = true
		}
		on := onDescriptor.FindStringSubmatch(c.text)
		switch {
		case on == nil || !sockets[on[2]]:
		case c.name == "close":
			delete(sockets, on[2])
		case len(c.sent) > 0:
			datagrams = append(datagrams, c.sent)
		}
	}
	return datagrams
}
