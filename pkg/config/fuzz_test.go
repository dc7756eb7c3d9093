package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"type": "symroute"}`, `{} x`, "\xef\xbb\xbf{}", `{"a`, `{"name": "n", "cniVersion": "1.1.0"}`,
		`{"rpFilter": "strict", "interfaces": {"tunl0": {"rpFilter": 0}, "eth0.1": {"rpFilter": "keep"}}}`,
		`{"rpFilter": 1, "viaMain": ["10.96.0.0/12"]}`, `{"rpFilter": 1, "noGateway": "main"}`, `{"viaMian": [], "addroutes": 1, "lvs": {"vip": 1}}`,
		`{"gateways": [{"gw": "10.0.0.1", "onlink": true}, {"gw": "10.0.0.1"}, {"gateway": 1}], "checkDestinations": ["10.96.0.1"], "viaMain": ["10.96.0.0/12"]}`,
		`{"routes": [{"dst": "10.0.0.0/8", "gw": "fe80::1"}, {"dst": "2001:db8::/32", "gw": "10.0.0.1"}]}`,
		`{"gateways": ["10.0.0.1", "fe80::1", "::ffff:10.0.0.1", "fe80::1%a"], "noGateway": "main"}`,
		`{"sources": ["10.0.0.5", "10.0.0.0/24", "fe80::/10", "2001:db8::/64", "::ffff:0:0/90"]}`,
		`{"routes": [{"dst": "10.0.0.0/8", "gw": "10.0.0.1", "metric": 1, "mtu": 1400, "advmss": 1360, "onlink": true}, {"dst": "2001:db8::/32"}]}`,
		`{"viaMain": ["10.96.0.0/12", "10.0.0.1", "fd00::/8"], "mainDefault": "take", "arp": "isolate"}`,
		`{"table": 7300, "priority": 32765, "requireGateway": true, "verify": false, "dataDir": "/run/x"}`,
		`{"table": 1e9, "priority": -4, "requireGateway": "true", "verify": null, "dataDir": "/run/../x", "rp_filter": 1}`,
		`{"checkDestinations": ["203.0.113.1"], "lvs": {}, "deviceID": "0000:03:02.0"}`,
		`{"cni.dev/valid-attachments": [{"containerID": "c", "ifname": "net1"}], "prevResult": {"interfaces": [{"name": "net1", "sandbox": "/n"}]}}`,
		`{"cni.dev/valid-attachments": [], "interfaces": {"a\nb": {"x": 1}, "all": {}}, "table": 1, "table": 2}`,
	} {
		f.Add([]byte(seed))
	}
	if reference, err := os.ReadFile("../../docs/reference.conflist"); err == nil {
		var list struct{ Plugins []json.RawMessage }
		if json.Unmarshal(reference, &list) == nil {
			for _, plugin := range list.Plugins {
				f.Add([]byte(plugin))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		c, err := Parse(data)
		if !bytes.Equal(given, data) {
			t.Error("the input was changed")
		}
		checkTeardown(t, data, c, err)
		checkSpaces(t, data, c, err)
		if err != nil {
			checkError(t, c, err)
			checkPaths(t, data, err)
			return
		}
		checkConfig(t, c)
		if c.Prev != nil {
			checkResult(t, c.Prev)
			checkPassedOn(t, data, c)
		}
	})
}

