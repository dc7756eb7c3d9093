package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/record"
)

func add(args *skel.CmdArgs) error {
	call, err := callOf(args).Configured()
	if err != nil {
		return call.WithFaultsOfPod(err)
	}
	p, err := pod.OpenToAdd(call)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Add(func() error { return passOn(call) })
}

// passOn prints the result of the plugins before, as it came.
func passOn(call pod.Call) error {
	result, err := config.PrevResult(call.Input, call.Config)
	if err == nil {
		_, err = os.Stdout.Write(result)
	}
	return err
}

func check(args *skel.CmdArgs) error {
	call, err := callOf(args).Configured()
	if err != nil {
		return err
	}
	p, err := pod.OpenToCheck(call)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Check()
}

// del works without a namespace, too, with which runtimes call it as well.
func del(args *skel.CmdArgs) error {
	conf, err := config.ParseTeardown(args.StdinData)
	if err != nil {
		return err
	}
	call := callOf(args)
	call.Key.Network, call.DataDir = conf.Network, conf.DataDir
	p, err := pod.OpenToDel(call)
	if errors.Is(err, kernel.ErrGone) {
		call.Forget()
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Del()
}

func gc(args *skel.CmdArgs) error {
	conf, err := config.ParseTeardown(args.StdinData)
	if err != nil {
		return err
	}
	return pod.GC(conf)
}

func status(args *skel.CmdArgs) error {
	cfg, err := config.Parse(args.StdinData)
	if err != nil {
		return err
	}
	return pod.Status(cfg.DataDir)
}

// callOf is the runtime's call, but for what its configuration says.
func callOf(args *skel.CmdArgs) pod.Call {
	return pod.Call{
		Key:     record.Key{ContainerID: args.ContainerID, IfName: args.IfName},
		Netns:   args.Netns,
		Pod:     podOf(args),
		Input:   args.StdinData,
		Release: release,
		Note:    note,
	}
}

// podOf is the Kubernetes pod that CNI_ARGS names. Its keys may be repeated.
func podOf(args *skel.CmdArgs) (p record.Pod) {
	for pair := range strings.SplitSeq(args.Args, ";") {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "K8S_POD_NAMESPACE":
			p.Namespace = value
		case "K8S_POD_NAME":
			p.Name = value
		}
	}
	return p
}

// note tells the operator something that is no error. Standard output is the
// runtime's.
func note(subject, note string) {
	fmt.Fprintf(os.Stderr, "symroute: %s: %s\n", subject, oneLine(note))
}
