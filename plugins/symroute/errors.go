package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// The codes of our own; the CNI specification leaves those from 100 on to
// plugins. docs/errors.md documents them.
const (
	codeAsymmetric = 100 // CHECK, and ADD's own check: routing is not symmetric
	codeSetting    = 101 // CHECK: rp_filter or an ARP setting differs
	codeMissing    = 102 // CHECK: a rule or route of ours is missing
	codeForeign    = 103 // CHECK: a rule or route of somebody else is in the way
	codeRefused    = 104 // the kernel refused a change, which was taken back
	codeState      = 105 // the pod's network is in no state to be set up
)

// cniError is an error in the runtime's form: one line, a code, and the rest.
func cniError(err error) *types.Error {
	if e, ok := errors.AsType[*types.Error](err); ok {
		return e
	}
	if faults, ok := errors.AsType[config.Faults](err); ok {
		return faultsError(faults)
	}
	if d, ok := errors.AsType[state.Deviations](err); ok {
		return types.NewError(deviationCode(d.First().Kind), oneLine(err.Error()), d.Details())
	}
	if _, ok := errors.AsType[*pod.NetnsError](err); ok {
		err = fmt.Errorf("CNI_NETNS: %w", err)
	}
	return types.NewError(codeOf(err), oneLine(err.Error()), "")
}

func codeOf(err error) uint {
	if _, ok := errors.AsType[*config.DecodeError](err); ok {
		return types.ErrDecodingFailure
	}
	for _, c := range []struct {
		err  error
		code uint
	}{
		{kernel.ErrHost, types.ErrInvalidNetNS},
		{kernel.ErrGone, types.ErrInvalidEnvironmentVariables},
		{record.ErrBusy, types.ErrTryAgainLater},
		{kernel.ErrUnsteady, types.ErrTryAgainLater},
		{pod.ErrUnavailable, types.ErrPluginNotAvailable},
		{pod.ErrRecord, types.ErrIOFailure},
		{state.ErrUnfit, codeState},
		{pod.ErrRefused, codeRefused},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return types.ErrInternal
}

func deviationCode(k state.Kind) uint {
	switch k {
	case state.Down, state.Missing, state.Lost:
		return codeMissing
	case state.Foreign:
		return codeForeign
	case state.Setting:
		return codeSetting
	case state.Asymmetric:
	}
	return codeAsymmetric
}

// faultsError names the first fault in the message and all in the details.
func faultsError(faults config.Faults) *types.Error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.String()
	}
	msg := "invalid configuration: " + lines[0]
	if len(lines) > 1 {
		msg += fmt.Sprintf(" (and %d more)", len(lines)-1)
	}
	return types.NewError(types.ErrInvalidNetworkConfig, oneLine(msg), strings.Join(lines, "\n"))
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }
