package walk

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestNew holds walks to what makes them worth walking: everything happens in some
// of them, NICs are there when something happens to them, and in the end all leave.
func TestNew(t *testing.T) {
	t.Parallel()
	met := map[string]int{}
	for seed := range uint64(500) {
		w := New(seed)
		if !reflect.DeepEqual(w, New(seed)) {
			t.Fatalf("seed %d gives two walks", seed)
		}
		there, attached := map[string]bool{}, map[string]bool{}
		for i, s := range w.Steps {
			met[string(s.Verb)]++
			for _, l := range s.Lines {
				for what, text := range map[string]string{"forged": " proto", "renamed": " name ", "refusal": "route add prohibit",
					"disable_ipv6": "disable_ipv6=1", "disable_ipv6 no more": "disable_ipv6=0"} {
					if strings.Contains(l.Text, text) {
						met[what]++
					}
				}
			}
			if s.Kill != nil {
				met["kill at "+s.Kill.Call]++
			}
			for key := range s.Config {
				met[key]++
			}
			if s.ReplyBy() != "" {
				met["replyBy"]++
			}
			for name := range s.Modes() {
				if name != "lo" {
					met["interfaces of NICs"]++
				}
			}
			switch s.Verb {
			case Plug:
				if there[s.NIC] {
					t.Errorf("seed %d, step %d: %s comes twice", seed, i+1, s.NIC)
				}
				there[s.NIC] = true
			case Unplug, Up, Down:
				if !there[s.NIC] {
					t.Errorf("seed %d, step %d: %s is not there", seed, i+1, s.NIC)
				}
				there[s.NIC] = s.Verb != Unplug
			case Add:
				attached[s.NIC] = true
			case Del:
				if s.Kill == nil {
					delete(attached, s.NIC)
				}
			case NoCarrier, Carrier, Router, Foreign, Flush, Lose, Damage, Afresh, Check, GC:
			}
		}
		if len(attached) > 0 {
			t.Errorf("seed %d: some never leave: %v", seed, slices.Collect(maps.Keys(attached)))
		}
	}
	for _, what := range []string{
		"plug", "unplug", "down", "up", "foreign", "flush", "lose", "damage", "afresh", "ADD", "DEL", "CHECK", "GC",
		"kill at sendto", "kill at openat", "kill at write", "kill at renameat", "kill at unlinkat",
		"rpFilter", "gateways", "mainDefault", "arp", "viaMain", "noGateway", "sources", "routes", "table", "priority", "lvs",
		"requireGateway", "checkDestinations", "verify", "interfaces", "interfaces of NICs", "replyBy",
		"forged", "renamed", "disable_ipv6", "disable_ipv6 no more", "no carrier", "carrier", "router", "refusal",
	} {
		if met[what] < 20 {
			t.Errorf("%q happens %d times in 500 walks", what, met[what])
		}
	}
}

// TestScript prints walks that a shell understands, with configurations that are
// JSON.
func TestScript(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		script := New(seed).Script()
		shell := exec.Command("sh", "-n")
		shell.Stdin = strings.NewReader(script)
		if out, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, script)
		}
		if !strings.Contains(script, "symroute <<'EOF'") || !strings.Contains(script, fmt.Sprintf("-walk.seed=%d", seed)) {
			t.Errorf("no invocation, or no seed:\n%s", script)
		}
		for line := range strings.Lines(script) {
			if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	}
}

// TestShrink leaves of a walk what makes it fail, and gives up in time.
func TestShrink(t *testing.T) {
	t.Parallel()
	isolates := func(s Step) bool { return s.Verb == Add && s.Config["arp"] == "isolate" }
	var w Walk
	for seed := uint64(0); !slices.ContainsFunc(w.Steps, isolates); seed++ {
		w = New(seed)
	}
	tried := 0
	fails := func(w Walk) bool {
		tried++
		return slices.ContainsFunc(w.Steps, isolates)
	}
	short := Shrink(w, 1000, fails)
	if len(short.Steps) != 1 || len(short.Steps[0].Config) != 1 || !isolates(short.Steps[0]) {
		t.Errorf("got %v", short.Steps)
	}
	if len(short.NICs) > 1 || short.All+short.Default != 0 {
		t.Errorf("the pod could be simpler: %+v", short)
	}
	tried = 0
	if Shrink(w, 3, fails); tried != 3 {
		t.Errorf("tried %d times, want 3", tried)
	}
}
