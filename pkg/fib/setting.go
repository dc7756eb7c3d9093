package fib

// Settings are the numbers that routing goes by of a device, of "all" or of
// "default": /proc/sys/net/ipv4/conf/DEVICE/*, and of IPv6 the last (ip-sysctl).
type Settings struct {
	RPFilter       int
	ARPIgnore      int
	ARPAnnounce    int
	ARPFilter      int
	KeepAddrOnDown int
}

// Keys of the settings: what their files are called.
const (
	RPFilter    = "rp_filter"
	ARPIgnore   = "arp_ignore"
	ARPAnnounce = "arp_announce"
	ARPFilter   = "arp_filter"

	KeepAddrOnDown = "keep_addr_on_down" // of IPv6
)

// SettingPath is where a setting of a device, of "all" or of "default" stands below
// /proc/sys.
func SettingPath(device, key string) string {
	family := "ipv4"
	if key == KeepAddrOnDown {
		family = "ipv6"
	}
	return "net/" + family + "/conf/" + device + "/" + key
}

// At is where the number of a key is kept; nil for a key that is none.
func (s *Settings) At(key string) *int {
	switch key {
	case RPFilter:
		return &s.RPFilter
	case ARPIgnore:
		return &s.ARPIgnore
	case ARPAnnounce:
		return &s.ARPAnnounce
	case ARPFilter:
		return &s.ARPFilter
	case KeepAddrOnDown:
		return &s.KeepAddrOnDown
	}
	return nil
}

// Of is the number of a key; 0 for a key that is none.
func (s Settings) Of(key string) int {
	if at := s.At(key); at != nil {
		return *at
	}
	return 0
}
