package config

import (
	"slices"
	"strings"
	"unicode"
)

// refuseNearMisses makes a fault of every key that was meant to be one of
// ours. Any other unknown key is left alone: runtimes add their own.
func (o object) refuseNearMisses() {
	for _, key := range o.keys() {
		remedy := nearMiss(key)
		if remedy == "" {
			continue
		}
		if v := o.get(key); !v.absent() {
			v.fault("is not a key of symroute; write %s", remedy)
		}
	}
}

// nearMiss says what to write in place of a key that misses one of ours by one
// slip or by the word; it returns "" for all others, ours included. None of
// these may ever be a key of the CNI specification or one that a runtime adds
// (TestNoNearMiss).
func nearMiss(key string) (remedy string) {
	if slices.Contains(ownKeys(), key) {
		return ""
	}
	word := folded(key)
	if remedy := insteadOf(word); remedy != "" {
		return remedy
	}
	if ours, ok := slipped(word, ownKeys()); ok {
		return quote(ours)
	}
	return ""
}

// insteadOf says what to write in place of a word of others.
func insteadOf(word string) (remedy string) {
	switch word {
	case "rpfiltermode", "reversepathfilter":
		return `"rpFilter"`
	case "sysctl", "sysctls":
		return `"rpFilter", and chain the tuning plugin for other settings`
	case "ifaces", "devices":
		return `"interfaces"`
	case "gw", "gws", "defaultgateway", "defaultgateways", "nexthop", "nexthops":
		return `"gateways"`
	case "defaultroute", "defaultroutes":
		return `"mainDefault" for who owns the default route in main, or "gateways" for its next hop`
	case "nogw":
		return `"noGateway"`
	case "sourceaddress", "sourceaddresses", "address", "addresses":
		return `"sources"`
	case "vip", "vips", "virtualip", "virtualips":
		return `"sources", or for an LVS real server "lvs": {"vips": ...}`
	case "ipvs", "realserver", "replyby":
		return `"lvs"`
	case "staticroutes", "extraroutes", "addroutes", "addroute":
		return `"routes"`
	case "tableid", "tablenumber", "routetable", "routingtable":
		return `"table"`
	case "prio", "ruleprio", "rulepriority", "rulespriority":
		return `"priority"`
	case "arpisolate", "isolatearp", "arpignore", "arpannounce", "arpfilter":
		return `"arp": "isolate"`
	case "destinations":
		return `"checkDestinations"`
	case "datadirectory", "statedir":
		return `"dataDir"`
	}
	return ""
}

// meant finds the key of an object of ours that another one was meant to be: it misses that by
// one slip, or is the word of others for it.
func meant(key string, known []string) (ours string, ok bool) {
	word := folded(key)
	if ours, ok := slipped(word, known); ok {
		return ours, true
	}
	switch word {
	case "gateway", "gateways", "nexthop", "via", "address":
		ours = "gw"
	case "destination", "dest", "to", "prefix", "network", "subnet", "cidr":
		ours = "dst"
	case "priority", "prio":
		ours = "metric"
	case "mss":
		ours = "advmss"
	case "virtualip", "virtualips", "addresses", "sources":
		ours = "vips"
	case "type", "method", "forwarding":
		ours = "mode"
	case "reply", "replynic", "replyinterface", "replydevice":
		ours = "replyBy"
	case "tunnel", "interface", "dev", "nic":
		ours = "device"
	case "filter", "mode":
		ours = "rpFilter"
	}
	return ours, slices.Contains(known, ours)
}

// slipped finds the key that a folded word is, but for one slip.
func slipped(word string, keys []string) (ours string, ok bool) {
	i := slices.IndexFunc(keys, func(key string) bool { return oneSlip([]rune(word), []rune(folded(key))) })
	if i < 0 {
		return "", false
	}
	return keys[i], true
}

// oneSlip reports whether two words are the same but for at most one letter that is missing, too
// many or another, or two neighbours that are swapped: a Damerau-Levenshtein distance of 1.
func oneSlip(a, b []rune) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return max(len(a), len(b)) <= 1 || swapped
}

// folded is a key without the differences of case and of word breaks.
func folded(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, key)
}
