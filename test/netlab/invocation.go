package netlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

// Invocation is one run of a CNI plugin: what it was given and what it said.
type Invocation struct {
	Plugin string
	// Env holds the CNI_ variables ("CNI_COMMAND=ADD").
	Env            []string
	Stdin          []byte
	Stdout, Stderr []byte
	ExitCode       int
}

// Failed is the error that the plugin printed, nil after a success. A plugin
// that fails without saying why in the way of the CNI specification, or because
// it panicked, fails the test.
func (i Invocation) Failed(t testing.TB) *types.Error {
	t.Helper()
	if i.ExitCode == 0 {
		return nil
	}
	failure, err := i.Failure()
	if err != nil {
		t.Fatalf("%v\n%v", err, i)
	}
	return failure
}

// Failure is the error that the plugin printed when it failed, or what is wrong with
// the way it failed.
func (i Invocation) Failure() (*types.Error, error) {
	failure, err := decodeError(i.Stdout)
	if err != nil {
		return nil, err
	}
	for _, sign := range []string{"panic:", "goroutine ", "runtime error", "internal error"} {
		if bytes.Contains(i.Stderr, []byte(sign)) || strings.Contains(failure.Msg, sign) {
			return nil, errors.New("the plugin panicked")
		}
	}
	if i.ExitCode != 1 {
		return nil, fmt.Errorf("exit code %d, want 1", i.ExitCode)
	}
	return failure, nil
}

// decodeError reads the error object of the CNI specification. Anything beside
// it on standard output is a fault.
func decodeError(stdout []byte) (*types.Error, error) {
	var failure struct {
		Code    *uint  `json:"code"`
		Msg     string `json:"msg"`
		Details string `json:"details"`
	}
	if err := json.Unmarshal(stdout, &failure); err != nil {
		return nil, fmt.Errorf("standard output is not one CNI error: %w", err)
	}
	if failure.Code == nil || failure.Msg == "" {
		return nil, errors.New("the CNI error lacks code or msg")
	}
	return types.NewError(*failure.Code, failure.Msg, failure.Details), nil
}

// String shows a run the way a failed test should.
func (i Invocation) String() string {
	const enough = 4000
	stdin := i.Stdin
	if len(stdin) > enough {
		stdin = append(append([]byte{}, stdin[:enough]...), "..."...)
	}
	return fmt.Sprintf("%s (%s) exit code %d\nstdin:  %s\nstdout: %s\nstderr: %s",
		i.Plugin, strings.Join(i.Env, " "), i.ExitCode, stdin, i.Stdout, i.Stderr)
}

// invoke runs a plugin in the namespace. It does not judge.
func (n *NS) invoke(path string, env []string, stdin []byte, args ...string) (Invocation, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := n.Do(cmd.Run)
	call := Invocation{
		Plugin: filepath.Base(path),
		Stdin:  stdin,
		Stdout: stdout.Bytes(),
		Stderr: stderr.Bytes(),
	}
	for _, variable := range env {
		if strings.HasPrefix(variable, "CNI_") {
			call.Env = append(call.Env, variable)
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		call.ExitCode = exit.ExitCode()
		err = nil
	}
	return call, err
}

// RunPlugin runs the symroute executable in the namespace, with exactly these
// variables besides PATH, and the given standard input.
func (n *NS) RunPlugin(t testing.TB, env []string, stdin []byte) Invocation {
	t.Helper()
	env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	call, err := n.invoke(filepath.Join(BinDir(t), "symroute"), env, stdin)
	if err != nil {
		t.Fatalf("cannot run symroute: %v", err)
	}
	return call
}

// RunPluginUnder is RunPlugin with another program in charge, such as strace:
// wrapper is that program and its arguments.
func (n *NS) RunPluginUnder(t testing.TB, wrapper, env []string, stdin []byte) Invocation {
	t.Helper()
	program, err := exec.LookPath(wrapper[0])
	if err != nil {
		t.Fatalf("%s is missing: install the package of that name", wrapper[0])
	}
	env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	args := slices.Concat(wrapper[1:], []string{filepath.Join(BinDir(t), "symroute")})
	call, err := n.invoke(program, env, stdin, args...)
	if err != nil {
		t.Fatalf("cannot run %s: %v", program, err)
	}
	return call
}
