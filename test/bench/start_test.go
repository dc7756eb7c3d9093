package bench

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStackGrownFirst holds pkg/stack to what it is for: the stack is grown before any
// package is initialized that could have used it.
func TestStackGrownFirst(t *testing.T) {
	c := exec.Command(buildGo(t, t.TempDir(), "symroute", packageOfSymroute))
	c.Env = append(os.Environ(), "CNI_COMMAND=VERSION", "GODEBUG=inittrace=1") // "init runtime @0.016 ms, 0.077 ms clock, ..."
	c.Stdin = strings.NewReader(`{"cniVersion":"1.1.0"}`)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "init" || words[1] == "runtime" || strings.HasPrefix(words[1], "internal/") {
			continue
		}
		if want := "github.com/symroute/symroute/pkg/stack"; words[1] != want {
			t.Errorf("%s is initialized before %s", words[1], want)
		}
		return
	}
	t.Errorf("no package was initialized:\n%s", out)
}
