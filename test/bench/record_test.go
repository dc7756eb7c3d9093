package bench

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// record makes a file of the netlink messages that symroute's ADD sends in a pod of
// the shape, and makes sure that testdata/writer.c does the same with it in another.
func (b *bench) record(t testing.TB, s shape) (messages string) {
	t.Helper()
	c := b.symroute(s)
	pod := b.pods(t, c, 1)[0]
	var file []byte
	for _, datagram := range traced(t, call{c.chain[0], "ADD", pod, s.last()}).toNetlink() {
		file = binary.NativeEndian.AppendUint32(file, uint32(len(datagram)))
		file = append(file, datagram...)
	}
	messages = filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(messages, file, 0o600); err != nil {
		t.Fatal(err)
	}

	w := b.writer(messages, s)
	twin := b.pods(t, w, 1)[0]
	attach(t, w.chain, twin, s.last())
	if diff := routing(t, pod).Diff(routing(t, twin)); diff != "" {
		t.Fatalf("%s: the writer does something else than symroute (-symroute +writer):\n%s", s.name, diff)
	}
	b.remove(t, []*netlab.NS{pod, twin})
	return messages
}

// routing is the part of a snapshot that netlink messages change.
func routing(t testing.TB, pod *netlab.NS) netlab.Snapshot {
	t.Helper()
	part := netlab.Snapshot{}
	for title, lines := range pod.Snapshot(t) {
		if strings.HasSuffix(title, " rule") || strings.Contains(title, " route ") {
			part[title] = lines
		}
	}
	return part
}
