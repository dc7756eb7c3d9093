package netlab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sysctlPath turns "net/ipv4/conf/eth0/rp_filter" into a file of /proc/sys,
// which shows each thread its own namespace. Slashes, not dots: device names
// have dots.
func sysctlPath(key string) string { return filepath.Join("/proc/sys", key) }

// Sysctl reads a setting of the namespace, such as
// "net/ipv4/conf/eth0/rp_filter".
func (n *NS) Sysctl(t testing.TB, key string) string {
	t.Helper()
	var value string
	n.Must(t, func() error {
		data, err := os.ReadFile(sysctlPath(key))
		value = strings.TrimSpace(string(data))
		return err
	})
	return value
}

// SetSysctl writes settings of the namespace, given as "key=value".
func (n *NS) SetSysctl(t testing.TB, settings ...string) {
	t.Helper()
	n.Must(t, func() error { return writeSysctls(settings) })
}

func writeSysctls(settings []string) error {
	for _, setting := range settings {
		key, value, _ := strings.Cut(setting, "=")
		if err := os.WriteFile(sysctlPath(key), []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// neutral undoes what a new namespace inherits from the machine, so that tests
// behave the same everywhere, and switches duplicate address detection off for
// links to come.
func (n *NS) neutral(t testing.TB) {
	t.Helper()
	var settings []string
	for _, conf := range []string{"all", "default", "lo"} {
		for _, key := range []string{"forwarding", "rp_filter", "arp_ignore", "arp_announce", "arp_filter", "log_martians"} {
			settings = append(settings, "net/ipv4/conf/"+conf+"/"+key+"=0")
		}
	}
	for _, conf := range []string{"all", "default"} {
		settings = append(settings,
			"net/ipv6/conf/"+conf+"/disable_ipv6=0",
			"net/ipv6/conf/"+conf+"/forwarding=0",
			"net/ipv6/conf/"+conf+"/accept_dad=0")
	}
	n.SetSysctl(t, settings...)
}

// Forward makes the namespace a router, for links of now and of later.
func (n *NS) Forward(t testing.TB) {
	t.Helper()
	n.SetSysctl(t, "net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1")
}

// EffectiveRPFilter is the reverse-path filter mode that the kernel applies on
// a device: the larger of its own key and of conf/all.
func (n *NS) EffectiveRPFilter(t testing.TB, device string) string {
	t.Helper()
	return max(n.Sysctl(t, "net/ipv4/conf/all/rp_filter"), n.Sysctl(t, "net/ipv4/conf/"+device+"/rp_filter"))
}
