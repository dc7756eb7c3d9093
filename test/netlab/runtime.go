package netlab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// Runtime is a container runtime on one node: libcni, with a memory of its own,
// that runs plugins in the node's namespace.
type Runtime struct {
	Node *NS

	cni  *libcni.CNIConfig
	exec *nodeExec
}

// NewRuntime makes a runtime that works in the namespace node.
func NewRuntime(t testing.TB, node *NS) *Runtime {
	t.Helper()
	exec := &nodeExec{node: node}
	path := []string{BinDir(t)}
	return &Runtime{
		Node: node,
		cni:  libcni.NewCNIConfigWithCacheDir(path, t.TempDir(), exec),
		exec: exec,
	}
}

// Pod is a container with a network namespace.
type Pod struct {
	ID string
	NS *NS
}

// NewPod makes a pod without any NIC.
func NewPod(t testing.TB) *Pod {
	t.Helper()
	ns := New(t, "pod")
	return &Pod{ID: ns.Name, NS: ns}
}

func (r *Runtime) conf(pod *Pod, nic string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: pod.ID, NetNS: pod.NS.Path, IfName: nic}
}

// Add attaches a pod to a network.
func (r *Runtime) Add(list Conflist, pod *Pod, nic string) (*current.Result, error) {
	parsed, err := libcni.NetworkConfFromBytes(list)
	if err != nil {
		return nil, err
	}
	result, err := r.cni.AddNetworkList(context.Background(), parsed, r.conf(pod, nic))
	if err != nil {
		return nil, err
	}
	return current.NewResultFromResult(result)
}

// MustAdd is Add for tests that are about what comes after it. The attachment
// goes away with the pod's namespace; no DEL is made for it.
func (r *Runtime) MustAdd(t testing.TB, list Conflist, pod *Pod, nic string) *current.Result {
	t.Helper()
	result, err := r.Add(list, pod, nic)
	if err != nil {
		t.Fatalf("ADD of %s: %v", nic, describe(err))
	}
	return result
}

// Check asks every plugin of the list whether the attachment is as it should be.
func (r *Runtime) Check(list Conflist, pod *Pod, nic string) error {
	parsed, err := libcni.NetworkConfFromBytes(list)
	if err != nil {
		return err
	}
	return r.cni.CheckNetworkList(context.Background(), parsed, r.conf(pod, nic))
}

// MustCheck is Check where nothing is wrong.
func (r *Runtime) MustCheck(t testing.TB, list Conflist, pod *Pod, nic string) {
	t.Helper()
	if err := r.Check(list, pod, nic); err != nil {
		t.Errorf("CHECK of %s: %v", nic, describe(err))
	}
}

// Del detaches a pod from a network.
func (r *Runtime) Del(list Conflist, pod *Pod, nic string) error {
	return r.del(list, r.conf(pod, nic))
}

// DelAt is Del with another CNI_NETNS than the pod's.
func (r *Runtime) DelAt(list Conflist, pod *Pod, nic, netns string) error {
	conf := r.conf(pod, nic)
	conf.NetNS = netns
	return r.del(list, conf)
}

func (r *Runtime) del(list Conflist, conf *libcni.RuntimeConf) error {
	parsed, err := libcni.NetworkConfFromBytes(list)
	if err != nil {
		return err
	}
	return r.cni.DelNetworkList(context.Background(), parsed, conf)
}

// MustDel is Del that has to succeed.
func (r *Runtime) MustDel(t testing.TB, list Conflist, pod *Pod, nic string) {
	t.Helper()
	if err := r.Del(list, pod, nic); err != nil {
		t.Errorf("DEL of %s: %v", nic, describe(err))
	}
}

// GC tells the plugins of a network which attachments are still in use.
func (r *Runtime) GC(list Conflist, valid ...types.GCAttachment) error {
	parsed, err := libcni.NetworkConfFromBytes(list)
	if err != nil {
		return err
	}
	return r.cni.GCNetworkList(context.Background(), parsed, &libcni.GCArgs{ValidAttachments: valid})
}

// Status asks the plugins of a network whether they can serve.
func (r *Runtime) Status(list Conflist) error {
	parsed, err := libcni.NetworkConfFromBytes(list)
	if err != nil {
		return err
	}
	return r.cni.GetStatusNetworkList(context.Background(), parsed)
}

// Last is the newest run of a plugin with a command ("symroute", "ADD").
func (r *Runtime) Last(t testing.TB, plugin, command string) Invocation {
	t.Helper()
	r.exec.mu.Lock()
	defer r.exec.mu.Unlock()
	for i := len(r.exec.calls) - 1; i >= 0; i-- {
		call := r.exec.calls[i]
		if call.Plugin != plugin {
			continue
		}
		for _, variable := range call.Env {
			if variable == "CNI_COMMAND="+command {
				return call
			}
		}
	}
	t.Fatalf("%s %s never ran", plugin, command)
	return Invocation{}
}

// describe shows a CNI error with its code, which its text lacks.
func describe(err error) string {
	var failure *types.Error
	if errors.As(err, &failure) {
		return fmt.Sprintf("error %d: %v", failure.Code, failure)
	}
	return err.Error()
}

// nodeExec is how libcni runs plugins: in the node's namespace, with a record
// of what they were told and what they answered.
type nodeExec struct {
	version.PluginDecoder
	node *NS

	mu    sync.Mutex
	calls []Invocation
}

func (e *nodeExec) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

func (e *nodeExec) ExecPlugin(_ context.Context, path string, stdin []byte, env []string) ([]byte, error) {
	call, err := e.node.invoke(path, env, stdin)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.calls = append(e.calls, call)
	e.mu.Unlock()
	if call.ExitCode == 0 {
		return call.Stdout, nil
	}
	failure, err := decodeError(call.Stdout)
	if err != nil {
		failure = types.NewError(types.ErrInternal, err.Error(), call.String())
	}
	return nil, failure
}

// Exec is how the runtime runs plugins: in the node's namespace, with a record
// that Last looks at. It is for tests that drive libcni themselves.
func (r *Runtime) Exec() invoke.Exec { return r.exec }
