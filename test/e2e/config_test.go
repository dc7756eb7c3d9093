package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestEveryFaultAtOnce makes several mistakes, and wants to hear of all.
func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, netlab.Object{
		"rpFilter":          "stric",
		"interfaces":        netlab.Object{"tunl0": netlab.Object{"rpFilter": 3}},
		"gateways":          []string{"198.51.100.1", "nowhere"},
		"noGateway":         "leak",
		"sources":           []string{"203.0.113.300"},
		"routes":            []netlab.Object{{"dst": "10.0.0.0/8", "gw": "gw"}, {"dst": "10.0.0.0/8", "mtu": -1}},
		"viaMain":           []string{"10.96.0.0/12", "cluster"},
		"mainDefault":       "give",
		"table":             "seven",
		"priority":          1,
		"arp":               "silent",
		"checkDestinations": []string{"example.org"},
		"requireGateway":    "yes",
		"verify":            "no",
		"rulePriority":      5,
	})
	failure := a.fails(t, "ADD",
		"rpFilter", "interfaces.tunl0.rpFilter", "gateways[1]", "noGateway", "sources[0]",
		"routes[0].gw", "routes[1].mtu", "viaMain[1]", "mainDefault", "table", "priority", "arp",
		"checkDestinations[0]", "requireGateway", "verify", "rulePriority",
		"strict", "isolate", "yield", "refuse") // what would be right
	assertCode(t, failure, codeConfiguration)
	assertNoFiles(t, b.dataDir)
}

// TestFaultsThatThePodShows makes mistakes that only the pod shows, beside some that anybody sees:
// all are told at once, and what only follows from another is not.
func TestFaultsThatThePodShows(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1.withoutGateways())
	b.pod.NS.IP(t, "route", "add", "192.0.2.0/24", "dev", "eth0", "table", "7400")
	other := b.attach(eth0, netlab.Object{"interfaces": netlab.Object{"net1": netlab.Object{"rpFilter": "off"}}})
	other.must(t, "ADD")
	before := files(t, b.dataDir)
	shown := netlab.Object{
		"gateways":          []string{"10.99.0.1", providerA.pod4.String()},
		"routes":            []netlab.Object{{"dst": "10.1.0.0/16", "gw": "10.99.0.1"}, {"dst": "10.2.0.0/16", "gw": "203.0.113.255"}},
		"checkDestinations": []string{client4.String(), providerA.pod4.String()},
		"requireGateway":    true,
		"rpFilter":          "strict",
		"mainDefault":       "take",
		"table":             7400,
		"interfaces": netlab.Object{
			"net1":  netlab.Object{"rpFilter": "off"},
			"net7":  netlab.Object{"rpFilter": "off"},
			"tunl7": netlab.Object{"rpFilter": "off"},
			"eth0":  netlab.Object{"rpFilter": "off"},
		},
	}
	names := []string{
		"gateways[0]: 10.99.0.1 is in no subnet", "gateways[1]: 198.51.100.87 is the pod's own",
		"routes[0].gw: 10.99.0.1 is in no subnet", "routes[1].gw: 203.0.113.255 is the network or broadcast address",
		"checkDestinations[1]: 198.51.100.87 is never asked about",
		"requireGateway: the source 203.0.113.144", "requireGateway: the source 2001:db8:b::144",
		"rpFilter: net1 is to be strict", "mainDefault: ", "table: 7400 is in use",
		"interfaces.net1: ", "interfaces.net7: the pod has no such device", "interfaces.tunl7: ", "interfaces.eth0.rpFilter: ",
	}
	assertFaults := func(a attachment, names ...string) {
		t.Helper()
		failure := a.fails(t, "ADD", names...)
		assertCode(t, failure, codeConfiguration)
		if got := strings.Count(failure.Details, "\n") + 1; got != len(names) {
			t.Errorf("%d faults, want %d:\n%s", got, len(names), failure.Details)
		}
	}
	a := b.attach(net1.withoutGateways(), shown)
	assertFaults(a, names...)
	assertFaults(a.with("priority", 1).with("viaMian", []string{}), append(names, "priority: ", "viaMian: ")...)
	assertFaults(a.with("gateways", []string{"nowhere"}), "gateways[0]: ", names[4], names[7], names[9], names[10], names[11], names[12], names[13])

	// A pod that is in no state for it, too, is told of when these are mended.
	b.pod.NS.IP(t, "link", "set", "net1", "down")
	assertFaults(a, names...)

	// Without a pod there is the configuration.
	gone := a.with("priority", 1)
	gone.netns = "/run/netns/gone"
	assertCode(t, gone.fails(t, "ADD", "priority: "), codeConfiguration)
	alone := a.with("priority", 1)
	alone.prev = nil
	assertFaults(alone, "priority: ", "prevResult: symroute must be chained")
	assertLines(t, "files", before, files(t, b.dataDir))
	other.must(t, "CHECK")
}

