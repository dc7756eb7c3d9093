package agent

import (
	"testing"
	"time"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/state"
)

func of(kinds ...state.Kind) []audit.Deviation {
	var out []audit.Deviation
	for _, k := range kinds {
		out = append(out, audit.Deviation{Code: state.Code(k), Kind: k})
	}
	return out
}

func TestRepairs(t *testing.T) {
	for _, tc := range []struct {
		name       string
		deviations []audit.Deviation
		links, all bool
	}{
		{"nothing", nil, false, false},
		{"a link is down", of(state.Down, state.Lost), false, false},
		{"a route", of(state.Lost), true, true},
		{"a route, and so the answers", of(state.Lost, state.Asymmetric), true, true},
		{"a rule", of(state.Missing), false, true},
		{"a rule, and so the answers", of(state.Missing, state.Asymmetric), false, true},
		{"a rule and a route", of(state.Missing, state.Lost), true, true},
		{"a setting", of(state.Setting), false, true},
		{"somebody else's rule", of(state.Foreign), false, true},
	} {
		for _, m := range []struct {
			mode Mode
			want bool
		}{{Off, false}, {Links, tc.links}, {All, tc.all}} {
			if got := m.mode.repairs(tc.deviations); got != m.want {
				t.Errorf("%s: --repair=%s: %v, want %v", tc.name, m.mode, got, m.want)
			}
		}
	}
}

// Somebody who undoes each repair becomes an event, not a war.
func TestHistory(t *testing.T) {
	begin := time.Unix(0, 0)
	var h history
	var waits []time.Duration
	for range 12 {
		h.repaired(begin)
		waits = append(waits, h.next.Sub(begin))
		if h.vain() != (len(waits) >= enough) {
			t.Errorf("after %d repairs vain is %v", len(waits), h.vain())
		}
	}
	s := time.Second
	for i, want := range []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 600 * s, 600 * s, 600 * s, 600 * s, 600 * s} {
		if waits[i] != want {
			t.Errorf("repair %d waits %s, want %s", i+2, waits[i], want)
		}
	}
}

func TestMode(t *testing.T) {
	for text, ok := range map[string]bool{"off": true, "links": true, "all": true, "": false, "on": false, "Links": false} {
		m := Mode("x")
		if err := m.Set(text); (err == nil) != ok || ok && m.String() != text {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
}

func TestJitter(t *testing.T) {
	for range 1000 {
		if d := jitter(time.Minute); d < 54*time.Second || d > 66*time.Second {
			t.Fatal(d)
		}
	}
}

func TestSame(t *testing.T) {
	a, b := audit.Deviation{What: "a"}, audit.Deviation{What: "b"}
	if !same([]audit.Deviation{a, b}, []audit.Deviation{b, a}) || same([]audit.Deviation{a}, []audit.Deviation{b}) || same([]audit.Deviation{a}, nil) {
		t.Error("the order counts, or nothing does")
	}
}
