package ctl

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// agent is a symroute-agent that runs in the node of a script.
type agent struct {
	cmd   *exec.Cmd
	ended chan error

	mu        sync.Mutex
	log       []string
	addresses map[string]string // where it serves, by flag
}

// startAgent starts the agent in the node, with the records of the script and without an audit but the first:
// agent [--FLAG=VALUE ...].
func (l *lab) startAgent(t *testing.T, ts *testscript.TestScript, args []string) {
	if l.agent != nil {
		ts.Fatalf("an agent runs already")
	}
	l.node.Batch(t, "link set lo up")
	a := &agent{ended: make(chan error, 1), addresses: map[string]string{}}
	a.cmd = exec.Command(filepath.Join(netlab.BinDir(t), "symroute-agent"), slices.Concat([]string{
		"run", "--install=false", "--audit-interval=1h", "--data-dir=" + l.dataDir,
		"--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0",
	}, args)...)
	a.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	stderr, err := a.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(l.node.Do(a.cmd.Start))
	t.Cleanup(func() { _ = a.cmd.Process.Kill() })
	go a.read(stderr)
	l.agent = a
}

// read reads the log to its end.
func (a *agent) read(log io.Reader) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Flag, Address string }
		a.mu.Lock()
		a.log = append(a.log, lines.Text())
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Address != "" {
			a.addresses[line.Flag] = line.Address
		}
		a.mu.Unlock()
	}
	a.ended <- a.cmd.Wait()
}

// text is the log so far.
func (a *agent) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.log, "\n")
}

func (a *agent) address(flag string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addresses[flag]
}

// endAgent ends the agent as Kubernetes does. It has to end well.
func (l *lab) endAgent(ts *testscript.TestScript) {
	ts.Check(l.agent.cmd.Process.Signal(unix.SIGTERM))
	if err := <-l.agent.ended; err != nil {
		ts.Fatalf("the agent ends with %v:\n%s", err, l.agent.text())
	}
	ts.Logf("%s", l.agent.text())
	l.agent = nil
}

// logged waits until the log of the agent matches, or with "!" looks that it does not: logged REGEXP.
func (l *lab) logged(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	is, err := regexp.Compile(strings.Join(args, " "))
	ts.Check(err)
	if neg {
		if is.MatchString(l.agent.text()) {
			ts.Fatalf("logged:\n%s", l.agent.text())
		}
		return
	}
	l.eventually(t, "logged "+is.String(), l.agent.text, is)
}

// eventually waits until a text matches; a script that waits in vain shows the text.
func (l *lab) eventually(t *testing.T, what string, text func() string, is *regexp.Regexp) {
	last := ""
	defer func() {
		if !is.MatchString(last) {
			t.Logf("%s: at last\n%s\nlog of the agent:\n%s", what, last, l.agent.text())
		}
	}()
	netlab.Eventually(t, what, func() bool {
		last = text()
		return is.MatchString(last)
	})
}

// metric waits until a line of /metrics is as given, or with "!" looks that no line begins so: metric NAME VALUE.
func (l *lab) metric(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	is := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(strings.Join(args, " ")))
	metrics := func() string {
		text, _ := l.ask(t, ts, "--metrics-bind-address", "/metrics")
		return text
	}
	if neg {
		if is.MatchString(metrics()) {
			ts.Fatalf("found %s", strings.Join(args, " "))
		}
		return
	}
	l.eventually(t, "metric "+strings.Join(args, " "), func() string { return only(metrics(), "symroute_") }, regexp.MustCompile(is.String()+"$"))
}

// only are the lines that begin so.
func only(text, prefix string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}

// get asks for a page of the health probes until it is fine, or with "!" once, and it must not be: get PATH [TEXT].
func (l *lab) get(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	want := "ok"
	if len(args) == 2 {
		want = args[1]
	}
	var text string
	var code int
	netlab.Eventually(t, fmt.Sprint(args), func() bool {
		text, code = l.ask(t, ts, "--health-probe-bind-address", args[0])
		return (code == http.StatusOK) != neg && strings.Contains(text, want)
	})
	ts.Logf("%d %s", code, text)
}

// ask gets a page from the agent.
func (l *lab) ask(t *testing.T, ts *testscript.TestScript, flag, path string) (text string, code int) {
	netlab.Eventually(t, "the agent serves", func() bool { return l.agent.address(flag) != "" })
	text, code, err := l.node.Get(netip.Addr{}, "http://"+l.agent.address(flag)+path, time.Minute)
	ts.Check(err)
	return text, code
}