// TestNearMisses spells keys the way other plugins do, or with a slip: the
// error names ours.
func TestNearMisses(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for miss, ours := range map[string]string{
		"rp_filter":    "rpFilter",
		"rpfilter":     "rpFilter",
		"rpFliter":     "rpFilter",
		"gateway":      "gateways",
		"gatways":      "gateways",
		"rulePriority": "priority",
		"tables":       "table",
		"vip":          "sources",
		"viaMian":      "viaMain",
		"mainDefualt":  "mainDefault",
		"sorces":       "sources",
		"addroutes":    "routes",
		"noGatway":     "noGateway",
		"sysctl":       "rpFilter",
		"veirfy":       "verify",
		"data-dir":     "dataDir",
	} {
		failure := b.attach(eth0, netlab.Object{miss: "x"}).fails(t, "ADD", miss+": ", `"`+ours+`"`)
		assertCode(t, failure, codeConfiguration)
	}
}

// TestUnknownKeysOfOurs refuses what our own objects do not have, and names what was meant.
func TestUnknownKeysOfOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for _, test := range []struct {
		key     string
		value   any
		located string
		meant   string
	}{
		{"routes", []netlab.Object{{"dst": "10.0.0.0/8", "gateway": "198.51.100.1"}}, "routes[0].gateway", `"gw"`},
		{"routes", []netlab.Object{{"dst": "10.0.0.0/8", "mettric": 5}}, "routes[0].mettric", `"metric"`},
		{"routes", []netlab.Object{{"dst": "10.0.0.0/8", "scope": 5}}, "routes[0].scope", "dst, gw, metric, mtu, advmss, onlink"},
		{"gateways", []netlab.Object{{"gateway": "198.51.100.1"}}, "gateways[0].gateway", `"gw"`},
		{"interfaces", netlab.Object{"tunl0": netlab.Object{"rp_filter": 1}}, "interfaces.tunl0.rp_filter", `"rpFilter"`},
		{"lvs", netlab.Object{"mode": "dr", "vip": []string{"192.0.2.10"}}, "lvs.vip", `"vips"`},
	} {
		failure := b.attach(eth0, netlab.Object{test.key: test.value}).fails(t, "ADD", test.located, test.meant)
		assertCode(t, failure, codeConfiguration)
	}
}

