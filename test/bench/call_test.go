package bench

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// plugin is an executable, and what it is told beside what every plugin is told.
type plugin struct {
	name string
	path string
	conf netlab.Object
	args func(pod *netlab.NS) []string // nil: none
	env  []string
}

// call is one run of a plugin.
type call struct {
	plugin plugin
	verb   string
	pod    *netlab.NS
	nic    nic
}

func (c call) String() string { return c.verb + " of " + c.plugin.name + " for " + c.nic.name }

// output is what a process wrote to standard output, to standard error, and to
// descriptor 3.
type output struct{ stdout, stderr, report []byte }

// run runs a plugin that has to succeed, the way a runtime does: its environment is
// CNI's variables, and its streams are pipes. Another program may be in charge:
// wrapper is that program and its arguments.
func (c call) run(wrapper ...string) (output, error) {
	stdin, err := c.stdin()
	if err != nil {
		return output{}, err
	}
	pipes, err := newPipes(4)
	if err != nil {
		return output{}, err
	}
	defer pipes.close()
	if _, err := pipes[0].in.Write(stdin); err != nil {
		return output{}, err
	}
	if err := pipes[0].in.Close(); err != nil {
		return output{}, err
	}
	line := append(wrapper, c.plugin.path) //nolint:gocritic // wrapper is nobody else's
	if c.plugin.args != nil {
		line = append(line, c.plugin.args(c.pod)...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = c.environ()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes[0].out, pipes[1].in, pipes[2].in
	cmd.ExtraFiles = []*os.File{pipes[3].in}
	failed := cmd.Run()
	var said output
	for i, stream := range []*[]byte{&said.stdout, &said.stderr, &said.report} {
		if *stream, err = pipes[i+1].drain(); err != nil {
			return output{}, err
		}
	}
	if failed != nil {
		return said, fmt.Errorf("%v: %w\n%s\n%s", c, failed, said.stdout, said.stderr)
	}
	return said, nil
}

// must runs a call from a test.
func (c call) must(t testing.TB, wrapper ...string) output {
	t.Helper()
	said, err := c.run(wrapper...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// stdin is the configuration as a runtime writes it.
func (c call) stdin() ([]byte, error) {
	conf := netlab.Object{
		"cniVersion": cniVersion,
		"name":       "net-of-" + c.nic.name,
		"type":       c.plugin.name,
		"prevResult": c.nic.result(c.pod),
	}
	for key, value := range c.plugin.conf {
		conf[key] = value
	}
	return json.Marshal(conf)
}

// environ is all of the plugin's environment.
func (c call) environ() []string {
	return append([]string{
		"CNI_COMMAND=" + c.verb,
		"CNI_CONTAINERID=" + containerID(c.pod),
		"CNI_NETNS=" + c.pod.Path,
		"CNI_IFNAME=" + c.nic.name,
		"CNI_PATH=/opt/cni/bin",
	}, c.plugin.env...)
}

// containerID is as long as those of runtimes are, for all pods alike.
func containerID(pod *netlab.NS) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(pod.Name))) }

// pipes are large enough for all that goes through them: nobody has to read, or to
// write, while a plugin runs.
type pipes []pipe

type pipe struct{ out, in *os.File }

const pipeSize = 1 << 20

func newPipes(count int) (pipes, error) {
	var list pipes
	for range count {
		out, in, err := os.Pipe()
		if err != nil {
			list.close()
			return nil, err
		}
		list = append(list, pipe{out, in})
		if _, err := unix.FcntlInt(in.Fd(), unix.F_SETPIPE_SZ, pipeSize); err != nil {
			list.close()
			return nil, fmt.Errorf("enlarge a pipe: %w", err)
		}
	}
	return list, nil
}

func (p pipes) close() {
	for _, pipe := range p {
		pipe.in.Close()
		pipe.out.Close()
	}
}

// drain reads what processes that have ended left in the pipe.
func (p pipe) drain() ([]byte, error) {
	if err := p.in.Close(); err != nil {
		return nil, err
	}
	return io.ReadAll(p.out)
}
