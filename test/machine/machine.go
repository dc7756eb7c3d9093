// Package machine makes machines for tests: each with processes, a file system, a network and cgroups of its own.
package machine

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

//go:embed boot.sh
var boot string

// Machine is where a container runtime works: with processes, a file system, a
// network and a cgroup of its own, so that it sees nothing of the real machine's
// containers and networks, and nothing of it stays. Its /usr and /etc are the
// real machine's, with the runtimes' packages laid over them; whatever is written
// there, or anywhere else, is in memory, and gone with process 1.
type Machine struct {
	node *netlab.NS
	init *os.Process
	// Cgroup is the parent of all the machine's containers.
	Cgroup string
}

// Software is what a machine has beside what the real one has.
type Software struct {
	// Variable names the folder with usr and etc of the packages that the real machine lacks, which Script has put there.
	Variable, Script string
	// Inside and Setup are shell: Inside is for mounts from the real machine, in the new one's root, and Setup runs when that
	// is the root. $software is the folder, and $cgroup the name of the machine's cgroup.
	Inside, Setup string
}

// New starts a machine whose network is the namespace node.
func New(t *testing.T, node *netlab.NS, s Software) *Machine {
	t.Helper()
	software := os.Getenv(s.Variable)
	if software == "" {
		t.Fatalf("%s is not set: run these tests by %q, which gets what they need", s.Variable, s.Script)
	}
	init := exec.Command("sh", "-c", boot, "init", software, t.TempDir(), node.Name, s.Inside, s.Setup)
	init.Stderr = os.Stderr
	init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	out, err := init.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Do(init.Start); err != nil {
		t.Fatalf("cannot start a machine: %v", err)
	}
	m := &Machine{node: node, init: init.Process, Cgroup: "/" + node.Name}
	t.Cleanup(func() {
		init.Process.Kill()
		init.Wait()
		m.removeCgroups(t)
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the machine does not start: %q, %v", line, err)
	}
	return m
}

// Path is where a file of the machine is seen from outside.
func (m *Machine) Path(file string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.init.Pid), file)
}

// Write puts a file into the machine.
func (m *Machine) Write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.Path(file)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(file), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Command is a program of the machine, not started yet.
func (m *Machine) Command(args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.init.Pid), "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd"}
	cmd := exec.Command("nsenter", append(append(enter, "--"), args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	return cmd
}

// Run runs a program of the machine and returns what it prints.
func (m *Machine) Run(args ...string) (string, error) {
	cmd := m.Command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// Must is run for what cannot fail.
func (m *Machine) Must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.Run(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Files lists the files below a folder of the machine.
func (m *Machine) Files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(m.Path(dir), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, strings.TrimPrefix(path, m.Path("/")))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// removeCgroups removes what the machine's containers had in the cgroup
// hierarchies, which are the kernel's and do not end with the machine.
func (m *Machine) removeCgroups(t *testing.T) {
	t.Helper()
	for _, root := range cgroups(m.node.Name) {
		netlab.Eventually(t, root+" is empty", func() bool { return removeTree(root) == nil })
	}
}

// SweepCgroups removes the cgroups of machines whose tests were killed.
func SweepCgroups() error {
	var failed []error
	for _, root := range cgroups("*") {
		if netlab.Stale(filepath.Base(root)) {
			failed = append(failed, removeTree(root))
		}
	}
	return errors.Join(failed...)
}

// cgroups lists the folders of cgroups that lie at the top of a hierarchy, be it
// the only one or one of several.
func cgroups(name string) []string {
	var roots []string
	for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(filepath.Join(hierarchy, name))
		if err != nil {
			panic(err) // a malformed pattern
		}
		roots = append(roots, found...)
	}
	return roots
}

// removeTree removes the folders of a cgroup, the deepest first.
func removeTree(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := removeTree(filepath.Join(root, entry.Name())); err != nil {
			return err
		}
	}
	if err := unix.Rmdir(root); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", root, err)
	}
	return nil
}
