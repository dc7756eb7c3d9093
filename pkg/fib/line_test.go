package fib

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// oddNames are names of devices that the kernel lets through (dev_valid_name), and more: they
// may hold any byte but '/', ':' and what is space.
func oddNames() []string {
	return []string{
		"net1", "eth0.5", `"`, `"quoted"`, `back\slash`, "with space", " ",
		"nät1", "a\xffb", "\xff\xfe", "\x01\x7f", "\u2028", "-4", "lookup", "nexthop",
	}
}

func manyRules() []Rule {
	rules := []Rule{
		{Family: V4},
		{Family: V6, Priority: 1<<32 - 1, Action: Goto, Target: 1<<32 - 1, Protocol: 255},
		{Family: V4, Priority: 32766, Action: Lookup, Table: 254, Protocol: unix.RTPROT_KERNEL},
		{Family: V4, Priority: 5, Action: Lookup, Table: 253, Protocol: unix.RTPROT_RA},
		{Family: V4, Priority: 5, Action: Lookup, Table: 1<<32 - 1, Protocol: unix.RTPROT_STATIC},
		{Family: V4, From: V4.Any(), To: V4.Any(), Action: Nop},
		{Family: V6, From: V6.Any(), To: prefix("::ffff:192.0.2.7/128"), Action: Unreachable},
		{Family: V6, From: prefix("2001:db8::/64"), Action: unix.FR_ACT_BLACKHOLE, TOS: 255},
		{Family: V4, Action: 200, Inverted: true, Other: "\x08\x00\x0a\x00\x07\x00\x00\x00\xff \"\n"},
	}
	for _, name := range oddNames() {
		rules = append(rules, Rule{Family: V4, IIF: name, OIF: name, Action: Lookup, Table: 7300})
	}
	return rules
}

func manyRoutes() []Route {
	routes := []Route{
		{Family: V4, Dst: V4.Any()},
		{Family: V6, Dst: V6.Any(), Table: 254, Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_RA, Expires: true, Pref: 3},
		{
			Family: V4, Dst: prefix("10.0.0.0/8"), TOS: 0x10, Table: 7300, Protocol: 73, Scope: unix.RT_SCOPE_LINK,
			Type: unix.RTN_UNICAST, Metric: 1<<32 - 1, PrefSrc: addr("10.0.0.1"), MTU: 1400, AdvMSS: 1360,
			OtherMetrics: "\x08\x00\x03\x00\x09\x00\x00\x00", Other: "\x00\xff \"\n", NexthopID: 1<<32 - 1,
			Hops: []Hop{
				{},
				{Gateway: addr("192.0.2.1"), Index: 5, Dev: "net1", Weight: 256, OnLink: true, Other: "\x06\x00\x15\x00\x02\x00\x00\x00"},
				{Gateway: addr("fe80::1"), Index: -1, Weight: 1},
			},
		},
		{
			Family: V6, Dst: prefix("fd00::1/128"), From: prefix("2001:db8::/32"), Scope: 17, Type: 200,
			Hops: []Hop{{Gateway: addr("::ffff:1.2.3.4")}},
		},
		{Family: V6, Dst: V6.Any(), From: V6.Any(), Type: unix.RTN_THROW},
		{Family: V4, Dst: prefix("169.254.169.254/32"), Table: 7300, Protocol: 73, Type: unix.RTN_BLACKHOLE},
		{Family: V6, Dst: prefix("fd00::/8"), Table: 7300, Protocol: 73, Type: unix.RTN_UNREACHABLE, Metric: 1024, Hops: []Hop{{Index: 1, Dev: "lo"}}},
	}
	for _, name := range oddNames() {
		hops := []Hop{{Dev: name, Index: 7}, {Dev: name}}
		routes = append(routes, Route{Family: V4, Dst: V4.Any(), Type: unix.RTN_UNICAST, Hops: hops})
	}
	return routes
}

// Rules and routes are read as what was written, whatever is in them.
func TestRuleLine(t *testing.T) {
	for _, r := range manyRules() {
		sameRule(t, r)
	}
}

func TestRouteLine(t *testing.T) {
	for _, r := range manyRoutes() {
		sameRoute(t, r)
		for _, h := range r.Hops {
			sameHopLine(t, h)
		}
	}
}

// No field is left out: each changes the line alone. Whoever adds one has to write it.
func TestLinesHaveEveryField(t *testing.T) {
	rule := manyRules()[0]
	everyField(t, reflect.ValueOf(&rule).Elem(), func() { sameRule(t, rule) })
	route := manyRoutes()[0]
	route.Hops = []Hop{{Index: 2}}
	everyField(t, reflect.ValueOf(&route).Elem(), func() { sameRoute(t, route) })
	everyField(t, reflect.ValueOf(&route.Hops[0]).Elem(), func() { sameRoute(t, route) })
}