func FuzzPrevResult(f *testing.F) {
	for _, seed := range []string{
		`null`, `{}`, `{ }`, `[]`, `5`, `{"cniVersion": null}`, `{"cniVersion": "", "x": 1e400}`, `{"cniVersion":"1.0.0","cniVersion":null}`,
		`{"cniVersion": "1.1.0", "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:01", "mtu": 1500, "sandbox": "/n", "socketPath": "/s", "pciID": "0000:03:02.0"}],
		  "ips": [{"interface": 0, "address": "10.0.0.5/24", "gateway": "10.0.0.1"}, {"interface": 0, "address": "2001:db8::5/64", "gateway": "fe80::1"}],
		  "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1400, "advmss": 1360, "priority": 5, "table": 100, "scope": 253}, {"dst": "::/0"}], "dns": {}}`,
		`{"cniVersion": "0.4.0", "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/n"}], "ips": [{"version": "4", "interface": 1, "address": "10.0.0.5/32", "gateway": "0.0.0.0"}]}`,
		`{"ips": [{"address": "fe80::5/64"}, {"address": "10.0.0.5/0"}, {"address": "::ffff:10.0.0.5/120"}, null]}`,
		`{"ips": [{"address": "10.0.0.5/24", "interface": -1, "gateway": "10.0.0.5"}], "routes": [{"dst": "10.1.2.3/8", "gw": ""}]}`,
		`{"interfaces": [{"name": "a note that is longer than any device", "sandbox": "/n"}]}`, "{\"interfaces\":[{\"name\":\"\xe7\xe7\xe7\xe70000\",\"sandbox\":\"0\"}]}",
		`{"interfaces": [{"name": "a\u0000", "sandbox": "/n"}, {"name": "all", "sandbox": "/n"}, {"name": 5}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		data := append(append([]byte(`{"name":"n","type":"symroute","prevResult":`), raw...), '}')
		c, err := Parse(data)
		checkTeardown(t, data, c, err)
		if err != nil {
			checkError(t, c, err)
			return
		}
		checkConfig(t, c)
		if c.Prev != nil {
			checkResult(t, c.Prev)
			checkPassedOn(t, data, c)
		}
	})
}

// checkError holds an error of Parse to its promises.
func checkError(t *testing.T, c *Config, err error) {
	if strings.ContainsAny(err.Error(), "\n\r\x00") {
		t.Errorf("the error takes more than one line: %q", err)
	}
	if _, ok := errors.AsType[*DecodeError](err); ok {
		if c != nil {
			t.Error("a Config came with an error")
		}
		return
	}
	if c == nil {
		t.Error("nothing could be read")
	}
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("the error is %T with %d faults", err, len(faults))
	}
	for _, fault := range faults {
		if fault.Path == "" || fault.Problem == "" {
			t.Errorf("half a fault: %q", fault)
		}
	}
}

// checkPaths makes sure that every fault is about a key that is there, or that could
// have been.
func checkPaths(t *testing.T, data []byte, err error) {
	faults, _ := errors.AsType[Faults](err)
	for _, fault := range faults {
		known := slices.Concat(ownKeys(), []string{"cniVersion", "name", "type", "prevResult", "cni.dev/valid-attachments"})
		var members map[string]json.RawMessage
		_ = json.Unmarshal(data, &members)
		known = slices.AppendSeq(known, maps.Keys(members))
		if !slices.ContainsFunc(known, func(key string) bool { return isBelow(fault.Path, key) }) {
			t.Errorf("the fault %q is about no key", fault)
		}
	}
}

// isBelow reports whether a path is that of a key or of something in it.
func isBelow(path, key string) bool {
	rest, ok := strings.CutPrefix(path, key)
	if !ok {
		rest, ok = strings.CutPrefix(path, strconv.Quote(key))
	}
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// checkSpaces makes sure that blanks between the parts of the JSON mean nothing.
func checkSpaces(t *testing.T, data []byte, c *Config, err error) {
	var spaced bytes.Buffer
	if json.Indent(&spaced, data, "\n", "\t") != nil {
		return
	}
	again, errAgain := Parse(spaced.Bytes())
	if fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Fatalf("with blanks between its parts it is %v, not %v", errAgain, err)
	}
	if err != nil {
		return
	}
	same := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
	if diff := cmp.Diff(c, again, same); diff != "" {
		t.Errorf("with blanks between its parts it is another:\n%s", diff)
	}
}

// checkTeardown holds ParseTeardown to agree with Parse where that succeeds,
// and else to fail for undecodable input alone.
func checkTeardown(t *testing.T, data []byte, c *Config, parseErr error) {
	down, err := ParseTeardown(data)
	if _, undecodable := errors.AsType[*DecodeError](parseErr); undecodable != (err != nil) {
		t.Fatalf("ParseTeardown returned %v, but Parse %v", err, parseErr)
	}
	if err != nil {
		return
	}
	checkDataDir(t, down.DataDir)
	if c == nil {
		return
	}
	want := &Teardown{CNIVersion: c.CNIVersion, Network: c.Network, DataDir: c.DataDir, ValidAttachments: c.ValidAttachments}
	if diff := cmp.Diff(want, down); diff != "" {
		t.Errorf("Parse and ParseTeardown differ:\n%s", diff)
	}
}

// checkConfig holds an accepted configuration to its promises, told in other
// words than those of the parser.
func checkConfig(t *testing.T, c *Config) {
	if c.RPFilter < RPFilterKeep || c.RPFilter > RPFilterLoose {
		t.Errorf("rpFilter %d", c.RPFilter)
	}
	for name, mode := range c.Interfaces {
		checkDevice(t, name)
		if mode < RPFilterKeep || mode > RPFilterLoose {
			t.Errorf("rpFilter %d of %s", mode, name)
		}
	}
	for _, g := range c.Gateways {
		checkUnicast(t, g.Addr)
	}
	for _, a := range c.CheckDestinations {
		checkUnicast(t, a)
		if slices.ContainsFunc(c.ViaMain, func(p netip.Prefix) bool { return p.Contains(a) }) {
			t.Errorf("%s is asked about and in viaMain", a)
		}
	}
	for _, p := range c.Sources {
		checkNetwork(t, p)
		if p.Addr().IsMulticast() || p.Addr().IsLoopback() || p.Addr().IsUnspecified() || p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			t.Errorf("source %s", p)
		}
	}
	for _, p := range c.ViaMain {
		checkNetwork(t, p)
	}
	if len(c.ViaMain) > 0 && c.RPFilter == RPFilterStrict {
		t.Error("viaMain with strict")
	}
	if c.NoGateway == UseMain && c.RPFilter == RPFilterStrict {
		t.Error("noGateway main with strict")
	}
	for _, r := range c.Routes {
		checkNetwork(t, r.Dst)
		checkGateway(t, r.Gateway, r.Dst)
		if r.OnLink && !r.Gateway.IsValid() {
			t.Error("onlink without gw")
		}
		if r.MTU > 65520 || r.MTU != 0 && r.MTU < 68 || r.AdvMSS > 65495 {
			t.Errorf("mtu %d, advmss %d", r.MTU, r.AdvMSS)
		}
	}
	if c.NoGateway != Refuse && c.NoGateway != UseMain {
		t.Errorf("noGateway %q", c.NoGateway)
	}
	if c.MainDefault != Yield && c.MainDefault != Take && c.MainDefault != KeepMain {
		t.Errorf("mainDefault %q", c.MainDefault)
	}
	if c.ARP != ARPKeep && c.ARP != ARPIsolate {
		t.Errorf("arp %q", c.ARP)
	}
	if c.Table >= 253 && c.Table <= 255 {
		t.Errorf("table %d", c.Table)
	}
	if c.Priority < 4 || c.Priority > 32765 {
		t.Errorf("priority %d", c.Priority)
	}
	checkDataDir(t, c.DataDir)
	for _, a := range c.ValidAttachments {
		if a.ContainerID == "" || a.IfName == "" {
			t.Errorf("attachment %+v", a)
		}
	}
}

// checkResult holds an accepted prevResult to its promises.
func checkResult(t *testing.T, r *Result) {
	for _, i := range r.Interfaces {
		if i.Sandbox != "" && len(i.Name) <= 15 { // a longer one is some plugin's note to itself
			checkDevice(t, i.Name)
		}
	}
	for _, ip := range r.IPs {
		checkUnicast(t, ip.Address.Addr())
		if ip.Address.Bits() <= 0 {
			t.Errorf("address %s", ip.Address)
		}
		if ip.Interface < NoInterface || ip.Interface >= len(r.Interfaces) {
			t.Errorf("interface %d of %d", ip.Interface, len(r.Interfaces))
		}
		checkGateway(t, ip.Gateway, ip.Address)
		if ip.Gateway == ip.Address.Addr() {
			t.Errorf("%s is its own gateway", ip.Gateway)
		}
	}
	for _, route := range r.Routes {
		if !route.Dst.IsValid() || route.Dst != route.Dst.Masked() {
			t.Errorf("dst %s", route.Dst)
		}
		checkGateway(t, route.Gateway, route.Dst)
	}
}

// checkPassedOn makes sure that the printed result has a version, and is the one that came but
// for that.
func checkPassedOn(t *testing.T, data []byte, c *Config) {
	c.CNIVersion = "1.0.0"
	printed, err := PrevResult(data, c)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := decoded(t, data)["prevResult"].(map[string]any)
	after := decoded(t, printed)
	if version, _ := after["cniVersion"].(string); version == "" {
		t.Errorf("no version in %s", printed)
	}
	delete(before, "cniVersion")
	delete(after, "cniVersion")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the result has changed:\n%s", diff)
	}
}

func decoded(t *testing.T, text []byte) (members map[string]any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // 1e400 is one
	if err := dec.Decode(&members); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return members
}

func checkUnicast(t *testing.T, a netip.Addr) {
	if !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() ||
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		t.Errorf("address %s", a)
	}
}

func checkGateway(t *testing.T, gw netip.Addr, to netip.Prefix) {
	if !gw.IsValid() {
		return
	}
	checkUnicast(t, gw)
	if gw.Is4() && to.Addr().Is6() { // the other way round is RFC 8950
		t.Errorf("gateway %s for %s", gw, to)
	}
}

func checkNetwork(t *testing.T, p netip.Prefix) {
	if !p.IsValid() || p.Bits() == 0 || p != p.Masked() || p.Addr().Is4In6() {
		t.Errorf("prefix %s", p)
	}
}

func checkDevice(t *testing.T, name string) {
	if name == "" || len(name) > 15 || name == "." || name == ".." || name == "all" || name == "default" || strings.ContainsAny(name, "/: \t\n\v\f\r\x00") {
		t.Errorf("device %q", name)
	}
}

func checkDataDir(t *testing.T, dir string) {
	if !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" || strings.Contains(dir, "\x00") {
		t.Errorf("dataDir %q", dir)
	}
}
