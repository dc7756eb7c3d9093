package plan_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
)

// TestKilledAdd ends ADD after every step: the next DEL, or the next ADD and
// DEL, find what it left.
func TestKilledAdd(t *testing.T) {
	eachComing(t, func(t *testing.T, s scenario) {
		whole := s.start(t)
		before := whole.kernel.text()
		whole.add(s.attachment)
		for cut := range len(s.start(t).begin(s.attachment)) {
			p := s.start(t)
			p.apply(p.begin(s.attachment)[:cut])
			p.del(s.attachment)
			p.same(fmt.Sprintf("ADD killed after %d steps, then DEL", cut), before)

			p = s.start(t)
			p.apply(p.begin(s.attachment)[:cut])
			p.add(s.attachment)
			compare(t, fmt.Sprintf("ADD killed after %d steps, then ADD", cut), ofAnyNumber(whole.kernel.text()), ofAnyNumber(p.kernel.text()))
			p.del(s.attachment)
			p.same(fmt.Sprintf("ADD killed after %d steps, then ADD and DEL", cut), before)
		}
	})
}

// ofAnyNumber makes texts equal that differ in the numbers of our tables and in
// the metric of our own default in main: which they are is of no account.
func ofAnyNumber(text []string) []string {
	names := map[string]string{}
	all := regexp.MustCompile(`\b73\d\d\b`).ReplaceAllStringFunc(strings.Join(text, "\n"), func(table string) string {
		if names[table] == "" {
			names[table] = fmt.Sprintf("#%d", len(names))
		}
		return names[table]
	})
	return lines(regexp.MustCompile(`(dev \S+ proto 73 metric) \d+`).ReplaceAllString(all, "$1 any"))
}

// TestKilledDel ends DEL after every step: the next one finishes it.
func TestKilledDel(t *testing.T) {
	for _, recorded := range []bool{true, false} {
		t.Run(fmt.Sprintf("recorded=%t", recorded), func(t *testing.T) {
			eachComing(t, func(t *testing.T, s scenario) {
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
					p.same(fmt.Sprintf("DEL killed after %d of %d steps, then DEL", cut, steps), whole.kernel.text())
				}
			})
		})
	}
}

// TestKilledWhileMoving ends DEL, and the undoing of an ADD, between the requests
// that one change is made of: there routes of others are gone for a moment. The
// record that is written before tells the next DEL of them.
func TestKilledWhileMoving(t *testing.T) {
	eachComing(t, func(t *testing.T, s scenario) {
		undone := func(p *pod) []plan.Op {
			ops := p.begin(s.attachment)
			p.apply(ops)
			for i, op := range reversed(ops) {
				ops[i] = op.Inverse()
			}
			return ops
		}
		deleted := func(p *pod) []plan.Op {
			p.add(s.attachment)
			return p.leave(s.attachment)
		}
		before := s.start(t).kernel.text()
		for name, begin := range map[string]func(*pod) []plan.Op{"undoing ADD": undone, "DEL": deleted} {
			for at, op := range begin(s.start(t)) {
				if len(plan.Moves(op)) == 0 {
					continue
				}
				put, _ := op.(plan.PutIn)
				for requests := range len(newModel(parsePod(t, s.pod)).putInSteps(put)) {
					p := s.start(t)
					ops := begin(p)
					p.apply(ops[:at])
					p.kill(s.key(), ops[at].(plan.PutIn), requests)
					p.retry(s.attachment)
					p.same(fmt.Sprintf("%s killed %d requests into %s, then DEL", name, requests, op), before)
				}
			}
		}
	})
}

// kill carries out a part of a change, which is remembered before it begins.
func (p *pod) kill(key record.Key, op plan.PutIn, requests int) {
	p.t.Helper()
	mine, _ := record.Find(p.records, key)
	journal := *mine
	journal.Moving = append(slices.Clone(journal.Moving), plan.Moves(op)...)
	p.remember(journal)
	for _, request := range p.kernel.putInSteps(op)[:requests] {
		if err := request(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// retry is a DEL that may find done what it wants to do.
func (p *pod) retry(a attachment) {
	p.t.Helper()
	for _, op := range p.leave(a) {
		_ = p.kernel.apply(op) // what is so already is refused
	}
	p.forget(a.key())
}
