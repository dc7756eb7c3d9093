package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// The agent of a node that is as full as Kubernetes allows, and more.
const (
	agentName      = "symroute-agent, 500 pods, 4 NICs each"
	packageOfAgent = "github.com/symroute/symroute/cmd/symroute-agent"
	agentPods      = 500
	agentIdle      = 20 * time.Second
	// agentInterval is the default of --audit-interval.
	agentInterval = 5 * time.Minute
)

// agentFigures are what an agent takes.
type agentFigures struct {
	audit    time.Duration // of all attachments
	auditCPU time.Duration
	idleCPU  time.Duration // in agentIdle
	peak     int           // of its memory, in bytes
	still    int           // what it has when nothing happens
}

// agents attaches a fleet and lets an agent watch over it: one audit, then nothing, then a flap in each pod.
func (b *bench) agents(t *testing.T) {
	t.Helper()
	binary := buildGo(t, t.TempDir(), "symroute-agent", packageOfAgent)
	pods := b.bare(t, agentPods)
	home := roster{paths: b.paths, dataDir: filepath.Join(b.dataDir, "agent")}
	b.attachFleet(t, home.symroute(shape{addresses: 1}), pods)
	b.agent = measureAgent(t, binary, home.dataDir, pods)
	b.remove(t, pods)
	b.printAgent()
}

func measureAgent(t *testing.T, binary, dataDir string, pods []*netlab.NS) *agentFigures {
	t.Helper()
	cmd := exec.Command(binary, "run", "--install=false", "--data-dir="+dataDir, "--audit-interval=1h",
		"--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=")
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	address := make(chan string, 1)
	go readLog(stderr, address)
	at := <-address
	want := fmt.Sprint(agentPods * fleetNICs)
	symmetric := func() bool { return metric(t, at, `symroute_attachments{state="symmetric"}`) == want }
	netlab.Eventually(t, "the first audit", func() bool {
		return metric(t, at, "symroute_audit_last_completed_timestamp_seconds") != "0" && symmetric()
	})
	f := &agentFigures{auditCPU: cpuOf(t, cmd)}
	seconds, err := strconv.ParseFloat(metric(t, at, "symroute_audit_duration_seconds"), 64)
	if err != nil {
		t.Fatal(err)
	}
	f.audit = time.Duration(seconds * float64(time.Second))
	time.Sleep(2 * time.Second) // what the audit has changed is heard, and garbage is collected
	before := cpuOf(t, cmd)
	time.Sleep(agentIdle)
	f.idleCPU = cpuOf(t, cmd) - before
	f.still = memoryOf(t, cmd, "VmRSS")
	for _, p := range pods { // all at once, as when the node's uplink flaps
		p.Batch(t, "link set net1 down", "link set net1 up")
	}
	netlab.Eventually(t, "all are repaired", func() bool {
		return metric(t, at, "symroute_link_flaps_total") == fmt.Sprint(agentPods) && symmetric()
	})
	f.peak = memoryOf(t, cmd, "VmHWM")
	return f
}

// readLog reads the log of an agent, and tells where it serves.
func readLog(log io.Reader, address chan<- string) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Flag, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Flag == "--metrics-bind-address" {
			address <- line.Address
		}
	}
}

// metric is the value of a series.
func metric(t *testing.T, address, series string) string {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$").FindSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", series, text)
	}
	return string(m[1])
}

// cpuOf is what a process has taken of CPU time (proc_pid_stat(5), utime and stime, in 100ths of a second).
func cpuOf(t *testing.T, cmd *exec.Cmd) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	if errUser != nil || errSystem != nil {
		t.Fatal(errUser, errSystem)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memoryOf is a value of /proc/PID/status in bytes.
func memoryOf(t *testing.T, cmd *exec.Cmd, key string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + key + `:\s+(\d+) kB$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", key, text)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

func (f figures) printAgent() {
	a := f.agent
	section(agentName, table{
		{"", ""},
		{"audit of all attachments, s", fmt.Sprintf("%.2f", a.audit.Seconds())},
		{"CPU time of start and audit, s", fmt.Sprintf("%.2f", a.auditCPU.Seconds())},
		{fmt.Sprintf("CPU time of %s without a change, ms", agentIdle), fmt.Sprint(a.idleCPU.Milliseconds())},
		{"memory then, MiB", fmt.Sprintf("%.1f", float64(a.still)/(1<<20))},
		{"most memory, with a link flap in each pod, MiB", fmt.Sprintf("%.1f", float64(a.peak)/(1<<20))},
	})
}

// agentAudit is what an audit takes, in seconds.
func agentAudit(f figures, _ quantity) (seconds float64, measured bool) {
	if f.agent == nil {
		return 0, false
	}
	return f.agent.audit.Seconds(), true
}

// agentMemory is the most memory that it had, in MiB.
func agentMemory(f figures, _ quantity) (mib float64, measured bool) {
	if f.agent == nil {
		return 0, false
	}
	return float64(f.agent.peak) / (1 << 20), true
}

// agentShare is how much of a CPU it takes if nothing happens, audits included, in percent.
func agentShare(f figures, _ quantity) (percent float64, measured bool) {
	if f.agent == nil {
		return 0, false
	}
	return 100 * (f.agent.idleCPU.Seconds()/agentIdle.Seconds() + f.agent.auditCPU.Seconds()/agentInterval.Seconds()), true
}
