package bench

import (
	"slices"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// contestant is what runs in a pod: a plugin, or a chain of them.
type contestant struct {
	name  string
	chain []plugin
	// before is the chain that has attached the pod's earlier NICs.
	before []plugin
	shape  shape
	verbs  []string
}

// Names of contestants and of their plugins, as the tables show them.
const (
	ours       = "symroute"
	otherBuild = "symroute, other build"
	unburdened = "symroute, without them"
	sbr        = "sbr"
	tuning     = "tuning"
	sbrTuning  = sbr + "+" + tuning
	writer     = "raw netlink writer, C"
	emptyGo    = "empty executable, Go"
	emptyC     = "empty executable, C"
)

var verbs = []string{"ADD", "CHECK", "DEL"}

// calls is the chain for one command. DEL goes backwards.
func calls(chain []plugin, verb string, pod *netlab.NS, n nic) []call {
	var list []call
	for _, p := range chain {
		list = append(list, call{p, verb, pod, n})
	}
	if verb == "DEL" {
		slices.Reverse(list)
	}
	return list
}

// attach runs the chain's ADD.
func attach(t testing.TB, chain []plugin, pod *netlab.NS, n nic) {
	t.Helper()
	for _, c := range calls(chain, "ADD", pod, n) {
		c.must(t)
	}
}

// roster knows how to run what is compared.
type roster struct {
	paths   executables
	dataDir string // of symroute
}

// peers are the contestants of every shape.
func (r roster) peers(s shape) []contestant {
	list := []contestant{r.symroute(s), r.sbrTuning(s)}
	if r.paths.other != "" {
		list = append(list, r.build(otherBuild, r.paths.other, s))
	}
	return list
}

func (r roster) symroute(s shape) contestant { return r.build(ours, r.paths.symroute, s) }

func (r roster) build(name, path string, s shape) contestant {
	conf := netlab.Object{"type": "symroute", "dataDir": r.dataDir}
	if s.defaults > 0 {
		conf["mainDefault"] = "take"
	}
	chain := []plugin{{name: name, path: path, conf: conf}}
	return contestant{name: name, chain: chain, before: chain, shape: s, verbs: verbs}
}

// sbrTuning is what does the same job: sbr the routing, tuning the reverse-path filter.
func (r roster) sbrTuning(s shape) contestant {
	sysctl := netlab.Object{"net.ipv4.conf.IFNAME.rp_filter": "2"}
	chain := []plugin{
		{name: sbr, path: r.paths.sbr, conf: netlab.Object{"type": "sbr"}},
		{name: tuning, path: r.paths.tuning, conf: netlab.Object{"type": "tuning", "sysctl": sysctl}},
	}
	return contestant{name: sbrTuning, chain: chain, before: chain, shape: s, verbs: verbs}
}

// writer sends the messages of a file, which are those of symroute's ADD.
func (r roster) writer(messages string, s shape) contestant {
	send := plugin{name: writer, path: r.paths.writer, args: func(pod *netlab.NS) []string {
		return []string{pod.Path, messages}
	}}
	return contestant{name: writer, chain: []plugin{send}, before: r.symroute(s).chain, shape: s, verbs: []string{"ADD"}}
}

// limits are what it takes to start anything.
func (r roster) limits(s shape) []contestant {
	return []contestant{r.empty(emptyGo, r.paths.emptyGo, s), r.empty(emptyC, r.paths.emptyC, s)}
}

func (r roster) empty(name, path string, s shape) contestant {
	return contestant{name: name, chain: []plugin{{name: name, path: path}}, shape: s, verbs: []string{"ADD"}}
}
