package pod

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/state"
)

// Result is how a repair has ended.
type Result int

// The results.
const (
	Untouched  Result = iota // it did not deviate
	Repaired                 // it deviated, and does not any more
	Unrepaired               // Add has been through, and it still deviates
	Failed                   // Add has failed, and has taken back what it did
	Vanished                 // the pod or the attachment is gone
	Untold                   // it could not be looked at
)

// Outcome is what Repair did, or would do.
type Outcome struct {
	Result Result
	// Was is how the attachment deviated, and Is how it does now.
	Was, Is state.Deviations
	// Preview is what would be done, where it was only asked for.
	Preview Preview
	// Err says why it failed, is gone or could not be looked at.
	Err error
	// Notes are what CHECK and ADD noted.
	Notes []string
}

// Repair puts back what Check misses of an attachment, by Add as its record repeats it, and checks it again:
// all under one lock. One that does not deviate is not touched. Of the call count what counts for Audit, and
// Release. With dry set it only says what it would do.
func Repair(c Call, dry bool) Outcome {
	var r Outcome
	c.Note = func(_, note string) {
		if !slices.Contains(r.Notes, note) { // CHECK and ADD may say the same
			r.Notes = append(r.Notes, note)
		}
	}
	// On a goroutine, and so on a thread, of its own: see kernel.Namespace.Close.
	var worker sync.WaitGroup
	worker.Go(func() {
		r.in(c, dry)
		r.unlessGone(c)
	})
	worker.Wait()
	return r
}

// unlessGone takes back what was found in a namespace that is being taken down: it says nothing.
func (r *Outcome) unlessGone(c Call) {
	switch r.Result {
	case Untouched, Repaired, Vanished:
	case Unrepaired, Failed, Untold:
		if !stands(c) {
			r.end(Vanished, kernel.ErrGone)
		}
	}
}

// in opens the namespace, and works in it.
func (r *Outcome) in(c Call, dry bool) {
	open := OpenToAdd
	if dry {
		open = OpenToCheck
	}
	p, err := open(c)
	if err != nil {
		r.end(Untold, err)
		return
	}
	defer p.Close()
	remembered, err := p.remembered()
	if err != nil {
		r.end(Untold, fmt.Errorf("%w: %w", ErrRecord, err))
		return
	}
	repeated, err := repeating(p, c.Key, remembered)
	switch {
	case errors.Is(err, detached{}):
		r.end(Vanished, err)
	case err != nil:
		r.end(Untold, err)
	default:
		r.of(repeated, dry)
	}
}

// of repairs one attachment.
func (r *Outcome) of(p *Pod, dry bool) {
	err := p.Check()
	if err == nil {
		return
	}
	if !errors.As(err, &r.Was) {
		r.end(Untold, err)
		return
	}
	if dry {
		if r.Preview, err = PreviewIn(p); err != nil {
			r.end(Failed, err)
			return
		}
		r.Is = r.Was
		r.end(Unrepaired, nil)
		return
	}
	if err := p.Add(func() error { return nil }); err != nil {
		r.end(Failed, err)
		return
	}
	err = p.Check()
	switch {
	case err == nil:
		r.end(Repaired, nil)
	case errors.As(err, &r.Is):
		r.end(Unrepaired, nil)
	default:
		r.end(Untold, err)
	}
}

func (r *Outcome) end(how Result, err error) { r.Result, r.Err = how, err }
