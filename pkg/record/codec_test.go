package record

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/fib"
)

// A record as it is written, for a person to read.
func TestForm(t *testing.T) {
	zero := 0
	a := Attachment{
		Version: Version, Key: key("net", "c1", "net1"), Netns: "/run/netns/a",
		Tables: []uint32{7300, 4294967295}, Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/64")},
		Settings: map[string]Setting{
			"rp_filter": {All: &zero, Devices: []Device{{Index: 2, Name: "net1", Value: 1}}},
			"accept_ra": {Least: 2},
		},
		LVS:  &LVS{Addresses: []VIP{{2, netip.MustParseAddr("10.20.73.29")}}, Devices: []Tunnel{{Index: 3, Name: "tunl0", Kind: "ipip", Down: true}}},
		Wish: &Wish{Seq: 1, NICs: []int{2}}, Order: [][]byte{{1, 2}, nil}, Earlier: []Attachment{{}}, MainDefaults: []fib.Family{fib.V4, fib.V6},
	}
	want := `{"version":1,"network":"net","containerID":"c1","ifname":"net1","netns":"/run/netns/a",` +
		`"tables":[7300,4294967295],"sources":["192.0.2.7/32","2001:db8::/64"],` +
		`"settings":{"accept_ra":{"least":2},"rp_filter":{"all":0,"devices":[{"index":2,"name":"net1","value":1}]}},` +
		`"lvs":{"addresses":[{"index":2,"address":"10.20.73.29"}],"devices":[{"index":3,"name":"tunl0","kind":"ipip","wasDown":true}]},` +
		`"wish":{"seq":1,"nics":[2]},"order":["AQI=",""],` +
		`"earlier":[{"version":0,"network":"","containerID":"","ifname":"","netns":""}],"mainDefaults":"Ago="}`
	got, err := json.Marshal(a)
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
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

// The form of version 1 as encoding/json has it: releases that used it read what this one
// writes, and this one reads what they wrote.
func TestFormOfVersion1(t *testing.T) {
	for seed := range uint64(2000) {
		var theirs written
		random{source(seed, 1), false}.fill(reflect.ValueOf(&theirs).Elem(), 0)
		text, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		theirs = readWritten(t, text)

		var ours Attachment
		if err := json.Unmarshal(text, &ours); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		text, err = json.Marshal(ours)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(theirs, readWritten(t, text), remembered); diff != "" {
			t.Fatalf("seed %d: (-theirs +ours):\n%s%s", seed, diff, text)
		}
	}
}

// readWritten reads a record with encoding/json, which must know every key.
func readWritten(t *testing.T, text []byte) (w written) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return w
}

