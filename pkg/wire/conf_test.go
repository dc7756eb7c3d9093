package wire

import (
	"testing"
)

func TestDecodeConf(t *testing.T) {
	for _, tc := range []struct {
		name string
		body []byte
		want Conf
	}{
		{"conf/all", concat(EncodeConfDump(), number(netconfaIndex, 0xffffffff), number(2, 1), number(netconfaRPFilter, 1)), Conf{Index: AllDevices, RPFilter: 1}},
		{"conf/default", concat(EncodeConfDump(), number(netconfaIndex, 0xfffffffe), number(netconfaRPFilter, 2)), Conf{Index: DefaultDevice, RPFilter: 2}},
		{"a device, by a kernel that tells no rp_filter", concat(EncodeConfDump(), number(netconfaIndex, 7)), Conf{Index: 7}},
	} {
		if got, err := DecodeConf(tc.body); err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", tc.name, got, err, tc.want)
		}
	}
	for _, body := range [][]byte{nil, {2}, concat(EncodeConfDump(), attribute(netconfaIndex, 1))} {
		_, err := DecodeConf(body)
		malformed(t, err)
	}
}
