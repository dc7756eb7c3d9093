// Package node finds the pods of a node: those that symroute remembers, and those that libcni does, which
// has them all. It needs no runtime and no API server.
package node

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/libcni"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/record"
)

// Node is where to look.
type Node struct {
	// DataDirs are where networks have their records (the key "dataDir").
	DataDirs []string
	// CacheDir is where libcni remembers attachments, by default /var/lib/cni.
	CacheDir string
}

// Default is a node whose networks leave it at the usual places.
func Default() Node {
	return Node{DataDirs: []string{config.DefaultDataDir}, CacheDir: libcni.CacheDir}
}

// Pod is a network namespace with what is known of it.
type Pod struct {
	// Kubernetes is how Kubernetes names it; empty: nobody told.
	Kubernetes  record.Pod
	ContainerID string
	// Netns is the path of the network namespace.
	Netns string
	// Identity is the namespace's (kernel.Namespace.Identity); "" where symroute remembers nothing.
	Identity string
	// Attachments are those of symroute, by interface.
	Attachments []Attachment
}

// Attachment is one that symroute remembers.
type Attachment struct {
	record.Attachment
	DataDir string // where its record is
}

// String names the pod, as well as it can be.
func (p Pod) String() string {
	switch {
	case p.Kubernetes.Name != "":
		return p.Kubernetes.Namespace + "/" + p.Kubernetes.Name
	case p.ContainerID != "":
		return "container " + p.ContainerID
	}
	return p.Netns
}

// Alive says whether the pod's namespace is still there. One that goes while it is looked at is gone, and not
// broken.
func (p Pod) Alive() bool {
	if p.Identity != "" {
		return kernel.Alive(p.Netns, p.Identity, p.ContainerID)
	}
	ns, err := kernel.Enter(p.Netns)
	if err != nil {
		return !errors.Is(err, kernel.ErrGone) && !errors.Is(err, kernel.ErrHost) // what is in doubt lives
	}
	_ = ns.Close() // it was only looked at
	return true
}

// Pods lists the pods of the node by their names. Its error joins what could not be read; what could is
// returned with it.
func (n Node) Pods() ([]Pod, error) {
	all, err := n.remembered()
	paths := map[string]bool{}
	for _, p := range all {
		paths[p.Netns] = true
	}
	cached, cacheErr := n.cached()
	for _, p := range cached {
		if !paths[p.Netns] {
			all = append(all, p)
		}
	}
	sortByName(all)
	return all, errors.Join(err, cacheErr)
}

// Remembered lists the pods that symroute remembers, by their names, with errors as those of Pods. It does not
// read libcni's cache.
func (n Node) Remembered() ([]Pod, error) {
	all, err := n.remembered()
	sortByName(all)
	return all, err
}

// Identities are the namespaces that symroute remembers anything of, without what that is. Its error is the
// system's.
func (n Node) Identities() ([]string, error) {
	var all []string
	for _, dir := range n.DataDirs {
		names, err := record.NewStore(dir).Namespaces()
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// In is the pod of a namespace, as symroute remembers it; one without attachments where it remembers nothing.
// Its error is that of Pods.
func (n Node) In(identity string) (Pod, error) {
	var found []remembered
	var faults []error
	for _, dir := range n.DataDirs {
		all, err := record.NewStore(dir).In(identity)
		faults = append(faults, err)
		for _, a := range all {
			found = append(found, remembered{a, dir})
		}
	}
	pods := podsOf(found)
	if len(pods) == 0 {
		return Pod{Identity: identity}, errors.Join(faults...)
	}
	return pods[0], errors.Join(faults...)
}

func sortByName(all []Pod) {
	slices.SortStableFunc(all, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Kubernetes.Namespace, b.Kubernetes.Namespace), cmp.Compare(a.Kubernetes.Name, b.Kubernetes.Name), cmp.Compare(a.ContainerID, b.ContainerID))
	})
}

// remembered is a record, with where it is.
type remembered struct {
	record.Remembered
	dataDir string
}

// remembered are the pods that symroute has records of.
func (n Node) remembered() ([]Pod, error) {
	var found []remembered
	var faults []error
	for _, dir := range n.DataDirs {
		all, err := record.NewStore(dir).List()
		faults = append(faults, err)
		for _, a := range all {
			found = append(found, remembered{a, dir})
		}
	}
	return podsOf(found), errors.Join(faults...)
}

