package ctl

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/symroute/symroute/test/netlab"
)

// lab is the network of a script: a pod with two NICs at two gateways, and a client behind both. Symroute is
// not there until the script attaches a NIC.
//
//	              +-- a: 198.51.100.1, 2001:db8:a::1 -- eth0: 198.51.100.87,  2001:db8:a::87  --+
//	client -------+                                                                             +-- pod
//	192.0.2.7     +-- b: 203.0.113.1,  2001:db8:b::1 -- net1: 203.0.113.144, 2001:db8:b::144 --+
//	2001:db8:c::7
//
// The pod's default routes are by eth0. Each gateway has a stateful firewall.
type lab struct {
	node, client *netlab.NS
	gateways     map[string]*netlab.NS // by name; their links are "lan" (to the pod) and "wan"
	pod          *netlab.Pod
	dataDir      string
	watcher      *watcher // nil: no command runs in the background
	agent        *agent   // nil: none runs
}

// watcher is a command that runs in the background until the script has seen enough.
type watcher struct {
	cmd    *exec.Cmd
	output bytes.Buffer
}

// nic is a NIC of the pod.
type nic struct{ name, gateway, pod4, pod6, gateway4, gateway6 string }

var (
	nics = []nic{
		{"eth0", "a", "198.51.100.87/24", "2001:db8:a::87/64", "198.51.100.1", "2001:db8:a::1"},
		{"net1", "b", "203.0.113.144/24", "2001:db8:b::144/64", "203.0.113.1", "2001:db8:b::1"},
	}
	client4, client6 = netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8:c::7")
)

// unanswered is how long a conversation may stay silent before a script believes that it does not happen.
const unanswered = 1500 * time.Millisecond

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{
		node: netlab.New(t, "node"), client: netlab.New(t, "client"), gateways: map[string]*netlab.NS{}, pod: netlab.NewPod(t),
	}
	l.client.Batch(t, netlab.Address(client4.String()+"/32", "lo"), netlab.Address(client6.String()+"/128", "lo"))
	for i, n := range nics {
		l.plug(t, i, n)
	}
	l.pod.NS.Batch(t, "route add default via "+nics[0].gateway4, "-6 route add default via "+nics[0].gateway6)
	return l
}

// plug puts NIC number i into the pod, with a gateway of its own between it and the client.
func (l *lab) plug(t *testing.T, i int, n nic) {
	t.Helper()
	gateway := netlab.New(t, "gateway-"+n.gateway)
	l.gateways[n.gateway] = gateway
	prefix := func(address, like string) string {
		return netip.PrefixFrom(netip.MustParseAddr(address), netip.MustParsePrefix(like).Bits()).String()
	}
	netlab.Cable(t,
		netlab.Port{NS: l.pod.NS, Link: n.name, Addresses: []string{n.pod4, n.pod6}},
		netlab.Port{NS: gateway, Link: "lan", Addresses: []string{prefix(n.gateway4, n.pod4), prefix(n.gateway6, n.pod6)}})
	digit := string(rune('0' + i))
	near4, far4 := "10.255."+digit+".1", "10.255."+digit+".2"
	near6, far6 := "2001:db8:ff:"+digit+"::1", "2001:db8:ff:"+digit+"::2"
	netlab.Cable(t,
		netlab.Port{NS: gateway, Link: "wan", Addresses: []string{near4 + "/30", near6 + "/64"}},
		netlab.Port{NS: l.client, Link: "wan-" + n.gateway, Addresses: []string{far4 + "/30", far6 + "/64"}})
	gateway.Batch(t, "route add "+client4.String()+" via "+far4, "route add "+client6.String()+" via "+far6)
	l.client.Batch(t,
		"route add "+netip.MustParsePrefix(n.pod4).Masked().String()+" via "+near4+" src "+client4.String(),
		"route add "+netip.MustParsePrefix(n.pod6).Masked().String()+" via "+near6+" src "+client6.String())
	gateway.Forward(t)
	gateway.StatefulFirewall(t, "wan")
}

// condition is what a script can ask of the machine: [link:KIND], whether there are devices of a kind.
func (l *lab) condition(text string) (bool, error) {
	kind, ok := strings.CutPrefix(text, "link:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", text)
	}
	if _, err := l.node.Command("", "ip", "link", "add", "probe", "type", kind); err != nil {
		return false, nil //nolint:nilerr // that is the answer
	}
	_, err := l.node.Command("", "ip", "link", "del", "probe")
	return true, err
}

