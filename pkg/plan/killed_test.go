package plan_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/state"
)

// TestKilledAdd ends ADD after every step: the next DEL, or the next ADD and
// DEL, find what it left.
func TestKilledAdd(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		whole := s.start(t)
		before := whole.kernel.text()
		whole.add(s.attachment)
		if s.comes() {
			whole.del(s.attachment)
			whole.same("after ADD and DEL", before)
			whole.add(s.attachment)
		}
		gone := s.start(t)
		gone.del(s.attachment)
		for cut := range len(s.start(t).begin(s.attachment)) {
			p := s.start(t)
			p.apply(p.begin(s.attachment)[:cut])
			p.del(s.attachment)
			p.same(fmt.Sprintf("ADD killed after %d steps, then DEL", cut), gone.kernel.text())

			p = s.start(t)
			p.apply(p.begin(s.attachment)[:cut])
			p.add(s.attachment)
			p.same(fmt.Sprintf("ADD killed after %d steps, then ADD", cut), whole.kernel.text())
			p.del(s.attachment)
			p.same(fmt.Sprintf("ADD killed after %d steps, then ADD and DEL", cut), gone.kernel.text())
		}
	})
}

// TestKilledDel ends DEL after every step: the next one finishes it. Where the record is lost,
// too, the anchor may stay: nothing leads to it any more, and the next attachment takes it along.
func TestKilledDel(t *testing.T) {
	for _, recorded := range []bool{true, false} {
		t.Run(fmt.Sprintf("recorded=%t", recorded), func(t *testing.T) {
			eachScenario(t, func(t *testing.T, s scenario) {
				start := func() *pod {
					p := s.start(t)
					p.add(s.attachment)
					if !recorded {
						p.forget(s.key())
					}
					return p
				}
				whole := start()
				steps := len(whole.leave(s.attachment))
				whole.del(s.attachment)
				for cut := range steps {
					p := start()
					p.apply(p.leave(s.attachment)[:cut])
					p.del(s.attachment)
					if !recorded {
						p.kernel.rules = slices.DeleteFunc(p.kernel.rules, state.IsAnchor)
						whole.kernel.rules = slices.DeleteFunc(whole.kernel.rules, state.IsAnchor)
					}
					p.same(fmt.Sprintf("DEL killed after %d of %d steps, then DEL", cut, steps), whole.kernel.text())
				}
			})
		})
	}
}

// TestChangedConfiguration has an ADD find its attachment there with another configuration. It
// ends as a first ADD would.
func TestChangedConfiguration(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		if s.comes() {
			t.Skip("the attachment is not there yet")
		}
		p := s.start(t)
		p.add(s.attachment)
		fresh := newPod(t, s.pod)
		for _, a := range s.earlier {
			if a.key() != s.key() {
				fresh.add(a)
			}
		}
		fresh.add(s.attachment)
		compare(t, "after both ADDs", ofAnyNumber(fresh.kernel.text()), ofAnyNumber(p.kernel.text()))
	})
}

// ofAnyNumber makes texts equal that differ in the numbers of our tables alone: which they are
// is of no account.
func ofAnyNumber(text []string) []string {
	all := regexp.MustCompile(`\b73\d\d\b`).ReplaceAllString(strings.Join(text, "\n"), "#")
	return slices.Sorted(slices.Values(lines(all)))
}
