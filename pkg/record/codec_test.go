package record

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// golden is the record of testdata/version1.json.
func golden() Attachment {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	zero, hop := 0, fib.Hop{Gateway: addr("203.0.113.1"), Index: 5, Dev: "net1"}
	hop6 := fib.Hop{Gateway: addr("fe80::1"), Index: 5, Dev: "net1"}
	boot := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST, Hops: []fib.Hop{hop}}
	boot6 := fib.Route{
		Family: fib.V6, Dst: fib.V6.Any(), Table: 254, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST, Metric: 1024, MTU: 1400, Pref: 1,
		OtherMetrics: fib.Opaque([]byte{8, 0, 1, 0, 4, 0, 0, 0}), Hops: []fib.Hop{hop6},
	}
	made := boot
	made.Protocol = 73
	own := func(r fib.Route) fib.Route { r.Table, r.Protocol = 7300, 73; return r }
	link := fib.Route{
		Family: fib.V4, Dst: prefix("203.0.113.0/24"), Table: 7300, Protocol: 73, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
		PrefSrc: addr("203.0.113.144"), Hops: []fib.Hop{{Index: 5, Dev: "net1"}},
	}
	displaced := boot
	displaced.Hops = []fib.Hop{{Gateway: addr("198.51.100.1"), Index: 3, Dev: "eth0", Other: fib.Opaque([]byte{8, 0, 11, 0, 5, 0, 0, 0})}}
	rule := func(f fib.Family, priority uint32, from string, action fib.Action) fib.Rule {
		r := fib.Rule{Family: f, Priority: priority, Action: action, Protocol: 73}
		if from != "" {
			r.From = prefix(from)
		}
		switch action {
		case fib.Lookup:
			r.Table = 7300
		case fib.Goto:
			r.Target = 40000
		case fib.Nop, fib.Unreachable:
		}
		return r
	}
	bound := rule(fib.V4, 49000, "", fib.Lookup)
	bound.OIF = "net1"
	viaMain := rule(fib.V4, 40011, "203.0.113.144/32", fib.Lookup)
	viaMain.To, viaMain.Table = prefix("10.96.0.0/12"), 254
	return Attachment{
		Version: 1, Release: "v1.0.0", Key: key("red", "3f1c9a", "net1"), Netns: "/run/netns/cni-1", Pod: Pod{Namespace: "shop", Name: "web-0"},
		Lost:  true,
		Input: json.RawMessage(`{"cniVersion":"1.0.0","name":"red","type":"symroute","mainDefault":"take","prevResult":{"cniVersion":"1.0.0"}}`),
		State: state.State{
			NICs: []state.NIC{
				{Index: 5, Name: "net1", Role: state.Attached, Tables: []state.Table{{
					Number: 7300,
					Sources: []state.Source{
						{Prefix: prefix("203.0.113.144/32"), Subnet: prefix("203.0.113.0/24"), Exit: []fib.Hop{hop}},
						{Prefix: prefix("10.20.73.29/32"), Exit: []fib.Hop{hop}, Arrival: 9, MaxMSS: 1440},
						{Prefix: prefix("2001:db8::/64")},
					},
					Routes: []fib.Route{link, own(boot), own(boot6)},
				}}},
				{Index: 3, Name: "eth0", Role: state.Displaced},
				{Index: 4, Name: "net2", Role: state.Replies},
			},
			Rules: []fib.Rule{
				viaMain, rule(fib.V4, 40012, "203.0.113.144/32", fib.Lookup), rule(fib.V4, 40015, "203.0.113.144/32", fib.Unreachable), bound,
				rule(fib.V6, 40652, "2001:db8::/64", fib.Lookup), rule(fib.V4, 32765, "203.0.113.144/32", fib.Goto),
			},
			Settings: settings.Memories{
				fib.RPFilter: {
					Wish: settings.Wish{Devices: []settings.Device{{Index: 5, Name: "net1", Value: 2}}},
					All:  &zero, Originals: []settings.Device{{Index: 5, Name: "net1", Value: 1}},
				},
				fib.ARPIgnore:      {Wish: settings.Wish{Least: 1}, Default: &zero},
				fib.KeepAddrOnDown: {Wish: settings.Wish{Devices: []settings.Device{{Index: 5, Name: "net1", Value: 1}}}},
			},
			Main: &state.Main{
				Wish: "take", Turn: 2, NICs: []state.Device{{Index: 5, Name: "net1"}}, Made: []fib.Route{made},
				Defaults: []fib.Route{boot, boot6}, Displaced: []fib.Route{displaced}, Families: []fib.Family{fib.V4, fib.V6},
			},
			Server: &state.Server{
				VIPs: []state.VIP{
					{Address: fib.Address{Index: 9, Prefix: prefix("10.20.73.29/32"), Scope: unix.RT_SCOPE_HOST, Protocol: 73}},
					{Address: fib.Address{Index: 1, Prefix: prefix("2001:db8:7::29/128"), Deprecated: true}, Foreign: true},
				},
				Tunnels: []state.Tunnel{{Index: 9, Name: "tunl0", Kind: "ipip", Made: true, Down: true}},
			},
		},
		Earlier: []state.State{{Rules: []fib.Rule{rule(fib.V4, 40012, "203.0.113.145/32", fib.Lookup)}}, {}},
	}
}

