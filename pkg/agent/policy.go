package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/state"
)

// Mode is what the agent repairs.
type Mode string

// The modes.
const (
	Off   Mode = "off"   // nothing
	Links Mode = "links" // what a change of a link, an address or a router took
	All   Mode = "all"   // rules and settings that somebody changed, too
)

// Set reads a mode from a command line.
func (m *Mode) Set(text string) error {
	modes := []Mode{Off, Links, All}
	if !slices.Contains(modes, Mode(text)) {
		return fmt.Errorf("is one of off, links, all; not %q", text)
	}
	*m = Mode(text)
	return nil
}

func (m *Mode) String() string { return string(*m) }

// Type is what help calls the value.
func (m *Mode) Type() string { return "off|links|all" }

// repairs says whether deviations are ones to repair. While an interface is down or gone nothing can be put back:
// its way up is a change, which has the attachment checked again.
func (m Mode) repairs(deviations []audit.Deviation) bool {
	has := map[state.Kind]bool{}
	for _, d := range deviations {
		has[d.Kind] = true
	}
	switch {
	case m == Off || len(deviations) == 0 || has[state.Down]:
		return false
	case m == Links:
		return has[state.Lost]
	}
	return true
}

const (
	// firstDelay is how long a second repair waits; each further one waits twice as long as the one before.
	firstDelay = 5 * time.Second
	mostDelay  = 10 * time.Minute
	// enough is after how many repairs in a row that did not last somebody is told that this does not help.
	enough = 5
	// lasting is how long an attachment has to be symmetric for its repairs to be forgotten.
	lasting = 10 * time.Minute
)

// history is what was done about an attachment that deviates again and again. Somebody who undoes a repair each
// minute becomes an event, not a war. A change of a link begins a new history: links may go down as often as they do.
type history struct {
	repairs int       // that did not last
	next    time.Time // before this none is made
	told    bool      // that repairs do not help
}

// repaired notes a repair, whatever came of it.
func (h *history) repaired(now time.Time) {
	delay := mostDelay
	if h.repairs < 10 { // which is more than mostDelay
		delay = min(firstDelay<<h.repairs, mostDelay)
	}
	h.repairs++
	h.next = now.Add(delay)
}

// vain says that repairs do not help.
func (h *history) vain() bool { return h.repairs >= enough }

// summary is what deviates, in one line.
func summary(deviations []audit.Deviation) string {
	return audit.Item{Deviations: deviations}.First()
}

// same says whether deviations are the same as before, whatever the order.
func same(a, b []audit.Deviation) bool {
	text := func(all []audit.Deviation) string {
		lines := make([]string, len(all))
		for i, d := range all {
			lines[i] = d.String()
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	return text(a) == text(b)
}
