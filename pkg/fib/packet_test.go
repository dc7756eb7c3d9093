package fib

import (
	"net/netip"
	"testing"
)

func TestCommand(t *testing.T) {
	s := &Snapshot{Links: []Link{{Index: 3, Name: "net1"}}}
	four := Query{To: netip.MustParseAddr("192.0.2.7"), From: netip.MustParseAddr("203.0.113.144")}
	for want, p := range map[string]Packet{
		"ip route get 192.0.2.7 from 203.0.113.144":          {Query: four},
		"ip -6 route get 2001:db8::1":                        {Query: Query{To: netip.MustParseAddr("2001:db8::1")}},
		"ip route get 192.0.2.7 iif net1":                    {Query: Query{To: four.To, IIF: 3}},
		"ip route get fibmatch 192.0.2.7 oif net1 mark 0x10": {Query: Query{To: four.To, OIF: 3, Whole: true}, Mark: 16},
		"ip route get 192.0.2.7 from 203.0.113.144 ipproto 6 sport 53 dport 8080": {
			Query: four, Protocol: 6, SourcePort: 53, Port: 8080,
		},
	} {
		if got := p.Command(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
