package wire

import (
	"fmt"

	"github.com/symroute/symroute/pkg/fib"
)

// Conf is what netlink tells of the IPv4 settings of a device, of "all" or of
// "default" (RTM_GETNETCONF, inet_netconf_fill_devconf).
type Conf struct {
	Index    int // of the device, AllDevices or DefaultDevice
	RPFilter int
}

// Indexes that are no device's, and attributes: uapi/linux/netconf.h.
const (
	AllDevices    = -1 // NETCONFA_IFINDEX_ALL
	DefaultDevice = -2 // NETCONFA_IFINDEX_DEFAULT

	netconfaIndex    = 1 // NETCONFA_IFINDEX
	netconfaRPFilter = 3 // NETCONFA_RP_FILTER
)

const confHeader = 4 // struct netconfmsg, which is the family alone, and padding

// EncodeConfDump writes the payload of an RTM_GETNETCONF dump of IPv4.
func EncodeConfDump() []byte { return []byte{uint8(fib.V4), 0, 0, 0} }

// DecodeConf reads the payload of an RTM_NEWNETCONF message.
func DecodeConf(b []byte) (Conf, error) {
	if len(b) < confHeader {
		return Conf{}, fmt.Errorf("%w: settings of %d bytes", ErrMalformed, len(b))
	}
	var c Conf
	for a, err := range attrs(b[confHeader:]) {
		var v uint32
		if err == nil && (a.kind == netconfaIndex || a.kind == netconfaRPFilter) {
			v, err = a.u32()
		}
		if err != nil {
			return Conf{}, fmt.Errorf("settings: %w", err)
		}
		switch a.kind {
		case netconfaIndex:
			c.Index = int(int32(v))
		case netconfaRPFilter:
			c.RPFilter = int(int32(v))
		}
	}
	return c, nil
}
