package netlab

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Snapshot is everything in a namespace that routing depends on, as text, line
// by line and in the kernel's own order, but for that of main's defaults (settled). The
// keys are the titles of its parts.
type Snapshot map[string][]string

// dumps are the questions to ip that make up a snapshot. Neighbours are not
// among them: they come and go with traffic.
var dumps = []string{
	"-4 -details rule",
	"-6 -details rule",
	"-4 -details route show table all",
	"-6 -details route show table all",
	"-details -oneline address",
	"-brief link",
}

// sysctlDirs hold a folder of settings for each device, "all" and "default".
var sysctlDirs = []string{"net/ipv4/conf", "net/ipv6/conf"}

// Snapshot looks at the namespace.
func (n *NS) Snapshot(t testing.TB) Snapshot {
	t.Helper()
	s := Snapshot{}
	n.Must(t, func() error {
		for _, dir := range sysctlDirs {
			lines, err := readSysctls(dir)
			if err != nil {
				return err
			}
			s[dir] = lines
		}
		return nil
	})
	for _, dump := range dumps {
		s["ip "+dump] = settled(lines(ticking.ReplaceAllString(n.IP(t, strings.Fields(dump)...), "expires")))
	}
	return s
}

// ticking is what is left of a route's lifetime.
var ticking = regexp.MustCompile(`expires \d+sec`)

// settled brings main's defaults into one order where the kernel keeps them in that of their
// coming, so that one which left main and came back is no difference: IPv4 defaults of one
// metric, and the hops of an IPv6 multipath default. Any other order is as it was.
func settled(lines []string) []string {
	var out []string
	routes := entries(lines)
	for len(routes) > 0 {
		alike := 1
		for metric, ok := metricOfDefault(routes[0]); ok && alike < len(routes); alike++ {
			if next, ok := metricOfDefault(routes[alike]); !ok || next != metric {
				break
			}
		}
		slices.SortFunc(routes[:alike], slices.Compare)
		for _, route := range routes[:alike] {
			if isDefault6(route[0]) {
				slices.Sort(route[1:])
			}
			out = append(out, route...)
		}
		routes = routes[alike:]
	}
	return out
}

// entries puts lines together with those that belong to them, which are indented: the hops of
// a route.
func entries(lines []string) [][]string {
	var out [][]string
	for _, line := range lines {
		if last := len(out) - 1; last >= 0 && strings.HasPrefix(line, "\t") {
			out[last] = append(out[last], line)
		} else {
			out = append(out, []string{line})
		}
	}
	return out
}

// mainDefault starts the line of a default route.
const mainDefault = "unicast default "

// isDefault6 reports whether a line begins an IPv6 default of main: it names a router's
// preference, which IPv4 routes do not have.
func isDefault6(line string) bool {
	return strings.HasPrefix(line, mainDefault) && strings.Contains(line, " table main ") && strings.Contains(line, " pref ")
}

// metricOfDefault is the metric of an IPv4 default of main.
func metricOfDefault(route []string) (metric string, ok bool) {
	fields := strings.Fields(route[0])
	value := func(key string) string {
		i := slices.Index(fields, key)
		if i < 0 || i+1 == len(fields) {
			return ""
		}
		return fields[i+1]
	}
	ok = strings.HasPrefix(route[0], mainDefault) && value("table") == "main" && value("pref") == "" && value("tos") == ""
	return value("metric"), ok
}

// readSysctls lists every setting below a folder of /proc/sys.
func readSysctls(dir string) ([]string, error) {
	var settings []string
	root := sysctlPath(dir)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		value, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil // write only
		case filepath.Base(path) == "stable_secret":
			return nil // an error until it is set
		case err != nil:
			return err
		}
		key, err := filepath.Rel("/proc/sys", path)
		settings = append(settings, key+" = "+strings.TrimSpace(string(value)))
		return err
	})
	return settings, err
}

func lines(text string) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	split := strings.Split(text, "\n")
	for i := range split {
		split[i] = strings.TrimRight(split[i], " \t")
	}
	return split
}

// Diff is empty when nothing differs. Under the title of each part that does,
// lines with "-" are those of s, lines with "+" those of later.
func (s Snapshot) Diff(later Snapshot) string {
	titles := map[string]bool{}
	for title := range s {
		titles[title] = true
	}
	for title := range later {
		titles[title] = true
	}
	var diff strings.Builder
	for _, title := range slices.Sorted(maps.Keys(titles)) {
		if changes := diffLines(s[title], later[title]); len(changes) > 0 {
			diff.WriteString(title + ":\n\t" + strings.Join(changes, "\n\t") + "\n")
		}
	}
	return diff.String()
}

// diffLines lists what has to go from a and what has to come to make it b.
func diffLines(a, b []string) []string {
	if slices.Equal(a, b) {
		return nil
	}
	// common[i][j] is the length of the longest common subsequence of a[i:]
	// and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var changes []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			changes = append(changes, "- "+a[i])
			i++
		default:
			changes = append(changes, "+ "+b[j])
			j++
		}
	}
	return changes
}

// Without leaves out the lines that the filter names.
func (s Snapshot) Without(filter func(line string) bool) Snapshot {
	rest := Snapshot{}
	for part, lines := range s {
		rest[part] = nil
		for _, line := range lines {
			if !filter(line) {
				rest[part] = append(rest[part], line)
			}
		}
	}
	return rest
}

// Sorted is the snapshot without the kernel's order of lines.
func (s Snapshot) Sorted() Snapshot {
	sorted := Snapshot{}
	for part, lines := range s {
		sorted[part] = slices.Sorted(slices.Values(lines))
	}
	return sorted
}

// Grep is the lines of all parts that contain a text.
func (s Snapshot) Grep(text string) []string {
	var found []string
	for _, lines := range s {
		for _, line := range lines {
			if strings.Contains(line, text) {
				found = append(found, line)
			}
		}
	}
	return found
}
