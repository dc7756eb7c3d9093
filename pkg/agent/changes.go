package agent

import (
	"context"
	"time"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// anybody is the place in due for all that is remembered: somebody in it may be new.
const anybody = ""

// note notes when pods in which something has changed are to be checked.
func (a *Agent) note(changes []kernel.Change, now time.Time) {
	for _, c := range changes {
		identity, known := a.numbers[c.Namespace]
		if !known {
			continue // the node's own namespace, or one without symroute
		}
		a.soon(identity, now)
		d := a.due[identity]
		if w := a.pods[identity]; w != nil && c.Link != 0 {
			was, seen := w.running[c.Link]
			if (was || !seen) && !c.Running {
				d.stopped = append(d.stopped, c.Link)
			}
			d.linked = d.linked || !seen || was != c.Running
			w.running[c.Link] = c.Running
		}
		a.due[identity] = d
	}
}

// soon has a pod checked when nothing changes in it any more.
func (a *Agent) soon(identity string, now time.Time) {
	d := a.due[identity]
	if d.latest.IsZero() {
		d.latest = now.Add(settleAtMost)
	}
	d.at = earlier(now.Add(settle), d.latest)
	a.due[identity] = d
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// nextDue is how long until a pod is due; an hour if none is.
func (a *Agent) nextDue(now time.Time) time.Duration {
	wait := time.Hour
	for _, d := range a.due {
		wait = min(wait, max(d.at.Sub(now), 0))
	}
	return wait
}

// later has a pod checked at a time, unless that is to be before anyway.
func (a *Agent) later(identity string, at time.Time) {
	if d, waits := a.due[identity]; !waits || at.Before(d.at) {
		d.at = at
		a.due[identity] = d
	}
}

// looks is how often a namespace is looked at that is known by name, and of which nothing is remembered.
const looks = 5

// checkDue checks the pods that are due.
func (a *Agent) checkDue(ctx context.Context, now time.Time) {
	if d, waits := a.due[anybody]; waits && !d.at.After(now) {
		delete(a.due, anybody)
		a.meet(now)
	}
	var identities []string
	for identity, d := range a.due {
		if identity != anybody && !d.at.After(now) {
			identities = append(identities, identity)
		}
	}
	if len(identities) == 0 {
		return
	}
	for i, l := range a.look(ctx, identities) {
		if ctx.Err() != nil {
			return
		}
		d := a.due[identities[i]]
		delete(a.due, identities[i])
		if len(l.pod.Attachments) > 0 {
			a.settleReport(ctx, l, d, TriggerLink)
			continue
		}
		a.forget(identities[i])
		if d.looks++; d.looks < looks { // ADD may be about to write its record
			a.due[identities[i]] = due{at: now.Add(settleAtMost), looks: d.looks}
		}
	}
	a.known()
}

// meet looks for pods that are remembered and not known yet, and has them checked.
func (a *Agent) meet(now time.Time) {
	identities, err := a.Node.Identities()
	if err != nil {
		a.Log.Error("the records cannot be listed, new pods are not known", "error", err)
	}
	for _, identity := range identities {
		if a.pods[identity] == nil {
			a.due[identity] = due{at: now}
		}
	}
}

// number has the changes of a pod known as its own.
func (a *Agent) number(p node.Pod, w *watched) {
	if a.asker == nil || w.number != kernel.NoNumber || w.deaf {
		return
	}
	number, err := a.asker.Of(p.Netns)
	if err != nil {
		w.deaf = true
		a.Log.Warn("changes in a pod are not heard, it is checked at intervals only", "pod", p.String(), "error", err)
		return
	}
	if other, taken := a.numbers[number]; taken && other != p.Identity {
		if w := a.pods[other]; w != nil {
			w.number = kernel.NoNumber // it has gone, and its number was given anew
		}
	}
	w.number, a.numbers[number] = number, p.Identity
}

// unnumber is for a pod whose number may be another one's by now.
func (a *Agent) unnumber(w *watched) {
	if w.number == kernel.NoNumber {
		return
	}
	delete(a.numbers, w.number)
	w.number = kernel.NoNumber
	a.later(anybody, time.Now())
}
