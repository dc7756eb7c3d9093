package kubevents

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/symroute/symroute/pkg/agent"
	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/install"
	"github.com/symroute/symroute/pkg/state"
)

// server takes events as the API server does. test/cluster has a real one.
func server(t *testing.T) (kubeconfig string, got chan eventsv1.Event) {
	t.Helper()
	got = make(chan eventsv1.Event, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/api/v1/namespaces/shop/pods/cart-0":
			_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"cart-0","namespace":"shop","uid":"u-1"}}`)
		case strings.HasSuffix(r.URL.Path, "/events"):
			body, _ := io.ReadAll(r.Body)
			var e eventsv1.Event
			if err := json.Unmarshal(body, &e); err != nil {
				t.Error(err)
			}
			got <- e
			_, _ = w.Write(body)
		default:
			http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"reason":"NotFound"}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	kubeconfig = filepath.Join(t.TempDir(), "config")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],` +
		`"clusters":[{"name":"c","cluster":{"server":"` + s.URL + `"}}],"users":[{"name":"u","user":{}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, got
}

func TestEvents(t *testing.T) {
	kubeconfig, got := server(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := New(ctx, kubeconfig, "node-1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	subject := audit.Subject{Namespace: "shop", Pod: "cart-0", ContainerID: "c", Interface: "net1", Network: "red"}
	lost := []audit.Deviation{{Code: 102, What: "IPv4 route", Want: "present", Got: "none", Kind: state.Lost}}
	for _, tc := range []struct {
		tell               func()
		kind, reason, note string
		regarding, uid     string
	}{
		{
			func() {
				r.Deviates(audit.Item{Subject: subject, State: "deviating", Deviations: lost}, "nobody repairs it")
			},
			"Warning", Asymmetric, "net1 (network red), code 102: IPv4 route: want present, got none; nobody repairs it", "cart-0", "u-1",
		},
		{
			func() {
				r.Repaired(audit.RepairItem{Subject: subject, State: audit.StateRepaired, Was: lost}, agent.TriggerLink)
			},
			"Normal", Repaired, "net1 (network red) after a change in the pod; it was: IPv4 route: want present, got none", "cart-0", "u-1",
		},
		{
			func() {
				r.Repaired(audit.RepairItem{Subject: subject, State: audit.StateFailed, Was: lost, Reason: "no such device"}, agent.TriggerAudit)
			},
			"Warning", RepairFailed, "net1 (network red): failed: no such device; it was: IPv4 route: want present, got none", "cart-0", "u-1",
		},
		{
			func() { r.Vain(audit.Item{Subject: subject, State: "deviating", Deviations: lost}, 5) },
			"Warning", RepairFailed, "net1 (network red): 5 repairs did not last: somebody undoes them; further ones are made seldom", "cart-0", "u-1",
		},
		{
			func() {
				r.Deviates(audit.Item{Subject: audit.Subject{Namespace: "shop", Pod: "other", Interface: "a", Network: "b"}, Deviations: lost}, "")
			},
			"Warning", Asymmetric, "a (network b), code 102: IPv4 route: want present, got none", "other", "",
		},
		{func() { r.Installed(install.Installed, nil) }, "Normal", Installed, "the CNI plugin symroute was installed", "node-1", "node-1"},
		{func() { r.Installed(install.Unchanged, errors.New("no space")) }, "Warning", InstallFailed, "no space", "node-1", "node-1"},
	} {
		tc.tell()
		e := <-got
		if e.Type != tc.kind || e.Reason != tc.reason || e.Note != tc.note || e.Regarding.Name != tc.regarding || string(e.Regarding.UID) != tc.uid {
			t.Errorf("got  %s %s %q on %s (%s)\nwant %s %s %q on %s (%s)",
				e.Type, e.Reason, e.Note, e.Regarding.Name, e.Regarding.UID, tc.kind, tc.reason, tc.note, tc.regarding, tc.uid)
		}
		if e.ReportingController != Controller || e.Action == "" || e.ReportingInstance == "" {
			t.Errorf("%+v: what the API server refuses (validateEvent)", e)
		}
	}
	r.Installed(install.Unchanged, nil)
	r.Deviates(audit.Item{Subject: audit.Subject{ContainerID: "no pod of Kubernetes"}, Deviations: lost}, "")
	r.Installed(install.Installed, nil) // the same as before
	e := <-got
	if e.Reason != Installed || e.Series == nil || e.Series.Count < 2 {
		t.Errorf("the same again is %s, %+v, want a series", e.Reason, e.Series)
	}
	if note := limited(strings.Repeat("x", 5000)); len(note) > 1024 {
		t.Errorf("a note has %d bytes", len(note))
	}
}

func TestNoKubernetes(t *testing.T) {
	if _, err := New(t.Context(), filepath.Join(t.TempDir(), "none"), "n", slog.Default()); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Error(err)
	}
	if _, err := New(t.Context(), "", "n", slog.Default()); err == nil || !strings.Contains(err.Error(), "as a pod does") {
		t.Error(err)
	}
}
