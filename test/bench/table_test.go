package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// figures are what was measured and counted.
type figures struct {
	times         map[row]samples
	counts        map[row]counts
	podsPerSecond map[string][]float64 // by contestant
	audited       map[int]samples      // by attachments
	agent         *agentFigures        // nil: not measured
	sizes         map[string]int64     // of executables, by the names of plugins
}

// row is what a line of a table is about.
type row struct{ shape, verb, name string }

// tableOrder is the order of contestants in tables.
var tableOrder = []string{ours, otherBuild, unburdened, sbr, tuning, sbrTuning, writer, emptyGo, emptyC}

// table is lines of cells, with a header.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

// String is the table in Markdown, aligned: the first columns to the left, numbers to
// the right.
func (t table) String() string {
	widths := make([]int, len(t[0]))
	for _, line := range t {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for number, line := range t {
		for i, cell := range line {
			text.WriteString("| " + aligned(cell, widths[i], t.isNumber(i)) + " ")
		}
		text.WriteString("|\n")
		if number > 0 {
			continue
		}
		for i, width := range widths {
			if t.isNumber(i) {
				text.WriteString("|" + strings.Repeat("-", width+1) + ":")
			} else {
				text.WriteString("|" + strings.Repeat("-", width+2))
			}
		}
		text.WriteString("|\n")
	}
	return text.String()
}

// isNumber tells whether a column holds numbers: the first line below the header does.
func (t table) isNumber(column int) bool {
	cell := t[min(1, len(t)-1)][column]
	return cell != "" && strings.Trim(cell, "0123456789. to"+none) == ""
}

func aligned(cell string, width int, right bool) string {
	space := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
	if right {
		return space + cell
	}
	return cell + space
}

// section prints a part of the report.
func section(title string, t table) {
	fmt.Printf("\n%s\n\n%s", title, t)
}

// none stands where there is no figure.
const none = "–"

// printTimes prints what was measured in pods of a shape.
func (f figures) printTimes(s shape) {
	lines := table{{"", "", "median ms", "quartiles ms", "of sbr", "of sbr+tuning", "CPU ms", "page faults", "peak KiB"}}
	for _, verb := range verbs {
		for _, name := range tableOrder {
			taken := f.times[row{s.name, verb, name}]
			if len(taken) == 0 {
				continue
			}
			lines.add(verb, name,
				fmt.Sprintf("%.2f", taken.median(wall)),
				fmt.Sprintf("%.2f to %.2f", taken.quartile(1, wall), taken.quartile(3, wall)),
				f.share(row{s.name, verb, name}, sbr),
				f.share(row{s.name, verb, name}, sbrTuning),
				fmt.Sprintf("%.2f", taken.median(cpu)),
				fmt.Sprintf("%.0f", taken.median(faults)),
				fmt.Sprintf("%.0f", taken.median(peak)))
		}
	}
	section(fmt.Sprintf("%s: %d rounds", s.name, *pairs), lines)
}

// share is a median as a part of that of another contestant.
func (f figures) share(of row, name string) string {
	whole := f.times[row{of.shape, of.verb, name}]
	if len(whole) == 0 {
		return none
	}
	return fmt.Sprintf("%.2f", f.times[of].median(wall)/whole.median(wall))
}

func (f figures) printFleets() {
	lines := table{{"", "pods a second", "quartiles", "times sbr+tuning"}}
	for _, name := range tableOrder {
		speeds := f.podsPerSecond[name]
		if len(speeds) == 0 {
			continue
		}
		lines.add(name,
			fmt.Sprintf("%.1f", quartile(2, speeds)),
			fmt.Sprintf("%.1f to %.1f", quartile(1, speeds), quartile(3, speeds)),
			fmt.Sprintf("%.2f", quartile(2, speeds)/quartile(2, f.podsPerSecond[sbrTuning])))
	}
	section(fmt.Sprintf("%s: %d rounds", fleetName, len(f.podsPerSecond[ours])), lines)
}

func (f figures) printCounts() {
	lines := table{{"", "", "", "system calls", "of Go's runtime", "netlink round trips", "allocations", "KiB allocated"}}
	for _, s := range shapes {
		for _, verb := range verbs {
			for _, name := range tableOrder {
				if n, ok := f.counts[row{s.name, verb, name}]; ok {
					lines.add(append([]string{s.name, verb, name}, n.cells()...)...)
				}
			}
		}
	}
	if len(lines) > 1 {
		section("What one run does (its system calls are those beyond an empty executable of Go)", lines)
	}
}

func (c counts) cells() []string {
	cells := []string{fmt.Sprint(total(c.systemCalls)), fmt.Sprint(c.ofRuntime), fmt.Sprint(len(c.netlink)), none, none}
	if c.allocations > 0 {
		cells[3], cells[4] = fmt.Sprint(c.allocations), fmt.Sprint(c.bytes>>10)
	}
	return cells
}

func (f figures) printSizes() {
	lines := table{{"", "bytes", "of sbr"}}
	for _, name := range tableOrder {
		if size, ok := f.sizes[name]; ok {
			lines.add(name, fmt.Sprint(size), fmt.Sprintf("%.2f", float64(size)/float64(f.sizes[sbr])))
		}
	}
	section("Size of the executables, stripped", lines)
}

// machine is a line about where the figures come from.
func machine(t testing.TB) string {
	t.Helper()
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("Linux %s, %d CPUs (%s), %s, CNI plugins %s, %d pairs\n",
		unix.ByteSliceToString(system.Release[:]), runtime.NumCPU(), processor(t), runtime.Version(), pluginsRelease(t), *pairs)
}

func processor(t testing.TB) string {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}

func pluginsRelease(t testing.TB) string {
	t.Helper()
	return strings.TrimSpace(run(t, "go", "list", "-m", "-f", "{{.Version}}", "github.com/containernetworking/plugins"))
}
