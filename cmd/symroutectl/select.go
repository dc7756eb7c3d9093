package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// selection says which pods a command is about.
type selection struct {
	node        node.Node
	namespace   string
	all         bool
	netns       string
	containerID string
}

// dirs adds the options that say where to look.
func (s *selection) dirs(cmd *cobra.Command) {
	s.node = node.Default()
	flags := cmd.Flags()
	flags.StringSliceVar(&s.node.DataDirs, "data-dir", s.node.DataDirs, `where the records are (the key "dataDir" of the networks)`)
	flags.StringVar(&s.node.CacheDir, "cni-cache-dir", s.node.CacheDir, "where libcni remembers attachments")
}

// one adds the options that select one pod.
func (s *selection) one(cmd *cobra.Command) {
	s.dirs(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&s.namespace, "namespace", "n", "", "Kubernetes namespace of POD")
	flags.StringVar(&s.netns, "netns", "", "the pod whose network namespace is at this path, or is that of this process ID")
	flags.StringVar(&s.containerID, "container-id", "", "the pod of this container (sandbox) ID, or of one that begins so")
	cmd.MarkFlagsMutuallyExclusive("netns", "container-id")
	cmd.ValidArgsFunction = s.complete
}

// complete offers names of pods to a shell: NAMESPACE/NAME, and NAME alone where a namespace is given or where the
// name has been begun.
func (s *selection) complete(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || s.named() || s.all {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	pods, _ := s.node.Pods() // a shell has no place for what cannot be read
	var names []cobra.Completion
	for _, p := range pods {
		full := p.String()
		namespace, name, _ := strings.Cut(full, "/")
		switch {
		case namespace == "" || name == "": // it has no name, but that of a container or a path
		case s.namespace == namespace:
			names = append(names, name)
		case s.namespace != "":
		case strings.HasPrefix(full, begun):
			names = append(names, full)
		case strings.HasPrefix(name, begun):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// several adds the options that select one pod or all.
func (s *selection) several(cmd *cobra.Command) {
	s.one(cmd)
	cmd.Flags().BoolVarP(&s.all, "all", "A", false, "all pods of the node")
	cmd.MarkFlagsMutuallyExclusive("all", "netns", "container-id")
}

// errNoSelection is what a command without a pod gets.
var errNoSelection = errors.New("name a pod: POD, --netns or --container-id")

// pods lists all pods of the node. What cannot be read of some keeps nobody from the others.
func (a *app) pods() []node.Pod {
	pods, err := a.selection.node.Pods()
	return a.noted(pods, err)
}

// noted are pods of which it has been said that some could not be read, and why.
func (a *app) noted(pods []node.Pod, err error) []node.Pod {
	if err != nil {
		a.note("%v", err)
	}
	a.unread = err
	return pods
}

// named says whether options have named the pod, so that no argument does.
func (s selection) named() bool { return s.netns != "" || s.containerID != "" }

// pod is the one pod that the options name, or else the first argument.
func (a *app) pod(args []string) (node.Pod, []string, error) {
	s := a.selection
	switch {
	case s.netns != "":
		p, err := a.podAt(s.netns)
		return p, args, err
	case s.containerID != "":
		p, err := node.OfContainer(a.pods(), s.containerID)
		return p, args, err
	case len(args) == 0 || isAddress(args[0]):
		return node.Pod{}, nil, errNoSelection
	}
	p, err := node.Named(a.pods(), args[0], s.namespace)
	return p, args[1:], err
}

// isAddress says whether an argument is what another one was meant to be.
func isAddress(arg string) bool {
	_, err := netip.ParseAddr(arg)
	return err == nil
}

// podAt is the pod whose network namespace --netns names.
func (a *app) podAt(netns string) (node.Pod, error) {
	p, err := node.At(a.pods(), netns)
	if errors.Is(err, kernel.ErrGone) {
		err = fmt.Errorf("--netns: %w; name a file such as %s, or a process ID", err, filepath.Join("/run/netns", "NAME"))
	}
	return p, err
}

// selected are the pods of a command that takes several: the one that is named, or all that symroute
// remembers, of a Kubernetes namespace if one is given.
func (a *app) selected(args []string) ([]node.Pod, error) {
	s := a.selection
	if !s.all && (s.named() || len(args) > 0) {
		p, rest, err := a.pod(args)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("unexpected argument %q", rest[0])
		}
		return []node.Pod{p}, err
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("--all and %q exclude one another", args[0])
	}
	if !s.all && s.namespace == "" {
		return nil, fmt.Errorf("%w, or --all", errNoSelection)
	}
	remembered, err := s.node.Remembered()
	var out []node.Pod
	for _, p := range a.noted(remembered, err) {
		if s.namespace == "" || p.Kubernetes.Namespace == s.namespace {
			out = append(out, p)
		}
	}
	return out, nil
}