func everyField(t *testing.T, v reflect.Value, check func()) {
	t.Helper()
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		was := reflect.New(field.Type()).Elem()
		was.Set(field)
		switch name {
		case "Family", "Hops": // the addresses', looked into
			continue
		case "From", "To", "Dst":
			field.Set(reflect.ValueOf(prefix("192.0.2.0/24")))
		case "PrefSrc", "Gateway":
			field.Set(reflect.ValueOf(addr("192.0.2.7")))
		case "Table": // a rule has one where it looks it up, a target where it goes on there
			if action := v.FieldByName("Action"); action.IsValid() {
				action.Set(reflect.ValueOf(Lookup))
			}
			field.Set(reflect.ValueOf(uint32(7300)))
		case "Target":
			v.FieldByName("Table").SetUint(0)
			v.FieldByName("Action").Set(reflect.ValueOf(Goto))
			field.Set(reflect.ValueOf(uint32(40000)))
		default:
			switch field.Kind() {
			case reflect.Bool:
				field.SetBool(true)
			case reflect.String:
				field.SetString("x")
			case reflect.Int:
				field.SetInt(7)
			default:
				field.SetUint(7)
			}
		}
		check()
		if name != "Table" && name != "Target" {
			field.Set(was)
		}
	}
}

// How lines look is what records hold: it may get more keys, and none may change.
func TestLineForm(t *testing.T) {
	route := Route{
		Family: V4, Dst: V4.Any(), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
		Hops: []Hop{{Gateway: addr("203.0.113.1"), Index: 5, Dev: "net1"}},
	}
	for want, value := range map[string]any{
		"-4 40012: from 203.0.113.144 lookup 7300 proto 73": Rule{
			Family: V4, Priority: 40012, From: prefix("203.0.113.144/32"), Action: Lookup, Table: 7300, Protocol: 73,
		},
		"-4 32765: from 203.0.113.144 goto 40000 proto 73": Rule{
			Family: V4, Priority: 32765, From: prefix("203.0.113.144/32"), Action: Goto, Target: 40000, Protocol: 73,
		},
		"-6 40000: from all nop proto 73": Rule{Family: V6, Priority: 40000, Action: Nop, Protocol: 73},
		"-6 7: not from fd00::/8 tos 0x10 iif \"a b\" oif \"a\\xffb\" other 00ff action blackhole": Rule{
			Family: V6, Priority: 7, Inverted: true, From: prefix("fd00::/8"), TOS: 0x10,
			IIF: "a b", OIF: "a\xffb", Other: "\x00\xff", Action: unix.FR_ACT_BLACKHOLE,
		},
		"-4 unicast default table main proto boot nexthop via 203.0.113.1 dev net1 index 5": route,
		"-6 throw fd00::1 from 2001:db8::/32 tos 0x4 table 7300 proto 73 scope link src fd00::2 metric 3" +
			" mtu 4 advmss 5 pref 6 nhid 7 expires metrics 61 other 62": Route{
			Family: V6, Dst: prefix("fd00::1/128"), From: prefix("2001:db8::/32"), TOS: 4, Table: 7300, Protocol: 73,
			Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_THROW,
			PrefSrc: addr("fd00::2"), Metric: 3, MTU: 4, AdvMSS: 5, Pref: 6, NexthopID: 7, Expires: true,
			OtherMetrics: "a", Other: "b",
		},
		"via 203.0.113.1 dev net1 index 5 weight 6 onlink encap 63": Hop{
			Gateway: addr("203.0.113.1"), Index: 5, Dev: "net1", Weight: 6, OnLink: true, Other: "c",
		},
	} {
		text, err := json.Marshal(value)
		var got string
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || got != want {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
	}
}

// badRuleLines are lines that are no rule, and what is said of them.
func badRuleLines() map[string]string {
	return map[string]string{
		"":                                 `rule "": it begins with "", not with its family, -4 or -6`,
		"5: from all":                      "not with its family",
		"-5 5: from all":                   "not with its family",
		"-4":                               "no priority",
		"-4 from all":                      "no priority",
		"-4 x: from all":                   "invalid syntax",
		"-4 4294967296: from all":          "out of range",
		"-4 -1: from all":                  "invalid syntax",
		"-4 5: from":                       "it ends early",
		"-4 5: from 10.0.0.0/33":           "prefix length out of range",
		"-4 5: from 10.0.0":                "IPv4 address too short",
		"-4 5: from 2001:db8::/64":         "another family",
		"-6 5: from all to 10.0.0.1":       "another family",
		"-4 5: from all to all":            "unable to parse IP",
		`-4 5: from all to ""`:             "unable to parse IP",
		"-4 5: from all tos 256":           "out of range",
		"-4 5: from all lookup":            "it ends early",
		"-4 5: from all lookup maim":       "invalid syntax",
		"-4 5: from all goto 4294967296":   "out of range",
		"-4 5: from all action 256":        "none of the known names",
		"-4 5: from all proto zebra":       "none of the known names",
		"-4 5: from all other 0":           "odd length hex",
		"-4 5: from all other xx":          "invalid byte",
		`-4 5: from all oif "net1`:         "invalid syntax",
		`-4 5: from all oif "\x"`:          "invalid syntax",
		"-4 5: from all frobnicate":        `"frobnicate" is no key`,
		"-4 5: from all lookup 7300 proto": "it ends early",
		"-4 5: from all\nlookup 7300":      "unable to parse IP",
	}
}

func badRouteLines() map[string]string {
	return map[string]string{
		"":                                        `route "": it begins with "", not with its family, -4 or -6`,
		"unicast default":                         "not with its family",
		"-4":                                      "it ends early",
		"-4 unicast":                              "it ends early",
		"-4 multipath default":                    "none of the known names",
		"-4 256 default":                          "none of the known names",
		"-4 unicast everywhere":                   "unable to parse IP",
		"-4 unicast fd00::/8":                     "another family",
		"-6 unicast default src 10.0.0.1":         "another family",
		"-4 unicast default table":                "it ends early",
		"-4 unicast default table -1":             "invalid syntax",
		"-4 unicast default scope far":            "none of the known names",
		"-4 unicast default src 10.0.0.1/8":       "unexpected character",
		"-4 unicast default metric 4294967296":    "out of range",
		"-4 unicast default pref 256":             "out of range",
		"-4 unicast default metrics 0g":           "invalid byte",
		"-4 unicast default via 10.0.0.1":         `"via" is no key`, // of the route; there is no hop yet
		"-4 unicast default nexthop via":          "it ends early",
		"-4 unicast default nexthop via x":        "unable to parse IP",
		"-4 unicast default nexthop weight 65536": "out of range",
		"-4 unicast default nexthop encap f":      "odd length hex",
		"-4 unicast default nexthop mtu":          "it ends early",
		"-4 unicast default nexthop realm 5":      `"realm" is no key`,
	}
}

func TestBadLines(t *testing.T) {
	refused := func(text, want string, into interface{ UnmarshalText([]byte) error }) {
		t.Helper()
		if err := into.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
	for text, want := range badRuleLines() {
		refused(text, want, new(Rule))
	}
	for text, want := range badRouteLines() {
		refused(text, want, new(Route))
	}
	refused("nexthop via 10.0.0.1", `hop "nexthop via 10.0.0.1": "nexthop" is no key`, new(Hop))
	refused("via 10.0.0", "IPv4 address too short", new(Hop))
	refused("via 10.0.0.1 dev", "it ends early", new(Hop))
}

// Numbers that have no name are written as themselves, and read as such and by name.
func TestNumbers(t *testing.T) {
	for number := range 256 {
		for _, tt := range []struct {
			value any
			into  any
		}{
			{RouteType(number), new(RouteType)}, {Scope(number), new(Scope)}, {Action(number), new(Action)}, {Family(number), new(Family)},
		} {
			text, err := json.Marshal(tt.value)
			if err == nil {
				err = json.Unmarshal(text, tt.into)
			}
			if got := reflect.ValueOf(tt.into).Elem().Interface(); err != nil || got != tt.value {
				t.Errorf("%T %d became %s, and that %v (%v)", tt.value, number, text, got, err)
			}
		}
	}
	for _, text := range []string{"", "256", "-1", "unheard"} {
		for _, into := range []interface{ UnmarshalText([]byte) error }{new(RouteType), new(Scope), new(Action), new(Family)} {
			if err := into.UnmarshalText([]byte(text)); err == nil {
				t.Errorf("%q is a %T", text, into)
			}
		}
	}
}

// sameRule writes a rule and reads it, by itself and in JSON.
func sameRule(t *testing.T, r Rule) {
	t.Helper()
	var again, inJSON Rule
	text, err := r.MarshalText()
	if err == nil {
		err = again.UnmarshalText(text)
	}
	if err != nil || again != r {
		t.Errorf("%#v, written as\n%s, is read as\n%#v (%v)", r, text, again, err)
	}
	if jsonAgain(t, r, &inJSON); inJSON != r {
		t.Errorf("%s: JSON made of it\n%#v", text, inJSON)
	}
}

func sameRoute(t *testing.T, r Route) {
	t.Helper()
	var again, inJSON Route
	text, err := r.MarshalText()
	if err == nil {
		err = again.UnmarshalText(text)
	}
	if diff := cmp.Diff(r, again, decoding); err != nil || diff != "" {
		t.Errorf("written as\n%s (%v) (-written +read):\n%s", text, err, diff)
	}
	jsonAgain(t, r, &inJSON)
	if diff := cmp.Diff(r, inJSON, decoding); diff != "" {
		t.Errorf("%s: in JSON (-written +read):\n%s", text, diff)
	}
}

func sameHopLine(t *testing.T, h Hop) {
	t.Helper()
	var again Hop
	text, err := h.MarshalText()
	if err == nil {
		err = again.UnmarshalText(text)
	}
	if err != nil || again != h {
		t.Errorf("%#v, written as\n%s, is read as\n%#v (%v)", h, text, again, err)
	}
}

func jsonAgain(t *testing.T, value, into any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Errorf("%#v: %v", value, err)
	}
}
