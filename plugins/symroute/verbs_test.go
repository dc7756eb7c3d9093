package main

import (
	"testing"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/record"
)

// What CNI_ARGS says of the pod gets into records and messages.
func TestPodOf(t *testing.T) {
	for arguments, want := range map[string]record.Pod{
		"":                 {},
		"IgnoreUnknown=1":  {},
		"K8S_POD_NAME":     {},
		"K8S_POD_NAME=web": {Name: "web"},
		"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=7":             {Namespace: "shop", Name: "web"},
		"K8S_POD_NAMESPACE=old;K8S_POD_NAME=old;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web=1;": {Namespace: "shop", Name: "web=1"},
	} {
		if got := podOf(&skel.CmdArgs{Args: arguments}); got != want {
			t.Errorf("%q: %v, want %v", arguments, got, want)
		}
	}
}
