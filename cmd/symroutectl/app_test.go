package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestPluginOfKubectl: under its second name it is a plugin of kubectl, and says so in its help.
func TestPluginOfKubectl(t *testing.T) {
	for arg0, want := range map[string]string{
		"/usr/local/bin/kubectl-symroute": "kubectl symroute list", "/usr/local/bin/symroutectl": "symroutectl list", "x": "symroutectl list",
	} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), []string{arg0, "list", "--help"}, strings.NewReader(""), &stdout, &stderr); code != 0 {
			t.Errorf("%s: exit code %d: %s", arg0, code, stderr.String())
		}
		if !strings.Contains(stdout.String(), "  "+want+" [flags]") {
			t.Errorf("%s: no %q in\n%s", arg0, want, stdout.String())
		}
	}
}

// TestExitCodes: 2 for what is wrong with the command itself.
func TestExitCodes(t *testing.T) {
	for _, args := range [][]string{{"nothing"}, {"list", "-o", "xml"}, {"explain"}, {"show"}, {"draw", "-o", "json"}} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), append([]string{"symroutectl"}, args...), strings.NewReader(""), &stdout, &stderr)
		if code != exitUnknown || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "symroutectl: ") {
			t.Errorf("%v: exit code %d, on standard output %q, on standard error %q", args, code, stdout.String(), stderr.String())
		}
	}
}