// A record of this version as the first release wrote it: every later one has to read it, for DEL
// of a running pod comes after an upgrade. The file stays as it is, but for keys that are added.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/version1.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	var input bytes.Buffer
	must(t, json.Compact(&input, got.Input)) // the file is indented
	got.Input = input.Bytes()
	if diff := cmp.Diff(golden(), got, remembered); diff != "" {
		t.Errorf("(-want +read):\n%s", diff)
	}
	var compact bytes.Buffer
	must(t, json.Compact(&compact, text))
	written, err := json.Marshal(golden())
	if diff := cmp.Diff(compact.String(), string(written)); err != nil || diff != "" {
		t.Errorf("it is written in another form now (%v; -file +written):\n%s", err, diff)
	}
}

// A person can read it: rules and routes are lines, and nothing is encoded.
func TestLegible(t *testing.T) {
	text, err := json.Marshal(golden())
	must(t, err)
	for _, want := range []string{
		`"-4 40012: from 203.0.113.144 lookup 7300 proto 73"`,
		`"-4 32765: from 203.0.113.144 goto 40000 proto 73"`,
		`"-4 unicast default table main proto boot nexthop via 203.0.113.1 dev net1 index 5"`,
		`"exit":["via 203.0.113.1 dev net1 index 5"]`,
		`"rp_filter":{"wants":[{"index":5,"name":"net1","value":2}],"all":0,"originals":[{"index":5,"name":"net1","value":1}]}`,
		`"families":["ipv4","ipv6"]`,
		`"pod":{"namespace":"shop","name":"web-0"}`,
		`"input":{"cniVersion":"1.0.0","name":"red",`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it has no %s:\n%s", want, text)
		}
	}
}

// Whatever is remembered is what is read again, but for bytes in names that are no UTF-8.
func TestRememberedAsIs(t *testing.T) {
	for seed := range uint64(2000) {
		var a, want Attachment
		random{source(seed, 0), false}.fill(reflect.ValueOf(&a).Elem(), 0)
		random{source(seed, 0), true}.fill(reflect.ValueOf(&want).Elem(), 0)
		a.Version, want.Version = Version, Version
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(text)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		if diff := cmp.Diff(want, got, remembered); diff != "" {
			t.Fatalf("seed %d: (-remembered +read):\n%s%s", seed, diff, text)
		}
	}
}

