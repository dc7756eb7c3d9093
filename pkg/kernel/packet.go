package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

// AskAbout is Ask for packets of which more is known.
func (n *Namespace) AskAbout(packets ...fib.Packet) []fib.Answer {
	payloads := make([][]byte, len(packets))
	for i, p := range packets {
		payloads[i] = wire.EncodePacket(p)
	}
	answers := make([]fib.Answer, len(packets))
	for i, r := range n.sock.ask(unix.RTM_GETROUTE, payloads...) {
		if answers[i].Err = r.err; r.err == nil {
			answers[i].Route, answers[i].Err = wire.DecodeRoute(r.payload)
		}
	}
	return answers
}

// Neighbours reads the neighbour tables of both families.
func (n *Namespace) Neighbours() ([]fib.Neighbour, error) {
	var out []fib.Neighbour
	for _, f := range fib.Families() {
		all, err := dump(n.sock, unix.RTM_GETNEIGH, wire.EncodeNeighbourDump(f), wire.DecodeNeighbour)
		if noFamily(f, err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s neighbours: %w", f, err)
		}
		out = append(out, all...)
	}
	return out, nil
}
