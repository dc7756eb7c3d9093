package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/symroute/symroute/pkg/config"
)

// A setting is a sysctl of a device that symroute knows, too: net.ipv4.conf.DEVICE.NAME.
type setting struct {
	key          string // as it is written
	device, name string
	value        int
}

// thisNIC is what tuning calls the NIC of the attachment (getSysctlFilename in plugins/meta/tuning/tuning.go).
const thisNIC = "IFNAME"

// settingOf reads a sysctl of tuning. Its key may have dots or slashes (getSysctlFilename).
func settingOf(key string, value any) (setting, bool) {
	parts := strings.Split(strings.ReplaceAll(key, "/", "."), ".")
	text, _ := value.(string)
	number, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || len(parts) < 5 || strings.Join(parts[:3], ".") != "net.ipv4.conf" {
		return setting{}, false
	}
	last := len(parts) - 1
	return setting{key: key, device: strings.Join(parts[3:last], "."), name: parts[last], value: number}, true
}

// settingsOf are those of a tuning plugin.
func settingsOf(p plugin) []setting {
	sysctls, _ := p.members["sysctl"].(map[string]any)
	var settings []setting
	for _, key := range slices.Sorted(keysOf(sysctls)) {
		if s, ok := settingOf(key, sysctls[key]); ok {
			settings = append(settings, s)
		}
	}
	return settings
}

// sysctls looks whether tuning contradicts what symroute sets.
func (n *network) sysctls(p plugin, cfg *config.Config, behind bool) {
	path := config.Child(p.path, "sysctl")
	sysctls, _ := p.members["sysctl"].(map[string]any)
	for _, key := range slices.Sorted(keysOf(sysctls)) {
		if _, isText := sysctls[key].(string); !isText {
			// TuningConf in plugins/meta/tuning/tuning.go: map[string]string.
			n.error(config.Child(path, key), "must be a string, in quotes; tuning takes no other value")
		}
	}
	for _, s := range settingsOf(p) {
		n.setting(config.Child(path, s.key), s, cfg, behind)
	}
}

// setting looks at one of them. The kernel takes the larger one of all's and the device's, of arp_filter and of
// all that is named here (ip-sysctl; IN_DEV_MAXCONF and IN_DEV_ORCONF in include/linux/inetdevice.h).
func (n *network) setting(path string, s setting, cfg *config.Config, behind bool) {
	wanted, source := wantedOf(s, cfg)
	all := s.device == "all"
	if source == "" || s.value == wanted || all && s.value < wanted {
		return
	}
	switch {
	case all && s.name != "rp_filter":
		// docs/configuration.md, arp: symroute never writes all.
		n.warn(path, "%d overrules %s of symroute, which never writes all; remove it", s.value, source)
	case behind:
		n.error(path, "%d undoes %s of symroute before it, which wants %d; remove it (CHECK reports it with code 101)", s.value, source, wanted)
	default:
		n.warn(path, "%d does not count: by %s symroute makes it %d for the NIC; remove it", s.value, source, wanted)
	}
}

// wantedOf is what symroute wants of a sysctl, and by which key; no key: it leaves it alone.
func wantedOf(s setting, cfg *config.Config) (value int, source string) {
	own := s.device == thisNIC || s.device == "all"
	isolate := own && cfg.ARP == config.ARPIsolate
	switch mode, named := cfg.Interfaces[s.device]; {
	case s.name == "rp_filter" && own:
		return modeOf(cfg.RPFilter, "rpFilter")
	case s.name == "rp_filter" && named:
		return modeOf(mode, fmt.Sprintf("interfaces.%s.rpFilter", s.device))
	case s.name == "arp_ignore" && isolate, s.name == "arp_filter" && isolate:
		return 1, "arp"
	case s.name == "arp_announce" && isolate:
		return 2, "arp"
	}
	return 0, ""
}

// modeOf is the kernel's number of a mode, and the key that it is from; none if nothing is wanted.
func modeOf(mode config.RPFilter, key string) (value int, source string) {
	if mode == config.RPFilterKeep {
		return 0, ""
	}
	return int(mode), key
}