// What is not as it was written is an error of one line. Keys that are not known are no error:
// a later release may add some.
func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                        "has format version 0, this release reads 1",
		`null`:                      "has format version 0, this release reads 1",
		`{"version":1}`:             "",
		" {\n\"version\" : 1 }\t\n": "", // a person has edited it
		`{"version":1,"unheardOf":{"version":2},"state":{"tables":[]}}`:       "",
		`{"version":1,"state":{"nics":null,"main":null,"settings":{"x":{}}}}`: "",
		`{"version":2,"state":[]}`:                                                                        "has format version 2, this release reads 1",
		`{"version":2,"state":{"rules":["what a later release writes"]}}`:                                 "has format version 2, this release reads 1",
		`{"version":"1"}`:                                                                                 "cannot unmarshal string",
		`{"version":1.5}`:                                                                                 "cannot unmarshal number 1.5",
		`{"version":1,"state":[]}`:                                                                        "cannot unmarshal array",
		`{"version":1,"netns":7}`:                                                                         "cannot unmarshal number",
		`{"version":1,"state":{"nics":[{"tables":[{"number":-1}]}]}}`:                                     "cannot unmarshal number -1",
		`{"version":1,"state":{"nics":[{"tables":[{"number":4294967296}]}]}}`:                             "cannot unmarshal number 4294967296",
		`{"version":1,"state":{"rules":["-4 5: from all lookup 9 proto x"]}}`:                             "none of the known names",
		`{"version":1,"state":{"rules":[""]}}`:                                                            "not with its family",
		`{"version":1,"state":{"rules":[7]}}`:                                                             "cannot unmarshal",
		`{"version":1,"state":{"main":{"defaults":["-4 unicast"]}}}`:                                      "it ends early",
		`{"version":1,"state":{"main":{"families":["ipv5"]}}}`:                                            "none of the known names",
		`{"version":1,"state":{"nics":[{"tables":[{"sources":[{"prefix":"192.0.2.7/33"}]}]}]}}`:           "prefix length out of range",
		`{"version":1,"state":{"nics":[{"tables":[{"sources":[{"prefix":"","exit":["over there"]}]}]}]}}`: `"over" is no key`,
		`{"version":1,"earlier":[{"rules":7}]}`:                                                           "cannot unmarshal number",
		`{"version":1,"a`:                                                                                 "unexpected end of JSON input",
		`{"version":1}{`:                                                                                  "invalid character '{' after top-level value",
		"\xef\xbb\xbf" + `{"version":1}`:                                                                  "invalid character",
		`{"version":1,"x":` + strings.Repeat("[", 20000):                                                  "exceeded max depth",
		`{"version":1,"state":{"lvs":{"vips":[{"prefix":"192.0.2.7/33"}]}}}`:                              "prefix length out of range",
	} {
		got := "no error"
		if _, err := decode([]byte(text)); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || want == "" && got != "no error" || strings.Contains(got, "\n") {
			t.Errorf("%.200s\n got %s\nwant %s", text, got, want)
		}
	}
}

// FuzzDecode reads any text. What is read can be written, and is then read as the same.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		var a Attachment
		random{source(seed, 2), false}.fill(reflect.ValueOf(&a).Elem(), 0)
		a.Version = Version
		text, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := decode(text)
		if err != nil {
			return
		}
		once := again(t, a)
		twice := again(t, once)
		a.Input, once.Input, twice.Input = nil, spaceless(once.Input), spaceless(twice.Input)
		if diff := cmp.Diff(once, twice, remembered); diff != "" {
			t.Errorf("written and read, it is another:\n%s", diff)
		}
		once.Input = nil // the space in it need not stay
		if diff := cmp.Diff(a, once, remembered); diff != "" {
			t.Errorf("written and read, it is another:\n%s", diff)
		}
	})
}

func again(t *testing.T, a Attachment) Attachment {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return got
}

func spaceless(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw // there is none
	}
	return b.Bytes()
}

func source(seed, use uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, use)) }

// random fills values of any type of a record.
type random struct {
	*rand.Rand
	legible bool // texts have U+FFFD for each byte that is no UTF-8
}

