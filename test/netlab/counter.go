package netlab

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
)

// ReversePathDrops is how many IPv4 packets the kernel has refused in this
// namespace because of rp_filter.
func (n *NS) ReversePathDrops(t testing.TB) int {
	t.Helper()
	return n.counter(t, "/proc/thread-self/net/netstat", "TcpExt", "IPReversePathFilter")
}

// counter reads one number out of a file of pairs of lines, names above
// numbers: "TcpExt: SyncookiesSent ..." over "TcpExt: 0 ...".
func (n *NS) counter(t testing.TB, file, group, name string) int {
	t.Helper()
	var data []byte
	n.Must(t, func() (err error) {
		data, err = os.ReadFile(file)
		return err
	})
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		names := strings.Fields(lines.Text())
		if len(names) == 0 || names[0] != group+":" || !lines.Scan() {
			continue
		}
		values := strings.Fields(lines.Text())
		for i := range names {
			if names[i] != name || i >= len(values) {
				continue
			}
			value, err := strconv.Atoi(values[i])
			if err != nil {
				t.Fatalf("%s: %s: %v", file, name, err)
			}
			return value
		}
	}
	t.Fatalf("%s has no %s of %s", file, name, group)
	return 0
}
