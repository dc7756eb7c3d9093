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

// nearMiss says what to write in place of a key that misses one of ours by its
// spelling or by the word; it returns "" for all others, ours included.
// None of these words may ever be a key of the CNI specification or one that a
// runtime adds.
func nearMiss(key string) (remedy string) {
	if slices.Contains(ownKeys(), key) {
		return ""
	}
	word := folded(key)
	for _, ours := range ownKeys() {
		if strings.EqualFold(word, ours) {
			return `"` + ours + `"`
		}
	}
	switch word {
	case "rpfilters", "rpfiltermode", "reversepathfilter":
		return `"rpFilter"`
	case "interface", "ifaces", "devices":
		return `"interfaces"`
	case "gateway", "gw", "gws", "defaultgateway", "defaultgateways", "nexthop", "nexthops":
		return `"gateways"`
	case "defaultroute", "defaultroutes":
		return `"mainDefault" for who owns the default route in main, or "gateways" for its next hop`
	case "nogw", "nogateways":
		return `"noGateway"`
	case "source", "sourceaddress", "sourceaddresses", "address", "addresses":
		return `"sources"`
	case "vip", "vips", "virtualip", "virtualips":
		return `"sources", or for an LVS real server "lvs": {"vips": ...}`
	case "ipvs", "realserver", "replyby":
		return `"lvs"`
	case "route", "staticroutes", "extraroutes":
		return `"routes"`
	case "tables", "tableid", "tablenumber", "routetable", "routingtable":
		return `"table"`
	case "prio", "ruleprio", "rulepriority", "rulespriority":
		return `"priority"`
	case "arpisolate", "isolatearp", "arpignore", "arpannounce", "arpfilter":
		return `"arp": "isolate"`
	case "checkdestination", "destinations":
		return `"checkDestinations"`
	case "requiregateways":
		return `"requireGateway"`
	case "datadirectory", "statedir":
		return `"dataDir"`
	}
	return ""
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
