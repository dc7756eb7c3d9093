package pod

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/record"
)

// Notes and errors name who they are about.
func TestSubject(t *testing.T) {
	key := record.Key{Network: "red", ContainerID: "c1", IfName: "net1"}
	for _, tt := range []struct {
		pod  record.Pod
		want string
	}{
		{record.Pod{}, "network red, net1 of container c1"},
		{record.Pod{Namespace: "shop"}, "network red, net1 of container c1"},
		{record.Pod{Name: "web"}, "network red, net1 of pod /web"},
		{record.Pod{Namespace: "shop", Name: "web"}, "network red, net1 of pod shop/web"},
	} {
		var got []string
		c := Call{Key: key, Pod: tt.pod, Note: func(subject, note string) { got = append(got, subject, note) }}
		c.note("%d rules", 2)
		if diff := cmp.Diff([]string{tt.want, "2 rules"}, got); diff != "" {
			t.Errorf("%v: a note and its subject (-want +got):\n%s", tt.pod, diff)
		}
	}
	(&Call{}).note("nobody hears this")
}

// What found a record counts: the directory that its input names may lie elsewhere for who reads it.
func TestFromRecordOfAnotherDirectory(t *testing.T) {
	a := record.Attachment{
		Key:   record.Key{Network: "red", ContainerID: "c1", IfName: "net1"},
		Netns: "/run/netns/pod",
		Pod:   record.Pod{Namespace: "shop", Name: "web"},
		Input: []byte(`{"name": "red", "type": "symroute", "dataDir": "/run/cni/red", "prevResult": {"ips": []}}`),
	}
	c, err := FromRecord(a, "/host/run/cni/red", "identity")
	if err != nil {
		t.Fatal(err)
	}
	if c.Config == nil || c.Config.Network != "red" || c.Config.Prev == nil {
		t.Errorf("its configuration is %+v", c.Config)
	}
	c.Config = nil // which holds addresses that cmp cannot look into
	want := Call{Key: a.Key, Netns: a.Netns, Namespace: "identity", Pod: a.Pod, DataDir: "/host/run/cni/red", Input: a.Input}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A record of which nothing can be repeated can still be taken back.
func TestFromRecordWithoutInput(t *testing.T) {
	for _, input := range []string{"", `{"name": "red", "type": "symroute"}`, `{"name": "red", "table": "x", "prevResult": {}}`} {
		key := record.Key{Network: "red", ContainerID: "c1", IfName: "net1"}
		a := record.Attachment{Key: key, Netns: "/run/netns/pod", Input: []byte(input)}
		c, err := FromRecord(a, "/run/cni/red", "identity")
		if err == nil {
			t.Errorf("%q: no error", input)
		}
		if c.Key != a.Key || c.Netns != a.Netns || c.Namespace != "identity" || c.DataDir != "/run/cni/red" {
			t.Errorf("%q: %+v", input, c)
		}
	}
}
