package agent

import (
	"context"
	"slices"
	"time"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// settleReport takes in what a check of a pod has found, and repairs what is to be repaired.
func (a *Agent) settleReport(ctx context.Context, l look, why due, trigger string) {
	p := l.pod
	w := a.pods[p.Identity]
	if w == nil {
		w = &watched{number: kernel.NoNumber, running: map[int]bool{}, attached: map[audit.Subject]attachment{}}
		a.pods[p.Identity] = w
		for _, o := range a.observers {
			o.Met(p)
		}
	}
	before := w.attached
	w.attached = map[audit.Subject]attachment{}
	for i, item := range l.report.Items {
		for _, o := range a.observers {
			o.Checked(item)
		}
		if item.State == audit.StateGone {
			continue
		}
		x := before[item.Subject]
		a.flaps(item.Subject, l.index[i], why.stopped)
		if why.linked {
			x.history = history{}
		}
		one := p
		one.Attachments = p.Attachments[i : i+1]
		w.attached[item.Subject] = a.took(ctx, x, one, item, trigger, time.Now())
	}
	switch {
	case len(w.attached) > 0:
		a.number(p, w)
	case p.Alive(): // it was detached
		a.forget(p.Identity)
	default: // it has gone, and its records may stay for a while
		a.unnumber(w)
	}
}

// flaps tells of attached interfaces that stopped running.
func (a *Agent) flaps(subject audit.Subject, index, stopped []int) {
	for _, link := range stopped {
		if !slices.Contains(index, link) {
			continue
		}
		for _, o := range a.observers {
			o.LinkFlapped(subject)
		}
	}
}

// took takes in what was found of one attachment of a pod that holds no other one.
func (a *Agent) took(ctx context.Context, x attachment, p node.Pod, item audit.Item, trigger string, now time.Time) attachment {
	if x.item.State != item.State {
		x.since = now
	}
	was := x.item
	x.item = item
	switch {
	case item.State == audit.StateSymmetric:
		if was.State == audit.StateDeviating && x.told != nil {
			a.Log.Info("symmetric again", attributes(item.Subject)...)
		}
		x.told = nil
		if now.Sub(x.since) >= lasting {
			x.history = history{}
		}
	case item.State != audit.StateDeviating:
		if was.State != item.State {
			a.Log.Warn("could not be checked", append(attributes(item.Subject), "reason", item.Reason)...)
			a.later(p.Identity, now.Add(confirm)) // another one may have had the lock
		}
	case !a.Repair.repairs(item.Deviations):
		x = a.tell(x, p.Identity, "", now)
	case x.history.next.After(now):
		a.later(p.Identity, x.history.next)
		x = a.tell(x, p.Identity, "the next repair waits until "+x.history.next.Format(time.TimeOnly)+", since the ones before did not last", now)
	default:
		x = a.repair(ctx, x, p, trigger, now)
	}
	return x
}

// tell tells once that an attachment deviates, if it has for a while.
func (a *Agent) tell(x attachment, identity, note string, now time.Time) attachment {
	switch sure := x.since.Add(confirm); {
	case x.told != nil && same(x.told, x.item.Deviations):
	case now.Before(sure):
		a.later(identity, sure)
	default:
		x.told = x.item.Deviations
		a.Log.Warn("deviates", append(attributes(x.item.Subject), "code", x.item.Code(), "what", x.item.First(), "note", note)...)
		for _, o := range a.observers {
			o.Deviates(x.item, note)
		}
	}
	return x
}

// repair repairs an attachment, which is alone in its pod.
func (a *Agent) repair(ctx context.Context, x attachment, p node.Pod, trigger string, now time.Time) attachment {
	done := audit.Repair(ctx, []node.Pod{p}, a.Release, false, nil)
	if len(done.Items) == 0 { // somebody else was first
		x.item.State, x.item.Deviations = audit.StateSymmetric, nil
		return x
	}
	x = a.repaired(x, done.Items[0], trigger, now)
	if x.item.State == audit.StateDeviating {
		a.later(p.Identity, x.history.next)
	}
	return x
}

// repaired takes in what became of a repair.
func (a *Agent) repaired(x attachment, r audit.RepairItem, trigger string, now time.Time) attachment {
	x.history.repaired(now)
	for _, o := range a.observers {
		o.Repaired(r, trigger)
	}
	attrs := append(attributes(r.Subject), "trigger", trigger, "result", r.State, "was", summary(r.Was))
	switch r.State {
	case audit.StateRepaired:
		a.Log.Info("repaired", attrs...)
		x.item.State, x.item.Deviations, x.since, x.told = audit.StateSymmetric, nil, now, nil
	case audit.StateGone:
	default:
		a.Log.Warn("repair did not help", append(attrs, "is", summary(r.Deviations), "reason", r.Reason)...)
	}
	if x.history.vain() && !x.history.told {
		x.history.told = true
		a.Log.Warn("repairs do not last", append(attrs, "repairs", x.history.repairs)...)
		for _, o := range a.observers {
			o.Vain(x.item, x.history.repairs)
		}
	}
	return x
}

// attributes name an attachment in a log.
func attributes(s audit.Subject) []any {
	return []any{"namespace", s.Namespace, "pod", s.Pod, "interface", s.Interface, "network", s.Network, "containerID", s.ContainerID}
}
