package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestNetworks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"20-chain.conflist": `{"cniVersion": "1.0.0", "name": "net", "plugins": [
			{"type": "bridge"}, {"type": "tuning", "sysctl": {"net.ipv4.conf.all.rp_filter": "2", "net.core.somaxconn": "500"}}]}`,
		"10-one.conf":      `{"cniVersion": "0.4.0", "name": "one", "type": "ptp"}`,
		"30-odd.conflist":  `{"cniVersion": "1.0.0", "name": "odd", "plugins": [{"type": "own", "sysctl": true}]}`,
		"40-torn.conflist": `{"cniVersion"`,
		"README":           `no network`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []Network{
		{File: "10-one.conf", Name: "one", Plugins: []Plugin{{Type: "ptp"}}},
		{File: "20-chain.conflist", Name: "net", Plugins: []Plugin{
			{Type: "bridge"}, {Type: "tuning", Sysctls: []string{"net.core.somaxconn", "net.ipv4.conf.all.rp_filter"}},
		}},
		{File: "30-odd.conflist", Name: "odd", Plugins: []Plugin{{Type: "own"}}},
		{File: "40-torn.conflist", Err: cmpopts.AnyError},
	}
	got, err := Networks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got[1].Has("tuning") || got[1].Has("sbr") {
		t.Error("Has does not tell what a network has")
	}
}

func TestNoNetworks(t *testing.T) {
	got, err := Networks(filepath.Join(t.TempDir(), "none"))
	if err != nil || got != nil {
		t.Errorf("got %v, %v; want nothing", got, err)
	}
}
