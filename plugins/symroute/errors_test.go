package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

func TestCNIError(t *testing.T) {
	deviation := func(k state.Kind, what string) state.Deviation {
		return state.Deviation{Kind: k, What: what, Want: "x", Got: "y"}
	}
	fault := config.Fault{Path: "routes[1].gw", Problem: "is no address"}
	own := types.NewError(107, "own", "details")
	tests := []struct {
		name string
		err  error
		want types.Error
	}{
		{"an error of CNI's", fmt.Errorf("wrapped: %w", own), *own},
		{"no JSON", &config.DecodeError{Err: errors.New("EOF")}, types.Error{Code: 6, Msg: "configuration is not a JSON object: EOF"}},
		{
			"one fault", config.Faults{fault},
			types.Error{Code: 7, Msg: "invalid configuration: routes[1].gw: is no address", Details: "routes[1].gw: is no address"},
		},
		{
			"several faults", fmt.Errorf("ADD: %w", config.Faults{fault, {Path: "table", Problem: "is in use"}}),
			types.Error{Code: 7, Msg: "invalid configuration: routes[1].gw: is no address (and 1 more)", Details: "routes[1].gw: is no address\ntable: is in use"},
		},
		{
			"a fault of two lines", config.Faults{{Path: "interfaces.a\nb", Problem: "is unknown"}},
			types.Error{Code: 7, Msg: "invalid configuration: interfaces.a; b: is unknown", Details: "interfaces.a\nb: is unknown"},
		},
		{"host", &pod.NetnsError{Err: kernel.ErrHost}, types.Error{Code: 8, Msg: "CNI_NETNS: this is the node's own network namespace"}},
		{"no namespace", &pod.NetnsError{Err: kernel.ErrGone}, types.Error{Code: 4, Msg: "CNI_NETNS: no network namespace there"}},
		{"busy", fmt.Errorf("%w: /run/netns/a", record.ErrBusy), types.Error{Code: 11, Msg: "another invocation holds the network namespace: /run/netns/a"}},
		{
			"restless", fmt.Errorf("list rules: %w", kernel.ErrUnsteady),
			types.Error{Code: 11, Msg: "list rules: the pod's network did not stand still"},
		},
		{"no policy routing", fmt.Errorf("%w: x", pod.ErrUnavailable), types.Error{Code: 50, Msg: "symroute cannot work on this node: x"}},
		{"dataDir", fmt.Errorf("%w: %w", pod.ErrRecord, unix.EROFS), types.Error{Code: 5, Msg: "dataDir is not usable: read-only file system"}},
		{"asymmetric", state.Deviations{deviation(state.Asymmetric, "a")}, types.Error{Code: 100, Msg: "a: want x, got y", Details: "a: want x, got y"}},
		{"a setting", state.Deviations{deviation(state.Setting, "a")}, types.Error{Code: 101, Msg: "a: want x, got y", Details: "a: want x, got y"}},
		{"missing", state.Deviations{deviation(state.Missing, "a")}, types.Error{Code: 102, Msg: "a: want x, got y", Details: "a: want x, got y"}},
		{"foreign", state.Deviations{deviation(state.Foreign, "a")}, types.Error{Code: 103, Msg: "a: want x, got y", Details: "a: want x, got y"}},
		{
			"the most telling of several", state.Deviations{deviation(state.Asymmetric, "a"), deviation(state.Missing, "b"), deviation(state.Setting, "c")},
			types.Error{Code: 102, Msg: "3 deviations; the first: b: want x, got y", Details: "a: want x, got y\nb: want x, got y\nc: want x, got y"},
		},
		{
			"of ADD's own check, and the way back failed",
			errors.Join(fmt.Errorf("ADD: %w", state.Deviations{deviation(state.Asymmetric, "a")}), errors.New("and could not be taken back: x\ny")),
			types.Error{Code: 100, Msg: "ADD: a: want x, got y; and could not be taken back: x; y", Details: "a: want x, got y"},
		},
		{
			"decided by", state.Deviations{{Kind: state.Foreign, What: "a", Want: "x", Got: "y", Decides: "5: from all lookup 9"}},
			types.Error{Code: 103, Msg: "a: want x, got y; decided by 5: from all lookup 9", Details: "a: want x, got y; decided by 5: from all lookup 9"},
		},
		{"anything else", errors.Join(errors.New("a"), errors.New("b")), types.Error{Code: 999, Msg: "a; b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(&tt.want, cniError(tt.err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The texts of these are for people and may change; the codes are documented.
func TestCodes(t *testing.T) {
	for code, err := range map[uint]error{codeRefused: pod.ErrRefused, codeState: state.ErrUnfit} {
		if got := cniError(fmt.Errorf("%w: more", err)); got.Code != code || !strings.Contains(got.Msg, "more") {
			t.Errorf("%v has code %d and says %q, want code %d", err, got.Code, got.Msg, code)
		}
	}
}

// The tools know the codes of deviations by package state.
func TestCodesOfDeviations(t *testing.T) {
	for _, k := range []state.Kind{state.Down, state.Missing, state.Lost, state.Foreign, state.Setting, state.Asymmetric} {
		if ours, theirs := deviationCode(k), state.Code(k); ours != theirs {
			t.Errorf("kind %d: code %d, and %d of the tools", k, ours, theirs)
		}
	}
}

func TestGuarded(t *testing.T) {
	var nothing map[string]int
	tests := []struct {
		name string
		verb func(*skel.CmdArgs) error
		code uint
		msg  string
	}{
		{"error", func(*skel.CmdArgs) error { return kernel.ErrHost }, 8, "node's own"},
		{"panic", func(*skel.CmdArgs) error { panic("something") }, 999, "something"},
		{"panic of two lines", func(*skel.CmdArgs) error { panic("one\ntwo") }, 999, "one"},
		{"panic with an error", func(*skel.CmdArgs) error { panic(unix.EIO) }, 999, "input/output error"},
		{"panic of the language", func(*skel.CmdArgs) error { nothing["a"] = 1; return nil }, 999, "nil map"},
		{"panic while an error is on its way", func(*skel.CmdArgs) (err error) {
			defer func() { panic("something") }()
			return kernel.ErrHost
		}, 999, "something"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := guarded(tt.verb)(&skel.CmdArgs{})
			e, ok := errors.AsType[*types.Error](err)
			if !ok {
				t.Fatalf("%v is no error of CNI's", err)
			}
			if e.Code != tt.code || !strings.Contains(e.Msg, tt.msg) || strings.Contains(e.Msg, "\n") {
				t.Errorf("got code %d and %q, want %d and one line with %q", e.Code, e.Msg, tt.code, tt.msg)
			}
		})
	}
	if err := guarded(func(*skel.CmdArgs) error { return nil })(&skel.CmdArgs{}); err != nil {
		t.Errorf("success became %v", err)
	}
	given := &skel.CmdArgs{ContainerID: "c1"}
	_ = guarded(func(got *skel.CmdArgs) error {
		if got != given {
			t.Errorf("the verb got %v", got)
		}
		return nil
	})(given)
}