// TestWrongTypesShowAnExample gives keys a value of a wrong type: the error shows one of the right
// type, which ADD then takes.
func TestWrongTypesShowAnExample(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for key, wrong := range map[string][]any{
		"interfaces":        {[]string{"tunl0"}, "off", netlab.Object{"tunl0": "off"}},
		"gateways":          {"198.51.100.1", 5, netlab.Object{"gw": "198.51.100.1"}, []int{5}},
		"sources":           {"198.51.100.9", true, []int{5}},
		"routes":            {netlab.Object{"dst": "10.0.0.0/8"}, []string{"10.0.0.0/8"}, []netlab.Object{{"dst": 5}}, []netlab.Object{{"dst": "10.0.0.0/8", "mtu": "1400"}}},
		"viaMain":           {"10.96.0.0/12", []int{5}},
		"table":             {"7300", []int{7300}},
		"priority":          {"32000", 1.5},
		"lvs":               {"dr", []string{}},
		"checkDestinations": {"192.0.2.7", netlab.Object{}},
		"dataDir":           {5},
	} {
		for _, value := range wrong {
			assertCode(t, b.attach(eth0, netlab.Object{key: value}).fails(t, "ADD", key, " such as "), codeConfiguration)
		}
	}
}

// TestBrokenJSON breaks standard input the way people do who write it by hand: the error says where
// it is broken, and why.
func TestBrokenJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	for text, words := range map[string][]string{
		"{\n  \"name\": \"n\", // mine\n  \"type\": \"symroute\"\n}": {"line 2, column 16", "comments"},
		"{\n  \"name\": \"n\",\n}":                                   {"line 3, column 1", "comma"},
		"{\n  \"name\": \"n\"\n  \"type\": \"symroute\"\n}":          {"line 3, column 3", "comma", "missing"},
		"cniVersion: 1.0.0\nname: n\n":                               {"line 1", "YAML"},
		"{“name”: “n”}":                                              {"line 1, column 2", "“", "typographic"},
		"\ufeff{\"name\": \"n\"}":                                    {"line 1, column 1", "byte order mark"},
		"{'name': 'n'}":                                              {"line 1, column 2", "double quotes"},
		"{\"name\": \"n\"":                                           {"line 1, column 13", "ends early"},
		"[]":                                                         {"it is a list"},
		"":                                                           {"empty"},
	} {
		for _, verb := range []string{"ADD", "CHECK", "DEL", "GC", "STATUS"} {
			failure := b.node.RunPlugin(t, a.environ(verb), []byte(text)).Failed(t)
			if failure == nil {
				t.Fatalf("%s of %q succeeded", verb, text)
			}
			assertCode(t, failure, codeDecoding)
			for _, word := range words {
				if !strings.Contains(failure.Msg, word) {
					t.Errorf("%s of %q: the error does not name %q: %s", verb, text, word, failure.Msg)
				}
			}
		}
	}
}

// TestNoCNIVersion leaves cniVersion out, as a runtime does whose conflist has none, or with "".
func TestNoCNIVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for _, version := range []any{nil, ""} {
		a := b.attach(eth0, nil).with("cniVersion", version)
		for _, verb := range []string{"ADD", "CHECK", "DEL"} {
			assertCode(t, a.fails(t, verb, "cniVersion is missing", `"cniVersion": "1.0.0"`), codeIncompatible)
		}
	}
	failure := b.attach(eth0, nil).with("cniVersion", "0.1.0").fails(t, "ADD", "0.1.0")
	if strings.Contains(failure.Msg, "missing") {
		t.Errorf("it is there: %s", failure.Msg)
	}
}

// TestLargeInput has a configuration that is larger than a pipe.
func TestLargeInput(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, netlab.Object{"description": strings.Repeat("x", 3<<20)})
	a.must(t, "ADD")
	a.must(t, "CHECK")
	a.must(t, "DEL")
}

// TestArguments runs the executable by hand.
func TestArguments(t *testing.T) {
	t.Parallel()
	executable := filepath.Join(netlab.BinDir(t), "symroute")
	for argument, want := range map[string]struct {
		status         int
		stdout, stderr string
	}{
		"--version": {0, "CNI plugin symroute ", ""},
		"--help":    {0, "CNI plugin symroute ", ""},
		"--verion":  {2, "", "--verion"},
		"ADD":       {2, "", "To see what it would be told"},
	} {
		var stdout, stderr strings.Builder
		cmd := exec.Command(executable, argument)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // its status is looked at below
		if got := cmd.ProcessState.ExitCode(); got != want.status {
			t.Errorf("%s: exit status %d, want %d", argument, got, want.status)
		}
		for _, out := range []struct{ name, got, want string }{{"stdout", stdout.String(), want.stdout}, {"stderr", stderr.String(), want.stderr}} {
			if (out.want == "") != (out.got == "") || !strings.Contains(out.got, out.want) {
				t.Errorf("%s: %s is %q, want %q", argument, out.name, out.got, out.want)
			}
		}
	}
}

