package drops

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestWatch loads the program, which the kernel has to accept, and ends it.
func TestWatch(t *testing.T) {
	w, err := Watch(1)
	if errors.Is(err, ErrNoBTF) || errors.Is(err, ErrNoReasons) {
		t.Skipf("this kernel cannot: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, ok, err := w.Next(time.Now()); ok || err != nil {
		t.Errorf("a drop of a namespace that is none: %v %v", ok, err)
	}
	if counts, lost, err := w.Counts(); len(counts) > 0 || lost > 0 || err != nil {
		t.Errorf("got %v, %d, %v", counts, lost, err)
	}
	for _, name := range []string{"NO_SOCKET", "NETFILTER_DROP"} {
		found := false
		for _, n := range w.layout.reasons {
			found = found || n == name
		}
		if !found {
			t.Errorf("the kernel knows no %s: %v", name, w.layout.reasons)
		}
	}
}

// TestReasonsAreTheKernels: what is explained is what this kernel gives. Some came or went with releases.
func TestReasonsAreTheKernels(t *testing.T) {
	l, err := readLayout()
	if err != nil {
		t.Skipf("this kernel gives none: %v", err)
	}
	explained := 0
	for _, name := range l.reasons {
		e, harmless := Explain(name)
		if e.Sentence != "" {
			explained++
		}
		if e.Sentence != "" && harmless {
			t.Errorf("%s is explained, and harmless", name)
		}
	}
	if explained < 25 {
		t.Errorf("%d of %d reasons of this kernel are explained", explained, len(l.reasons))
	}
}

func TestParse(t *testing.T) {
	const (
		tcp4  = "45000028000040004006000" + "0c0000207cb007190" + "d43100501122334455667788"
		icmp4 = "4500001c0000000040010000c0000207cb007190" + "0800f7ff00000000"
		udp6  = "6000000000081140" + "20010db8000c00000000000000000007" + "20010db8000b00000000000000000144" + "0035d431"
		arp   = "0001080006040001" + "020000000001" + "c0000201" + "000000000000" + "cb007190"
	)
	tests := []struct {
		name  string
		ether uint16
		hex   string
		want  Packet
	}{
		{"TCP", etherIPv4, tcp4, Packet{"tcp", "192.0.2.7:54321", "203.0.113.144:80"}},
		{"ping", etherIPv4, icmp4, Packet{"icmp type 8", "192.0.2.7", "203.0.113.144"}},
		{"a fragment", etherIPv4, "4500001c0000000140110000c0000207cb007190" + "0035d431", Packet{"udp", "192.0.2.7", "203.0.113.144"}},
		{"options", etherIPv4, "4600001c0000000040110000c0000207cb007190" + "00000000" + "00350036", Packet{"udp", "192.0.2.7:53", "203.0.113.144:54"}},
		{"UDP of IPv6", etherIPv6, udp6, Packet{"udp", "[2001:db8:c::7]:53", "[2001:db8:b::144]:54321"}},
		{"ARP", etherARP, arp, Packet{"arp", "192.0.2.1", "203.0.113.144"}},
		{"cut off", etherIPv4, "4500", Packet{Protocol: "ip"}},
		{"cut off behind the header", etherIPv4, tcp4[:40], Packet{"tcp", "192.0.2.7", "203.0.113.144"}},
		{"something else", 0x88cc, "00", Packet{Protocol: "ethertype 0x88cc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, parse(tt.ether, b)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzDecode: whatever a sample holds, it is read or left out.
func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, sampleLen))
	f.Fuzz(func(_ *testing.T, b []byte) {
		w := &Watcher{}
		_, _ = w.decode(b)
		for _, ether := range []uint16{etherIPv4, etherIPv6, etherARP} {
			_ = parse(ether, b)
		}
	})
}

func TestCounters(t *testing.T) {
	earlier, later := Counters{}, Counters{}
	earlier.addPairs("TcpExt: A IPReversePathFilter\nTcpExt: 1 2\nIp: InAddrErrors\nIp: 5\n")
	later.addPairs("TcpExt: A IPReversePathFilter\nTcpExt: 9 4\nIp: InAddrErrors\nIp: 5\n")
	if diff := cmp.Diff([]Growth{{"TcpExtIPReversePathFilter", 2}}, later.Since(earlier)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	now, err := ReadCounters()
	if err != nil || len(now) == 0 {
		t.Errorf("%v %v", now, err)
	}
}
