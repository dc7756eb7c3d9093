// Package kubevents tells Kubernetes what the agent finds, by events on pods and on the node.
package kubevents

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	eventsv1client "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/symroute/symroute/pkg/agent"
	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/install"
)

// Controller is who reports the events (reportingController).
const Controller = "symroute.io/agent"

// The reasons of events: docs/operations.md says what each means.
const (
	Asymmetric    = "RoutingAsymmetric"
	Repaired      = "RoutingRepaired"
	RepairFailed  = "RoutingRepairFailed"
	Installed     = "SymrouteInstalled"
	InstallFailed = "SymrouteInstallFailed"
)

// Recorder is an observer of the agent that makes events. It waits for nobody: events that cannot be sent are lost.
// Those of one NIC, reason and action within six minutes become one series with the first one's note (package events of
// client-go).
type Recorder struct {
	agent.Deaf
	node     string
	pods     chan podEvent
	recorder events.EventRecorder
	lookup   corev1client.PodsGetter
	log      *slog.Logger
}

// podEvent is one about a pod, whose UID is still to be asked for.
type podEvent struct {
	subject      audit.Subject
	kind, reason string
	action, note string
}

// waiting is how many events wait for the API server; further ones are lost.
const waiting = 1000

// New makes events until ctx ends. The error says that there is no way to the API server.
func New(ctx context.Context, kubeconfig, node string, log *slog.Logger) (*Recorder, error) {
	config, err := configOf(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	klog.SetSlogLogger(log) // client-go tells what fails by it
	sink, err := eventsv1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of Kubernetes: %w", err)
	}
	lookup, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of Kubernetes: %w", err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: sink})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return nil, fmt.Errorf("make events of Kubernetes: %w", err)
	}
	context.AfterFunc(ctx, broadcaster.Shutdown)
	r := &Recorder{
		node: node, pods: make(chan podEvent, waiting), log: log, lookup: lookup,
		recorder: broadcaster.NewRecorder(runtime.NewScheme(), Controller),
	}
	go r.send(ctx)
	return r, nil
}

func configOf(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("find the API server as a pod does: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read --kubeconfig: %w", err)
	}
	return config, nil
}

// Deviates is told once of an attachment that deviates.
func (r *Recorder) Deviates(item audit.Item, note string) {
	text := fmt.Sprintf("%s (network %s), code %s: %s", item.Interface, item.Network, item.Code(), item.First())
	if note != "" {
		text += "; " + note
	}
	r.pod(item.Subject, corev1.EventTypeWarning, Asymmetric, "Check", text)
}

// Repaired is told of each repair.
func (r *Recorder) Repaired(item audit.RepairItem, trigger string) {
	where := fmt.Sprintf("%s (network %s)", item.Interface, item.Network)
	was := audit.Item{Deviations: item.Was}.First()
	if item.State == audit.StateRepaired {
		why := map[string]string{agent.TriggerLink: "after a change in the pod", agent.TriggerAudit: "after an audit"}[trigger]
		r.pod(item.Subject, corev1.EventTypeNormal, Repaired, "Repair", fmt.Sprintf("%s %s; it was: %s", where, why, was))
		return
	}
	left := item.Reason
	if left == "" {
		left = audit.Item{Deviations: item.Deviations}.First()
	}
	r.pod(item.Subject, corev1.EventTypeWarning, RepairFailed, "Repair", fmt.Sprintf("%s: %s: %s; it was: %s", where, item.State, left, was))
}

// Vain is told once of an attachment whose repairs do not last.
func (r *Recorder) Vain(item audit.Item, repairs int) {
	r.pod(item.Subject, corev1.EventTypeWarning, RepairFailed, "Wait",
		fmt.Sprintf("%s (network %s): %d repairs did not last: somebody undoes them; further ones are made seldom", item.Interface, item.Network, repairs))
}

// Installed is told of installations.
func (r *Recorder) Installed(result install.Result, err error) {
	// Events on nodes have the node's name as UID, as those of the kubelet have (pkg/kubelet, nodeRef).
	node := &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: r.node, UID: types.UID(r.node)}
	switch {
	case err != nil:
		r.recorder.Eventf(node, nil, corev1.EventTypeWarning, InstallFailed, "Install", "%s", limited(err.Error()))
	case result == install.Installed:
		r.recorder.Eventf(node, nil, corev1.EventTypeNormal, Installed, "Install", "the CNI plugin symroute was installed")
	}
}

// pod has an event about a pod sent. One that Kubernetes knows nothing of has none.
func (r *Recorder) pod(s audit.Subject, kind, reason, action, note string) {
	if s.Pod == "" {
		return
	}
	select {
	case r.pods <- podEvent{s, kind, reason, action, limited(note)}:
	default:
		r.log.Warn("an event is lost: the API server takes none", "namespace", s.Namespace, "pod", s.Pod, "reason", reason)
	}
}

// limited is a note as long as the API server takes it (1,024 bytes, validateEvent).
func limited(note string) string {
	const most = 1000
	if len(note) <= most {
		return note
	}
	return note[:most] + "..."
}

// patience is how long the API server may take to say which pod one is.
const patience = 10 * time.Second

// send sends events about pods. "kubectl describe" finds those that have the pod's UID.
func (r *Recorder) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-r.pods:
			ref := &corev1.ObjectReference{
				Kind: "Pod", APIVersion: "v1", Namespace: e.subject.Namespace, Name: e.subject.Pod,
				FieldPath: "interface{" + e.subject.Interface + "}", // or NICs of a pod would share a series
			}
			asked, done := context.WithTimeout(ctx, patience)
			pod, err := r.lookup.Pods(ref.Namespace).Get(asked, ref.Name, metav1.GetOptions{})
			done()
			if err != nil {
				r.log.Warn("an event goes without the pod's UID", "namespace", ref.Namespace, "pod", ref.Name, "error", err)
			} else {
				ref.UID, ref.ResourceVersion = pod.UID, pod.ResourceVersion
			}
			r.recorder.Eventf(ref, nil, e.kind, e.reason, e.action, "%s", e.note)
		}
	}
}