// TestDestinationsNeverAsked refuses destinations that CHECK would pass over in silence.
func TestDestinationsNeverAsked(t *testing.T) {
	t.Parallel()
	four := nic{name: "net1", addresses: []string{"203.0.113.144/24"}, gateways: []string{"203.0.113.1"}}
	b := newBench(t, eth0, four)
	keys := netlab.Object{
		"viaMain":           []string{"10.96.0.0/12"},
		"checkDestinations": []string{"10.96.0.1", client4.String(), "203.0.113.144", "198.51.100.87", client6.String(), "203.0.113.255"},
	}
	failure := b.attach(four, keys).fails(t, "ADD", "checkDestinations[0]: ", "viaMain")
	assertCode(t, failure, codeConfiguration)
	delete(keys, "viaMain")
	failure = b.attach(four, keys).fails(t, "ADD",
		"checkDestinations[2]: ", "checkDestinations[3]: ", "own address", "checkDestinations[4]: ", "no IPv6 source", "checkDestinations[5]: ", "broadcast")
	assertCode(t, failure, codeConfiguration)
	b.attach(four, netlab.Object{"checkDestinations": []string{"10.96.0.1", client4.String()}}).must(t, "ADD")
}

// TestContradictions refuses keys that cannot go together.
func TestContradictions(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for name, test := range map[string]struct {
		keys  netlab.Object
		words []string
	}{
		"viaMain is asymmetric on purpose": {
			netlab.Object{"rpFilter": "strict", "viaMain": []string{"10.96.0.0/12"}},
			[]string{"viaMain", "strict"},
		},
		"and so it is with 1 for strict": {
			netlab.Object{"rpFilter": 1, "viaMain": []string{"10.96.0.0/12"}},
			[]string{"viaMain", "strict"},
		},
		"noGateway lets packets leave by others": {
			netlab.Object{"rpFilter": "strict", "noGateway": "main"},
			[]string{"noGateway", "strict"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assertCode(t, b.attach(eth0, test.keys).fails(t, "ADD", test.words...), codeConfiguration)
		})
	}
}

// TestRPFilterNumbers takes the kernel's numbers for the modes.
func TestRPFilterNumbers(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	for _, test := range []struct {
		value any
		want  string
	}{
		{0, "0"}, {1, "1"}, {2, "2"}, {"off", "0"}, {"strict", "1"}, {"loose", "2"},
	} {
		a := b.attach(eth0, netlab.Object{"rpFilter": test.value})
		a.must(t, "ADD")
		assertEffective(t, b.pod.NS, "eth0", test.want)
		a.must(t, "DEL")
	}
}

// TestNothingButType is the configuration of a Multus attachment: the plugin,
// and what the runtime adds.
func TestNothingButType(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	a := b.attach(net1, nil).with("deviceID", "0000:00:02.0")
	a.must(t, "ADD")
	assertEffective(t, b.pod.NS, "net1", "2")
	assertRoute(t, b.pod.NS, "net1", providerB.gateway4(), client4, "from", providerB.pod4.String())
	assertRoute(t, b.pod.NS, "net1", providerB.gateway6(), client6, "from", providerB.pod6.String())
	assertRoute(t, b.pod.NS, "eth0", providerA.gateway4(), client4)
	assertRoute(t, b.pod.NS, "eth0", providerA.gateway6(), client6)
	a.must(t, "CHECK")
}