// commands are what scripts have beside those of testscript.
func (l *lab) commands(t *testing.T) map[string]func(*testscript.TestScript, bool, []string) {
	within := func(ns *netlab.NS) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) { execIn(ts, ns, neg, args) }
	}
	return map[string]func(*testscript.TestScript, bool, []string){
		"symroutectl": symroutectl,             // symroutectl COMMAND ...: exits 0; with "!": exits 1, a problem was found
		"unknown":     unknown,                 // unknown symroutectl COMMAND ...: exits 2, it could not be told
		"pod":         within(l.pod.NS),        // pod COMMAND ...
		"client":      within(l.client),        // client COMMAND ...
		"node":        within(l.node),          // node COMMAND ...
		"gateway-a":   within(l.gateways["a"]), // gateway-a COMMAND ...
		"gateway-b":   within(l.gateways["b"]),
		"attach":      func(ts *testscript.TestScript, neg bool, args []string) { l.attach(t, ts, neg, args) },
		"detach":      func(ts *testscript.TestScript, neg bool, args []string) { l.detach(t, ts, neg, args) },
		"serve":       func(ts *testscript.TestScript, _ bool, args []string) { l.serve(t, ts, args) },
		"talk":        l.talk,
		"lottery":     l.lottery,
		"dadfailed":   func(ts *testscript.TestScript, _ bool, args []string) { l.dadFailed(t, ts, args) },
		"watch":       func(ts *testscript.TestScript, _ bool, args []string) { l.watch(t, ts, args) },
		"watched":     l.watched,
		"flood":       l.flood,
		"agent":       func(ts *testscript.TestScript, _ bool, args []string) { l.startAgent(t, ts, args) },
		"agent-ends":  func(ts *testscript.TestScript, _ bool, _ []string) { l.endAgent(ts) },
		"logged":      func(ts *testscript.TestScript, neg bool, args []string) { l.logged(t, ts, neg, args) },
		"metric":      func(ts *testscript.TestScript, neg bool, args []string) { l.metric(t, ts, neg, args) },
		"get":         func(ts *testscript.TestScript, neg bool, args []string) { l.get(t, ts, neg, args) },
		"vanish":      func(*testscript.TestScript, bool, []string) { l.pod.NS.Vanish(t) }, // the pod's namespace goes
	}
}

// symroutectl runs the command. With "!" it has to find a problem.
func symroutectl(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		exits(ts, 1, args)
	} else {
		exits(ts, 0, args)
	}
}

// unknown runs the command, which has to say that it could not tell.
func unknown(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 || args[0] != "symroutectl" {
		ts.Fatalf("usage: unknown symroutectl ...")
	}
	exits(ts, 2, args[1:])
}

func exits(ts *testscript.TestScript, want int, args []string) {
	err := ts.Exec("symroutectl", args...)
	code := 0
	exit, ok := errors.AsType[*exec.ExitError](err)
	if ok {
		code = exit.ExitCode()
	}
	if err != nil && !ok || code != want {
		ts.Fatalf("symroutectl %s: exit code %d, want %d (%v)", strings.Join(args, " "), code, want, err)
	}
}

// execIn runs a command in a namespace. Its output is there for stdout and stderr.
func execIn(ts *testscript.TestScript, ns *netlab.NS, neg bool, args []string) {
	err := ts.Exec("ip", append([]string{"netns", "exec", ns.Name}, args...)...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	case err == nil && neg:
		ts.Fatalf("%s: unexpected success", strings.Join(args, " "))
	}
}

// attach runs ADD for a NIC: attach NIC ['{"key": "value"}'].
func (l *lab) attach(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	l.call(t, ts, "ADD", neg, args)
}

// detach runs DEL for a NIC: detach NIC ['{"key": "value"}'].
func (l *lab) detach(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	l.call(t, ts, "DEL", neg, args)
}

// call runs the plugin for a NIC as a runtime does after the plugins before it.
func (l *lab) call(t *testing.T, ts *testscript.TestScript, command string, neg bool, args []string) {
	n, ok := find(args)
	if !ok || len(args) > 2 {
		ts.Fatalf("usage: attach|detach eth0|net1 ['{\"key\": \"value\"}']")
	}
	conf := netlab.Object{
		"cniVersion": "1.1.0", "name": "net-of-" + n.name, "type": "symroute", "dataDir": l.dataDir,
		"prevResult": l.result(n),
	}
	if len(args) == 2 {
		if err := json.Unmarshal([]byte(args[1]), &conf); err != nil {
			ts.Fatalf("the keys of %s: %v", args[0], err)
		}
	}
	stdin, err := json.Marshal(conf)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	run := l.node.RunPlugin(t, []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + l.pod.ID, "CNI_NETNS=" + l.pod.NS.Path, "CNI_IFNAME=" + n.name,
		"CNI_PATH=" + netlab.BinDir(t), "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0",
	}, stdin)
	if failed := run.ExitCode != 0; failed != neg {
		ts.Fatalf("%v", run)
	}
}

// find is the NIC that the first argument names.
func find(args []string) (nic, bool) {
	for _, n := range nics {
		if len(args) > 0 && args[0] == n.name {
			return n, true
		}
	}
	return nic{}, false
}

