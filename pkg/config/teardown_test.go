package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTeardown(t *testing.T) {
	tests := []struct {
		name string
		json string
		want Teardown
	}{
		{"nothing", `{}`, Teardown{DataDir: DefaultDataDir}},
		{
			"everything",
			`{"cniVersion": "1.1.0", "name": "storage", "dataDir": "/run/x",
			  "prevResult": {"interfaces": [{"name": "net1", "sandbox": "/n"}, {"name": "veth1"}]},
			  "cni.dev/valid-attachments": [{"containerID": "c", "ifname": "net1"}]}`,
			Teardown{
				CNIVersion: "1.1.0", Network: "storage", DataDir: "/run/x",
				ValidAttachments: []Attachment{{"c", "net1"}},
			},
		},
		{
			"invalid keys that DEL has no use for",
			`{"name": "storage", "rp_filter": 1, "rpFilter": 7, "gateways": 5, "lvs": {}, "table": 0, "dataDir": "/run/x"}`,
			Teardown{Network: "storage", DataDir: "/run/x"},
		},
		{
			"everything invalid",
			`{"cniVersion": 1, "name": "../x", "dataDir": "run", "prevResult": 5, "cni.dev/valid-attachments": 5}`,
			Teardown{DataDir: DefaultDataDir},
		},
		{
			"partly legible prevResult",
			`{"prevResult": {"ips": 5, "routes": [1], "interfaces": [null, {"name": "a/b", "sandbox": "/n"}, {"name": "net1", "sandbox": "/n"}, {"name": 5}, {"sandbox": "/n"}]}}`,
			Teardown{DataDir: DefaultDataDir},
		},
		{"no valid attachments", `{"cni.dev/valid-attachments": []}`, Teardown{DataDir: DefaultDataDir, ValidAttachments: []Attachment{}}},
		{"null for valid attachments", `{"cni.dev/valid-attachments": null}`, Teardown{DataDir: DefaultDataDir}},
		{
			"one illegible attachment leaves nothing to collect",
			`{"cni.dev/valid-attachments": [{"containerID": "c", "ifname": "net1"}, {"containerID": "c2"}]}`,
			Teardown{DataDir: DefaultDataDir},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTeardown([]byte(tt.json))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
