package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix

	// netipValues compares values of net/netip, whose fields cmp cannot see.
	netipValues = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	// decoding compares what tests of a decoder compare.
	decoding = cmp.Options{netipValues, cmpopts.EquateEmpty()}
)

// attribute is one netlink attribute as the kernel writes it.
func attribute(kind uint16, value ...byte) []byte { return appendAttr(nil, kind, value) }

func number(kind uint16, v uint32) []byte { return appendU32(nil, kind, v) }

func concat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// numbers are 32-bit numbers in a row, as in IFLA_INET_CONF.
func numbers(vs ...int32) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.NativeEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// text is written and read by a value that records hold as a line.
type text[V any] interface {
	*V
	MarshalText() ([]byte, error)
	UnmarshalText([]byte) error
}

// throughText is a value after it has been a line of a record.
func throughText[V any, T text[V]](t *testing.T, v V) V {
	t.Helper()
	line, err := T(&v).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var again V
	if err := T(&again).UnmarshalText(line); err != nil {
		t.Fatal(err)
	}
	return again
}