// What is not as it was written is named by its path. Nothing else is an error.
func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:            "has format version 0, this release reads 1",
		`null`:          `must be an object, not "null"`,
		`{"version":1}`: "",
		`{"version":1,"unheardOf":{"version":2},"Tables":{}}`:          "",
		`{"version":1,"tables":null,"lvs":null,"settings":{"x":null}}`: "",
		`{"version":1,"tables":{},"tables":[]}`:                        "",
		`{"version":2,"tables":{}}`:                                    "has format version 2, this release reads 1",
		`{"version":"1"}`:                                              `"version": must be a whole number that fits, not "\"1\""`,
		`{"version":1.0}`:                                              `"version": must be a whole number that fits, not "1.0"`,
		`{"version":1,"tables":[1,-1]}`:                                `"tables[1]": must be a whole number that fits, not "-1"`,
		`{"version":1,"tables":[4294967296]}`:                          `"tables[0]": must be a whole number that fits, not "4294967296"`,
		`{"version":1,"displaced":[9223372036854775808]}`:              `"displaced[0]": must be a whole number that fits, not "9223372036854775808"`,
		`{"version":1,"tables":{}}`:                                    `"tables": must be a list, not "{}"`,
		`{"version":1,"settings":[]}`:                                  `"settings": must be an object, not "[]"`,
		`{"version":1,"settings":{"x":{"all":true}}}`:                  `"settings.x.all": must be a whole number that fits, not "true"`,
		`{"version":1,"settings":{"x":{"wants":[{"name":5}]}}}`:        `"settings.x.wants[0].name": must be a string, not "5"`,
		`{"version":1,"lvs":[]}`:                                       `"lvs": must be an object, not "[]"`,
		`{"version":1,"unknown":"yes"}`:                                `"unknown": must be true or false, not "\"yes\""`,
		`{"version":1,"order":[[1,2]]}`:                                `"order[0]": must be a string in base64, not "[1,2]"`,
		`{"version":1,"order":["!"]}`:                                  `"order[0]": illegal base64 data at input byte 0`,
		`{"version":1,"sources":["192.0.2.7/33"]}`:                     `"sources[0]": netip.ParsePrefix("192.0.2.7/33"): prefix length out of range`,
		`{"version":1,"lvs":{"addresses":[{"address":7}]}}`:            `"lvs.addresses[0].address": must be a string, not "7"`,
		`{"version":1,"earlier":[{},{"wish":{"nics":7}}]}`:             `"earlier[1].wish.nics": must be a list, not "7"`,
		`{"version":1,"a`:                                              "unexpected end of JSON input (at byte 15)",
		`{"version":1,` + strings.Repeat(`"earlier":[{`, 40) + strings.Repeat(`}]`, 40) + `}`: `"` + strings.Repeat("earlier[0].", 15) + `earlier[0]": stands too deep`,
	} {
		got := ""
		if _, err := decode([]byte(text)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// A person may have edited it.
func TestDecodeSpaced(t *testing.T) {
	a, err := decode([]byte(" {\n\"version\" : 1 , \"tables\" : [ 1 ,\t2 ] }\n"))
	if diff := cmp.Diff(Attachment{Version: 1, Tables: []uint32{1, 2}}, a, remembered); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
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
			if strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Errorf("the error takes more than one line: %q", err)
			}
			return
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(again)
		if diff := cmp.Diff(a, got, remembered); err != nil || diff != "" {
			t.Errorf("written and read, it is another: %v\n%s%s", err, diff, again)
		}
	})
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
			*p = netip.PrefixFrom(r.address(), 1+r.IntN(32))
		}
		return
	case *netip.Addr:
		if r.some() {
			*p = r.address()
		}
		return
	}
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
		if r.some() && depth < 6 {
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

func (r random) some() bool { return r.IntN(2) == 0 }

func (r random) text() string {
	s := []string{
		"", "net1", "eth0.5", "nät1", "a\xffb", "\xff\xfe", "\u2028<>&", "\"\\\x00\n\x7f", "\U0001f600", "null", "{", "[",
	}[r.IntN(12)]
	if r.legible {
		s = string([]rune(s))
	}
	return s
}

func (r random) address() netip.Addr {
	if r.some() {
		return netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(256)), 1})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(256))})
}

// What follows is a record of version 1, as encoding/json has to read it. It stays as it
// is, but for keys that are added.

type written struct {
	Version      int                       `json:"version"`
	Network      string                    `json:"network"`
	ContainerID  string                    `json:"containerID"`
	IfName       string                    `json:"ifname"`
	Netns        string                    `json:"netns"`
	Unknown      bool                      `json:"unknown,omitempty"`
	Tables       []uint32                  `json:"tables,omitempty"`
	Sources      []netip.Prefix            `json:"sources,omitempty"`
	Settings     map[string]writtenSetting `json:"settings,omitempty"`
	LVS          *writtenLVS               `json:"lvs,omitempty"`
	Wish         *writtenWish              `json:"wish,omitempty"`
	Displaced    []int                     `json:"displaced,omitempty"`
	Order        [][]byte                  `json:"order,omitempty"`
	Main         [][]byte                  `json:"main,omitempty"`
	Moving       [][]byte                  `json:"moving,omitempty"`
	Earlier      []written                 `json:"earlier,omitempty"`
	MainDefaults []fib.Family              `json:"mainDefaults,omitempty"`
}

type writtenDevice struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	Value int    `json:"value"`
}

type writtenSetting struct {
	All     *int            `json:"all,omitempty"`
	Default *int            `json:"default,omitempty"`
	Devices []writtenDevice `json:"devices,omitempty"`
	Wants   []writtenDevice `json:"wants,omitempty"`
	Least   int             `json:"least,omitempty"`
}

type writtenLVS struct {
	Addresses []writtenVIP    `json:"addresses,omitempty"`
	Devices   []writtenTunnel `json:"devices,omitempty"`
	Replies   [][]byte        `json:"replies,omitempty"`
}

type writtenVIP struct {
	Index   int        `json:"index"`
	Address netip.Addr `json:"address"`
}

type writtenTunnel struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Made  bool   `json:"made,omitempty"`
	Down  bool   `json:"wasDown,omitempty"`
}

type writtenWish struct {
	Seq  int      `json:"seq"`
	Take bool     `json:"take,omitempty"`
	NICs []int    `json:"nics"`
	Saw  [][]byte `json:"saw,omitempty"`
	Own  [][]byte `json:"own,omitempty"`
}