// podsOf puts together what is of one namespace.
func podsOf(found []remembered) []Pod {
	var pods []Pod
	at := map[string]int{} // places in pods by identity
	for _, a := range found {
		i, known := at[a.Namespace]
		if !known {
			i = len(pods)
			at[a.Namespace] = i
			pods = append(pods, Pod{ContainerID: a.ContainerID, Netns: a.Netns, Identity: a.Namespace})
		}
		p := &pods[i]
		if p.Kubernetes.Name == "" {
			p.Kubernetes = a.Pod
		}
		p.Attachments = append(p.Attachments, Attachment{a.Attachment, a.dataDir})
	}
	return pods
}

// cached are the pods that libcni remembers attachments of.
func (n Node) cached() ([]Pod, error) {
	attachments, err := libcni.NewCNIConfigWithCacheDir(nil, n.CacheDir, nil).GetCachedAttachments("")
	if err != nil {
		return nil, fmt.Errorf("read libcni's cache: %w", err)
	}
	var pods []Pod
	type place struct{ container, netns string }
	known := map[place]bool{}
	for _, a := range attachments {
		key := place{a.ContainerID, a.NetNS}
		if a.NetNS == "" || known[key] {
			continue
		}
		known[key] = true
		p := Pod{ContainerID: a.ContainerID, Netns: a.NetNS}
		for _, arg := range a.CniArgs {
			switch arg[0] {
			case "K8S_POD_NAMESPACE":
				p.Kubernetes.Namespace = arg[1]
			case "K8S_POD_NAME":
				p.Kubernetes.Name = arg[1]
			}
		}
		pods = append(pods, p)
	}
	return pods, nil
}

// ErrNoPod is wrapped by the error of a selection that nothing fits, or more than one thing.
var ErrNoPod = errors.New("no such pod")

// Named finds a pod by "name" or "namespace/name". A name alone has to be in one namespace only, unless namespace
// says in which.
func Named(pods []Pod, name, namespace string) (Pod, error) {
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		namespace, name = ns, rest
	}
	var found []Pod
	for _, p := range pods {
		if p.Kubernetes.Name == name && (namespace == "" || p.Kubernetes.Namespace == namespace) {
			found = append(found, p)
		}
	}
	return one(found, fmt.Sprintf("pod %s", name))
}

// OfContainer finds a pod by its container ID, or the beginning of that.
func OfContainer(pods []Pod, id string) (Pod, error) {
	var found []Pod
	for _, p := range pods {
		if strings.HasPrefix(p.ContainerID, id) {
			found = append(found, p)
		}
	}
	return one(found, fmt.Sprintf("container %s", id))
}

// one is the pod of a selection. Of several that were there in turn the one that lives is meant.
func one(found []Pod, what string) (Pod, error) {
	alive := slices.DeleteFunc(slices.Clone(found), func(p Pod) bool { return !p.Alive() })
	switch {
	case len(alive) == 1:
		return alive[0], nil
	case len(alive) > 1:
		names := make([]string, len(alive))
		for i, p := range alive {
			names[i] = fmt.Sprintf("%s (%s)", p, p.Netns)
		}
		return Pod{}, fmt.Errorf("%w: %s is ambiguous: %s", ErrNoPod, what, strings.Join(names, ", "))
	case len(found) > 0:
		return Pod{}, fmt.Errorf("%w: %s is gone: nothing stands at %s any more", ErrNoPod, what, found[0].Netns)
	}
	return Pod{}, fmt.Errorf("%w: neither symroute nor libcni remembers %s", ErrNoPod, what)
}

// At is the pod whose network namespace stands at a path, or is that of a process: whether or not anything is
// remembered of it. Its errors are those of kernel.Enter.
func At(pods []Pod, pathOrPID string) (Pod, error) {
	path := pathOrPID
	if _, err := strconv.Atoi(pathOrPID); err == nil {
		path = "/proc/" + pathOrPID + "/ns/net"
	}
	ns, err := kernel.Enter(path)
	if err != nil {
		return Pod{}, fmt.Errorf("%s: %w", path, err)
	}
	defer ns.Close() //nolint:errcheck // it was only looked at
	for _, p := range pods {
		if is(ns, p) {
			p.Netns = path
			return p, nil
		}
	}
	return Pod{Netns: path}, nil
}

// is says whether a namespace is a pod's.
func is(ns *kernel.Namespace, p Pod) bool {
	if p.Identity != "" {
		identity, err := ns.Identity(p.ContainerID)
		return err == nil && identity == p.Identity
	}
	_, err := os.Stat(p.Netns)
	return err == nil && ns.Holds(p.Netns)
}