// result is what the plugins before symroute say about a NIC.
func (l *lab) result(n nic) netlab.Object {
	result := netlab.Object{
		"cniVersion": "1.1.0",
		"interfaces": []netlab.Object{{"name": n.name, "sandbox": l.pod.NS.Path}},
		"ips": []netlab.Object{
			{"address": n.pod4, "gateway": n.gateway4, "interface": 0},
			{"address": n.pod6, "gateway": n.gateway6, "interface": 0},
		},
	}
	if n.name == "eth0" {
		result["routes"] = []netlab.Object{{"dst": "0.0.0.0/0"}, {"dst": "::/0"}}
	}
	return result
}

// serve answers by TCP and UDP at an address of the pod for the rest of the script: serve ADDRESS:PORT.
func (l *lab) serve(t *testing.T, ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: serve ADDRESS:PORT")
	}
	l.pod.NS.Echo(t, addrPort(ts, args[0]))
}

// talk lets the client talk to a server of the pod and wants an answer, or with "!" none:
// talk ADDRESS:PORT [udp].
func (l *lab) talk(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: talk ADDRESS:PORT [udp]")
	}
	remote := addrPort(ts, args[0])
	client := netlab.Client{NS: l.client, Source: client4}
	if remote.Addr().Is6() {
		client.Source = client6
	}
	if len(args) == 2 {
		client.Network = args[1]
	}
	if neg {
		client.Timeout = unanswered
	}
	_, err := client.Talk(remote)
	switch {
	case err != nil && !neg:
		ts.Fatalf("%v does not answer: %v", remote, err)
	case err == nil && neg:
		ts.Fatalf("%v answers", remote)
	}
}

// dadFailed waits until duplicate address detection has failed for an address of a NIC: dadfailed NIC.
func (l *lab) dadFailed(t *testing.T, ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: dadfailed NIC")
	}
	netlab.Eventually(t, "duplicate address detection has failed", func() bool {
		return strings.Contains(l.pod.NS.IP(t, "address", "show", "dev", args[0]), "dadfailed")
	})
}

// lottery lets the client talk to a server of the pod many times, and wants some of the conversations to happen and some
// not: lottery ADDRESS:PORT. That all go one way by chance is as good as impossible.
func (l *lab) lottery(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: lottery ADDRESS:PORT")
	}
	const tries = 24
	remote := addrPort(ts, args[0])
	client := netlab.Client{NS: l.client, Source: client4, Timeout: unanswered}
	if remote.Addr().Is6() {
		client.Source = client6
	}
	answers := make(chan error, tries)
	for range tries {
		go func() {
			_, err := client.Talk(remote)
			answers <- err
		}()
	}
	dead := 0
	for range tries {
		if err := <-answers; err != nil {
			dead++
		}
	}
	if dead == 0 || dead == tries {
		ts.Fatalf("%d of %d conversations did not happen", dead, tries)
	}
}

// watch starts a command of symroutectl in the background, and waits until it says that it is watching:
// watch COMMAND ...
func (l *lab) watch(t *testing.T, ts *testscript.TestScript, args []string) {
	w := &watcher{cmd: exec.Command(filepath.Join(netlab.BinDir(t), "symroutectl"), args...)}
	w.cmd.Stdout = &w.output
	stderr, err := w.cmd.StderrPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		ts.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "watching") {
		ts.Logf("%s", lines.Text())
	}
	if lines.Err() != nil || !strings.Contains(lines.Text(), "watching") {
		ts.Fatalf("symroutectl %s does not watch", strings.Join(args, " "))
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	l.watcher = w
}

// watched ends the command of watch by Ctrl-C, and puts what it printed into a file. It has to have found something, or
// with "!" nothing: watched FILE.
func (l *lab) watched(ts *testscript.TestScript, neg bool, args []string) {
	if l.watcher == nil || len(args) != 1 {
		ts.Fatalf("usage: watch COMMAND ..., then watched FILE")
	}
	w := l.watcher
	l.watcher = nil
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		ts.Fatalf("%v", err)
	}
	err := w.cmd.Wait()
	ts.Logf("%s", w.output.String())
	if found := w.cmd.ProcessState.ExitCode(); found != 1 && !neg || found != 0 && neg {
		ts.Fatalf("exit code %d (%v)", found, err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), w.output.Bytes(), 0o600))
}

// flood sends datagrams from the client to an address of the pod: flood ADDRESS:PORT COUNT.
func (l *lab) flood(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flood ADDRESS:PORT COUNT")
	}
	to := addrPort(ts, args[0])
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(l.client.Do(func() error {
		// Not connected, so that answers to the first ones do not end it.
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(client4, 0)))
		if err != nil {
			return err
		}
		defer conn.Close()
		for range count {
			if _, err := conn.WriteToUDPAddrPort([]byte("x"), to); err != nil {
				return err
			}
		}
		return nil
	}))
}

func addrPort(ts *testscript.TestScript, text string) netip.AddrPort {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		ts.Fatalf("%v: write 203.0.113.144:8080 or [2001:db8:b::144]:8080", err)
	}
	return a
}
