package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// The second real server's addresses.
var (
	secondA = newProvider("a", "198.51.100.88/24", "2001:db8:a::88/64")
	secondB = newProvider("b", "203.0.113.145/24", "2001:db8:b::145/64")
)

// TestLVSFailover removes a real server while connections run through it: nothing is
// left of its being one, and the other gets all that comes.
func TestLVSFailover(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		lvs  netlab.Object
		how  netlab.Forwarding
	}{
		{"direct routing", direct(), netlab.DirectRouting},
		{"tunneling", tunnel(), netlab.Tunneling},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			needsTunnels(t)
			l := newDirectedSite(t)
			symroute := l.symroute(netlab.Object{"lvs": test.lvs, "rpFilter": "strict"})
			first, second := l.backend(providerB, symroute), l.backend(secondB, symroute)
			other := netlab.NewPod(t)
			l.runtime.MustAdd(t, l.plain(secondA, defaults...), other, "eth0")
			before := l.pod.NS.Snapshot(t).Without(bornWithUp)
			l.runtime.MustAdd(t, first, l.pod, "net1")
			l.runtime.MustAdd(t, second, other, "net1")
			for _, pod := range []*netlab.Pod{l.pod, other} {
				listen(t, pod, vips...)
			}
			for _, vip := range vips {
				for _, p := range []provider{providerB, secondB} {
					l.director.AddServer(t, service(vip), p.pod(vip), test.how)
				}
				l.keepTalking(t, vip)
				l.keepTalking(t, vip)
				for _, p := range []provider{providerB, secondB} {
					l.assertBalanced(t, 1, vip, p.pod(vip))
				}
			}

			l.runtime.MustDel(t, first, l.pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, l.pod.NS.Snapshot(t).Without(bornWithUp))
			for _, file := range files(t, l.dataDir) {
				if strings.Contains(file, l.pod.ID) {
					t.Errorf("%s is left over", file)
				}
			}
			for _, vip := range vips {
				l.director.RemoveServer(t, service(vip), providerB.pod(vip))
				for range 4 {
					if _, err := l.visitor(vip).Talk(service(vip)); err != nil {
						t.Errorf("%v, when one real server was left: %v", vip, err)
					}
				}
				l.assertBalanced(t, 1+4, vip, secondB.pod(vip))
			}
			l.runtime.MustCheck(t, second, other, "net1")
		})
	}
}

// keepTalking opens a connection to a virtual service and talks until the test ends
// or nobody answers any more. When it returns, the server has answered once.
func (l *lvsSite) keepTalking(t *testing.T, vip netip.Addr) {
	t.Helper()
	var conn net.Conn
	l.client.Must(t, func() (err error) {
		conn, err = net.Dial("tcp", service(vip).String())
		return err
	})
	t.Cleanup(func() { conn.Close() })
	say := func() error {
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	if err := say(); err != nil {
		t.Errorf("%v: %v", vip, err)
	}
	go func() {
		for say() == nil {
			time.Sleep(10 * time.Millisecond) // leaves the machine to others
		}
	}()
}
