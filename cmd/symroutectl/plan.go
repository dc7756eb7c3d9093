package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/preview"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// planOptions are those of plan.
type planOptions struct{ conf, result, ifName string }

func (a *app) plan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan -f CONF [--result FILE] [--netns PATH|PID] [--ifname NAME]",
		Short: "Print what ADD would do, as commands",
		Long: `Prints what ADD of symroute would do with a configuration, as commands of ip and sysctl that do the same. It
changes nothing. Run the commands in the network namespace of the pod, in their order.

CONF is a plugin configuration or a conflist, of which the entry of symroute counts. FILE is the CNI result of the
plugins before symroute, or a file of libcni's cache (/var/lib/cni/results). "-" reads standard input.

With --netns the plan is for that pod: it has what is missing there, and takes away what is not wanted any more. Without
it the plan is for a pod that has the interfaces, addresses and routes of the result, and nothing else.

Notes of ADD go to standard error, as do the faults of a configuration that ADD would refuse: then the exit code is 1.`,
		Example: `  symroutectl plan -f /etc/cni/net.d/10-provider-b.conflist --result result.json
  symroutectl plan -f provider-b.conflist --result /var/lib/cni/results/provider-b-8a1f-net1 --netns /run/netns/pod`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.runPlan(o) },
	}
	a.selection.dirs(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.conf, "filename", "f", "", "plugin configuration or conflist")
	flags.StringVar(&o.result, "result", "", "CNI result of the plugins before; without it, the prevResult in CONF")
	flags.StringVar(&o.ifName, "ifname", "", "interface in the pod; without it, the first of the result that is in a pod")
	flags.StringVar(&a.selection.netns, "netns", "", "plan for the pod whose network namespace is at this path, or is that of this process ID")
	_ = cmd.MarkFlagRequired("filename") // which exists
	return cmd
}

// planned is what plan prints.
type planned struct {
	Network   string            `json:"network"`
	Interface string            `json:"interface"`
	Commands  []preview.Command `json:"commands"`
	Notes     []string          `json:"notes"`
}

func (a *app) runPlan(o planOptions) error {
	call, faults, err := a.plannedCall(o)
	if err != nil {
		return err
	}
	p, netns, err := a.preview(call, faults)
	if err != nil {
		return a.refused(err)
	}
	for _, note := range p.Notes {
		a.note("%s", note)
	}
	switch {
	case p.Idle:
		a.note("the pod has no device %s: ADD does nothing", call.Key.IfName)
	case len(p.Changes) == 0:
		a.note("nothing to do: the pod has all that ADD would make")
	}
	result := planned{call.Key.Network, call.Key.IfName, preview.Commands(p), append([]string{}, p.Notes...)}
	return a.output.print(a.out, document{kind: "Plan", value: result, text: func(t *text) {
		if len(result.Commands) > 0 && netns != "" {
			fmt.Fprintf(t, "# to run them in the pod: nsenter --net=%s sh -e FILE\n", netns)
		}
		t.commands(result.Commands, "")
	}})
}

// commands prints commands with their comments, as a shell reads them.
func (t *text) commands(list []preview.Command, indent string) {
	for _, c := range list {
		if c.Comment != "" {
			fmt.Fprintln(t, indent+t.paint(dim, "# "+c.Comment))
		}
		fmt.Fprintln(t, indent+c.Text)
	}
}

// plannedCall is the call of ADD that is planned. Faults are what is wrong with its configuration.
func (a *app) plannedCall(o planOptions) (call pod.Call, faults, err error) {
	conf, err := a.read(o.conf)
	if err != nil {
		return pod.Call{}, nil, err
	}
	var result []byte
	if o.result != "" {
		if o.result == "-" && o.conf == "-" {
			return pod.Call{}, nil, errors.New("--filename and --result cannot both read standard input")
		}
		if result, err = a.read(o.result); err != nil {
			return pod.Call{}, nil, err
		}
	}
	input, err := preview.Input(conf, result)
	if err != nil {
		return pod.Call{}, nil, err
	}
	call, faults = pod.Call{Input: input, Key: record.Key{IfName: o.ifName}}.Configured()
	call.Note = func(_, note string) { a.note("%s", note) }
	if call.Config == nil || call.Config.Prev == nil {
		if result == nil && call.Config != nil {
			faults = errors.New("there is no result to plan with: name one by --result")
			return call, nil, faults
		}
		return call, faults, nil
	}
	if call.Key.IfName == "" {
		call.Key.IfName = preview.IfName(call.Config.Prev)
	}
	if call.Key.IfName == "" {
		return call, nil, errors.New("the result names no interface in a pod: name it by --ifname")
	}
	return call, faults, nil
}

// read reads a file, or standard input.
func (a *app) read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(a.in)
	}
	return os.ReadFile(file)
}

// preview looks at the pod, of which it returns where its namespace is, or imagines one.
func (a *app) preview(call pod.Call, faults error) (_ pod.Preview, netns string, err error) {
	if a.selection.netns == "" {
		if faults != nil {
			return pod.Preview{}, "", faults
		}
		p, err := preview.Imagined(call)
		return p, "", err
	}
	at, err := a.podAt(a.selection.netns)
	if err != nil {
		return pod.Preview{}, "", err
	}
	call.Netns, call.Key.ContainerID = at.Netns, containerOf(at, call.Key.IfName)
	if faults != nil {
		return pod.Preview{}, "", call.WithFaultsOfPod(faults)
	}
	opened, err := pod.OpenToCheck(call)
	if err != nil {
		return pod.Preview{}, "", err
	}
	defer opened.Close()
	p, err := pod.PreviewIn(opened)
	return p, call.Netns, err
}

// containerOf is the container that an interface is remembered of, or else the pod's.
func containerOf(p node.Pod, ifName string) string {
	for _, attached := range p.Attachments {
		if attached.IfName == ifName {
			return attached.ContainerID
		}
	}
	return p.ContainerID
}

// refused tells why ADD would fail, and is the error of a command for that.
func (a *app) refused(err error) error {
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, f := range faults {
			a.note("ADD would fail: invalid configuration: %s", strings.ReplaceAll(f.String(), "\n", "; "))
		}
		return errProblem
	}
	if _, ok := errors.AsType[*config.DecodeError](err); ok || errors.Is(err, state.ErrUnfit) {
		a.note("ADD would fail: %v", err)
		return errProblem
	}
	return err
}