func (r random) fill(v reflect.Value, depth int) {
	switch p := v.Addr().Interface().(type) {
	case *netip.Prefix:
		if r.some() {
			*p = r.prefix(fib.Families()[r.IntN(2)])
		}
	case *json.RawMessage:
		*p = json.RawMessage([]string{"", `{}`, `{"a":[1,null,"\u003c\ufffd"]}`}[r.IntN(3)])
	case *fib.Family:
		*p = fib.Family(r.Uint32())
	case *fib.Rule:
		*p = r.rule()
	case *fib.Route:
		*p = r.route()
	case *fib.Hop:
		*p = r.hop(fib.V4)
	case *fib.Address:
		*p = fib.Address{Index: r.IntN(9), Prefix: r.prefix(fib.V6), Scope: fib.Scope(r.Uint32()), Deprecated: r.some(), Protocol: uint8(r.Uint32())}
	default:
		r.fillPlain(v, depth)
	}
}

func (r random) fillPlain(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			r.fill(v.Field(i), depth+1)
		}
	case reflect.Pointer:
		if r.some() {
			v.Set(reflect.New(v.Type().Elem()))
			r.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if r.some() && depth < 12 {
			v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
			for i := range v.Len() {
				r.fill(v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			value := reflect.New(v.Type().Elem()).Elem()
			r.fill(value, depth+1)
			v.SetMapIndex(reflect.ValueOf(r.text()), value)
		}
	case reflect.String:
		v.SetString(r.text())
	case reflect.Bool:
		v.SetBool(r.some())
	case reflect.Int:
		v.SetInt([]int64{0, 1, -1, 1<<63 - 1, -1 << 63, 1 << 53}[r.IntN(6)])
	default: // uint8, uint32
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	}
}

func (r random) rule() fib.Rule {
	f := fib.Families()[r.IntN(2)]
	x := fib.Rule{
		Family: f, Priority: r.Uint32(), IIF: r.bytes(), OIF: r.bytes(), Action: fib.Action(r.IntN(9)),
		Protocol: uint8(r.Uint32()), Other: fib.Opaque(r.bytes()), Inverted: r.some(), TOS: uint8(r.IntN(2)),
	}
	switch x.Action {
	case fib.Lookup:
		x.Table = r.Uint32()
	case fib.Goto:
		x.Target = r.Uint32()
	case fib.Nop, fib.Unreachable:
	}
	if r.some() {
		x.From, x.To = r.prefix(f), r.prefix(f)
	}
	return x
}

func (r random) route() fib.Route {
	f := fib.Families()[r.IntN(2)]
	x := fib.Route{
		Family: f, Dst: r.prefix(f), TOS: uint8(r.IntN(2)), Table: r.Uint32(), Protocol: uint8(r.Uint32()), Scope: fib.Scope(r.Uint32()),
		Type: fib.RouteType(r.Uint32()), Metric: r.Uint32(), MTU: r.Uint32(), AdvMSS: r.Uint32(), Pref: uint8(r.IntN(4)), NexthopID: r.Uint32(),
		Expires: r.some(), OtherMetrics: fib.Opaque(r.bytes()), Other: fib.Opaque(r.bytes()),
	}
	if r.some() {
		x.From, x.PrefSrc = r.prefix(f), r.address(f)
	}
	for range r.IntN(3) {
		x.Hops = append(x.Hops, r.hop(f))
	}
	return x
}

func (r random) hop(f fib.Family) fib.Hop {
	h := fib.Hop{Index: r.IntN(1 << 30), Dev: r.bytes(), Weight: r.IntN(257), OnLink: r.some(), Other: fib.Opaque(r.bytes())}
	if r.some() {
		h.Gateway = r.address(f)
	}
	return h
}

func (r random) some() bool { return r.IntN(2) == 0 }

func (r random) text() string {
	s := r.bytes()
	if r.legible {
		s = string([]rune(s))
	}
	return s
}

func (r random) bytes() string {
	return []string{
		"", "net1", "eth0.5", "nät1", "a\xffb", "\xff\xfe", "\u2028<>&", "\"\\\x00\n\x7f", "\U0001f600", "null", "{", "[",
	}[r.IntN(12)]
}

func (r random) address(f fib.Family) netip.Addr {
	if f == fib.V4 {
		return netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(256)), 1})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(256))})
}

func (r random) prefix(f fib.Family) netip.Prefix {
	return netip.PrefixFrom(r.address(f), r.IntN(f.Bits()+1)).Masked()
}
