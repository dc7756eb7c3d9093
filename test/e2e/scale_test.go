package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestCrowdedPod attaches 32 NICs of one pod at the same moment, checks them and
// detaches them: nobody's table, rule or setting gets lost, and the pod becomes
// what it becomes when one comes after the other. (With -short: 8 NICs.)
func TestCrowdedPod(t *testing.T) {
	t.Parallel()
	size := 32
	if testing.Short() {
		size = 8
	}
	nics := crowd(size)
	b := newBench(t, append([]nic{eth0}, nics...)...)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2", "net/ipv4/conf/default/rp_filter=1")
	var all []attachment
	for i, n := range nics {
		all = append(all, b.attach(n, crowdKeys(i)))
	}
	stay, leave := all[:len(all)/2], all[len(all)/2:]
	before := b.pod.NS.Snapshot(t)
	assertEmpty := func(t *testing.T) {
		t.Helper()
		assertSame(t, "ADDs and DELs changed the pod", before, b.pod.NS.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	}

	oneByOne(t, "ADD", all)
	assertCrowd(t, b.pod.NS, nics)
	wantAll := b.byOwner(t)
	oneByOne(t, "DEL", leave)
	wantHalf := b.byOwner(t)
	oneByOne(t, "DEL", stay)
	assertEmpty(t)

	t.Run("all come at once, and all leave at once", func(t *testing.T) {
		b.atOnce(t, commands("ADD", all))
		assertCrowd(t, b.pod.NS, nics)
		assertSame(t, "ADDs at once do something else than ADDs one by one", wantAll, b.byOwner(t))
		b.atOnce(t, commands("CHECK", all))
		b.atOnce(t, commands("DEL", all))
		assertEmpty(t)
	})
	t.Run("half of them come while the other half leaves", func(t *testing.T) {
		oneByOne(t, "ADD", leave)
		b.atOnce(t, slices.Concat(commands("ADD", stay), commands("DEL", leave)))
		assertSame(t, "the pod is another than without those who left", wantHalf, b.byOwner(t))
		b.atOnce(t, slices.Concat(commands("CHECK", stay), commands("DEL", leave)))
		b.atOnce(t, commands("DEL", stay))
		assertEmpty(t)
	})
}

// TestOneAttachmentAtOnce has a runtime that calls twice for the same attachment,
// or that gives up an ADD and calls DEL while it is still running. The pod
// ends as one call after the other would leave it.
func TestOneAttachmentAtOnce(t *testing.T) {
	t.Parallel()
	b, a := faultBench(t)
	before := b.pod.NS.Snapshot(t)
	a.must(t, "ADD")
	added := b.pod.NS.Snapshot(t)
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	add, del := command{a, "ADD"}, command{a, "DEL"}

	t.Run("two ADDs are one", func(t *testing.T) {
		calls := b.atOnce(t, []command{add, add})
		assertSame(t, "two ADDs do something else than one", added, b.pod.NS.Snapshot(t))
		if !bytes.Equal(calls[0].Stdout, calls[1].Stdout) {
			t.Errorf("results differ:\n%s\n%s", calls[0].Stdout, calls[1].Stdout)
		}
		a.must(t, "CHECK")
	})
	t.Run("two DELs are one", func(t *testing.T) {
		a.must(t, "ADD")
		b.atOnce(t, []command{del, del})
		assertSame(t, "ADD and two DELs changed the pod", before, b.pod.NS.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	})
	t.Run("ADD and DEL leave all or nothing", func(t *testing.T) {
		var attached, detached int
		for round := range 20 {
			if round%2 == 1 { // every other time it is there already
				a.must(t, "ADD")
			}
			b.atOnce(t, []command{add, del})
			if len(files(t, b.dataDir)) > 0 {
				attached++
				assertSame(t, "after DEL and ADD the pod is another than after ADD", added, b.pod.NS.Snapshot(t))
				a.must(t, "CHECK")
				a.must(t, "DEL")
			} else {
				detached++
			}
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		}
		t.Logf("ADD came last %d times, DEL %d times", attached, detached)
	})
}

// crowd lists the NICs of a pod that hangs on many networks. IPAM installs
// defaults for two of them.
func crowd(size int) []nic {
	var nics []nic
	for i := range size {
		p := newProvider(fmt.Sprint(i), fmt.Sprintf("10.%d.0.2/24", i), fmt.Sprintf("2001:db8:%d::2/64", i))
		n := p.nic(fmt.Sprintf("net%d", i))
		n.defaults = i == 1 || i == 2
		nics = append(nics, n)
	}
	return nics
}

// crowdModes are the reverse-path filter modes that the crowd's NICs want in
// turn, as the configuration and the kernel call them.
func crowdModes(i int) (mode, value string) {
	return []string{"strict", "loose", "off"}[i%3], []string{"1", "2", "0"}[i%3]
}

// crowdKeys is the configuration of the crowd's NIC number i: neighbours want
// different things of the settings and of the main table that they share.
func crowdKeys(i int) netlab.Object {
	mode, _ := crowdModes(i)
	keys := netlab.Object{"rpFilter": mode}
	if i%4 == 0 {
		keys["arp"] = "isolate"
	}
	if owner, ok := map[int]string{0: "take", 1: "yield", 2: "keep"}[i]; ok {
		keys["mainDefault"] = owner
	}
	return keys
}

// assertCrowd demands that every NIC of the crowd has what its attachment wants.
func assertCrowd(t *testing.T, pod *netlab.NS, nics []nic) {
	t.Helper()
	for i, n := range nics {
		_, mode := crowdModes(i)
		assertEffective(t, pod, n.name, mode)
		for j, remote := range clients {
			local, gateway := netip.MustParsePrefix(n.addresses[j]).Addr(), netip.MustParseAddr(n.gateways[j])
			assertRoute(t, pod, n.name, gateway, remote, "from", local.String())
		}
	}
	for j, remote := range clients {
		assertRoute(t, pod, nics[0].name, netip.MustParseAddr(nics[0].gateways[j]), remote) // it takes the default
	}
	assertEffective(t, pod, "eth0", "2")
	assertEffective(t, pod, "lo", "2")
}

// command is one invocation for an attachment.
type command struct {
	attachment
	verb string
}

// commands is the same verb for each attachment.
func commands(verb string, attachments []attachment) []command {
	var list []command
	for _, a := range attachments {
		list = append(list, command{a, verb})
	}
	return list
}

// oneByOne runs a verb that has to succeed for one attachment after the other.
func oneByOne(t *testing.T, verb string, attachments []attachment) {
	t.Helper()
	for _, a := range attachments {
		a.must(t, verb)
	}
}

// atOnce runs commands that have to succeed, all at the same time. Another invocation, which
// has nothing to do, holds the lock of the pod until all of them wait for it: so they do run
// at the same time, and each may be the next.
func (b *bench) atOnce(t *testing.T, list []command) []netlab.Invocation {
	t.Helper()
	var wait sync.WaitGroup
	defer wait.Wait() // after the lock is gone, even where the test ends here
	holder := list[0].holdLock(t)
	calls := make([]netlab.Invocation, len(list))
	for i, c := range list {
		wait.Go(func() { calls[i] = c.run(t, c.verb) })
	}
	// The holder stands at the end of the call by which the others wait.
	netlab.Eventually(t, "every invocation waits for the lock", func() bool { return waiting(t, holder.lock) == 1+len(list) })
	holder.goOn()
	wait.Wait()
	for i, call := range calls {
		if call.Failed(t) != nil {
			t.Errorf("%s of %s failed\n%v", list[i].verb, list[i].nic, call)
		}
	}
	return calls
}

// waiting counts the threads that are in a call which locks a file: those that wait. Before Linux 5.13
// /proc/locks does not show those that wait behind another one.
func waiting(t *testing.T, inode uint64) int {
	t.Helper()
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, thread := range threads {
		call, err := os.ReadFile(filepath.Join(thread, "syscall")) // "73 0x3 0x2 ...", or "running"
		if err != nil {
			continue // it has ended
		}
		var number, fd int
		if _, err := fmt.Sscanf(string(call), "%d 0x%x", &number, &fd); err != nil || number != unix.SYS_FLOCK {
			continue
		}
		var file unix.Stat_t
		if unix.Stat(filepath.Join(thread, "fd", fmt.Sprint(fd)), &file) == nil && file.Ino == inode {
			count++
		}
	}
	return count
}

var (
	ownerRule   = regexp.MustCompile(`^(\d+): from all oif (\S+) lookup (\d+)$`)
	tableNumber = regexp.MustCompile(`\b(lookup|table) (\d+)\b`)
)

// byOwner is a snapshot of the pod without what depends on who came first: a
// table is called after its NIC instead of its number, and the order of lines
// does not count.
//
// One thing more depends on it: who takes the default gives a NIC that loses it
// a table, unless the NIC's own attachment was there before. Such a second table
// of a NIC in the crowd is left out. So are the refusals of addresses whose attachment has
// left: DEL expects their NIC to go, and here it stays.
func (b *bench) byOwner(t *testing.T) netlab.Snapshot {
	t.Helper()
	names, displaced := map[string]string{}, map[string]bool{}
	for _, rule := range ourRules(t, b.pod.NS, "-4") {
		if found := ownerRule.FindStringSubmatch(rule); found != nil {
			names[found[3]] = found[2]
			displaced[found[3]] = found[1] == "49001"
		}
	}
	second := func(number string) bool { return displaced[number] && names[number] != eth0.name }
	named := netlab.Snapshot{}
	for part, lines := range b.pod.NS.Snapshot(t) {
		for _, line := range lines {
			found := tableNumber.FindStringSubmatch(line)
			if found != nil && second(found[2]) || strings.HasPrefix(line, "49998:") {
				continue
			}
			if found != nil && names[found[2]] != "" {
				line = strings.Replace(line, found[0], found[1]+" of "+names[found[2]], 1)
			}
			named[part] = append(named[part], line)
		}
	}
	return named.Sorted()
}

// TestFleet runs a node with 200 pods, four NICs each, and up to 16 plugins at a
// time in one data directory: real conflists, and a runtime that collects
// garbage while pods come and go. Every pod gets what is right for it, nobody
// loses anything to a neighbour, and nothing is left when they have gone. (With
// -short: 20 pods.)
//
// It does not run beside other tests: it would starve them.
func TestFleet(t *testing.T) {
	size := 200
	if testing.Short() {
		size = 20
	}
	f := newFleet(t, size)
	node := f.node.Snapshot(t)
	before := map[*fleetPod]netlab.Snapshot{} // of a sample
	var leave, vanish, stay []*fleetPod
	for i, p := range f.pods {
		if i%20 < 2 {
			before[p] = p.NS.Snapshot(t)
		}
		switch i % 4 {
		case 0:
			leave = append(leave, p)
		case 2:
			vanish = append(vanish, p)
		default:
			stay = append(stay, p)
		}
	}
	dead := f.withoutDel(t, size/20)

	t.Run("all come, and garbage is collected meanwhile", func(t *testing.T) {
		f.collectWhile(t, f.pods, func() {
			f.atATime(f.pods, func(p *fleetPod) { f.attach(t, p) })
		})
		f.collect(t, f.pods)
		f.assertRemembered(t, f.pods)
		for _, p := range f.pods {
			f.assertRight(t, p)
		}
		if got, want := len(f.leases(t)), (len(f.pods)+len(dead))*len(f.networks)*len(families); got != want {
			t.Errorf("%d addresses are leased, want %d", got, want)
		}
	})
	if t.Failed() {
		return // what follows would only repeat it, 200 times
	}
	t.Run("half of them leave, some without their namespace, and the others stay right", func(t *testing.T) {
		f.collectWhile(t, stay, func() {
			f.atATime(f.pods, func(p *fleetPod) {
				switch {
				case slices.Contains(leave, p):
					f.detach(t, p, p.NS.Path)
				case slices.Contains(vanish, p):
					p.NS.Vanish(t)
					f.detach(t, p, "")
				default:
					f.check(t, p)
				}
			})
		})
		f.assertRemembered(t, stay)
		for _, p := range stay {
			f.assertRight(t, p)
		}
	})
	t.Run("the others leave, and nothing is left", func(t *testing.T) {
		f.atATime(stay, func(p *fleetPod) { f.detach(t, p, p.NS.Path) })
		f.atATime(dead, func(p *fleetPod) { f.detach(t, p, "") })
		if left, err := os.ReadDir(f.dataDir); err != nil || len(left) > 0 { // not even empty folders
			t.Errorf("dataDir holds %v, %v", left, err)
		}
		assertLines(t, "leases", nil, f.leases(t))
		for _, p := range stay {
			for _, family := range families {
				assertLines(t, "rules of "+p.ID, nil, ourRules(t, p.NS, family))
			}
		}
		for p, was := range before {
			assertSame(t, "ADDs and DELs changed the pod "+p.ID, was, p.NS.Snapshot(t))
		}
		assertSame(t, "ADDs and DELs changed the node", node, f.node.Snapshot(t))
	})
}

// fleet is a node with many pods, each of them on all of its networks.
type fleet struct {
	node     *netlab.NS
	runtime  *netlab.Runtime
	dataDir  string // of symroute
	ipamDir  string // of host-local
	networks []fleetNetwork
	pods     []*fleetPod
}

// fleetNetwork is a network of the fleet and the NIC that it gives a pod.
type fleetNetwork struct {
	name, nic string
	list      netlab.Conflist
	gateways  []netip.Addr // by family, as clients
	mode      string       // the reverse-path filter that the kernel shall apply
	takes     bool         // the default route
}

// fleetPod is a pod of the fleet.
type fleetPod struct {
	*netlab.Pod
	// addresses are what IPAM gave its NICs, in the order of the networks.
	addresses [][]netip.Addr
}

// newFleet makes a node and pods without any NIC. Each pod inherits a loose
// conf/all, which some networks have to lower.
func newFleet(t *testing.T, pods int) *fleet {
	t.Helper()
	node := netlab.New(t, "node")
	f := &fleet{
		node:    node,
		runtime: netlab.NewRuntime(t, node),
		dataDir: filepath.Join(t.TempDir(), "symroute"),
		ipamDir: t.TempDir(),
	}
	wire := netlab.New(t, "wire")
	for _, network := range []struct {
		nic, mode string
		keys      netlab.Object
	}{
		{"eth0", "1", netlab.Object{"rpFilter": "strict"}},
		{"net1", "0", netlab.Object{"rpFilter": "off", "arp": "isolate"}},
		{"net2", "2", netlab.Object{"mainDefault": "take"}},
		{"net3", "1", netlab.Object{"rpFilter": "strict"}},
	} {
		f.connect(t, wire, network.nic, network.mode, network.keys)
	}
	for range pods {
		f.pods = append(f.pods, newFleetPod(t))
	}
	return f
}

func newFleetPod(t *testing.T) *fleetPod {
	t.Helper()
	p := &fleetPod{Pod: netlab.NewPod(t)}
	p.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	return p
}

// connect adds a network of macvlan devices, whose default routes all pods get.
func (f *fleet) connect(t *testing.T, wire *netlab.NS, nic, mode string, keys netlab.Object) {
	t.Helper()
	i := len(f.networks)
	link, gateway4, gateway6 := "up-"+nic, fmt.Sprintf("10.%d.0.1", i), fmt.Sprintf("2001:db8:%d::1", i)
	netlab.Cable(t, netlab.Port{NS: f.node, Link: link}, netlab.Port{NS: wire, Link: link})
	macvlan := netlab.MacvlanPlugin(link, netlab.HostLocal(f.ipamDir, []netlab.Range{
		{Subnet: fmt.Sprintf("10.%d.0.0/16", i), Gateway: gateway4},
		{Subnet: fmt.Sprintf("2001:db8:%d::/64", i), Gateway: gateway6},
	}, defaults...))
	macvlan["mode"] = "private" // a broadcast need not reach 200 pods
	symroute := netlab.Object{"type": "symroute", "dataDir": f.dataDir}
	for key, value := range keys {
		symroute[key] = value
	}
	name := "fleet-" + nic
	f.networks = append(f.networks, fleetNetwork{
		name:     name,
		nic:      nic,
		list:     netlab.NewConflist(name, cniVersion, macvlan, symroute),
		gateways: []netip.Addr{netip.MustParseAddr(gateway4), netip.MustParseAddr(gateway6)},
		mode:     mode,
		takes:    keys["mainDefault"] == "take",
	})
}

// atATime does something with each pod, with 16 of them at a time.
func (f *fleet) atATime(pods []*fleetPod, do func(*fleetPod)) {
	queue := make(chan *fleetPod)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for p := range queue {
				do(p)
			}
		})
	}
	for _, p := range pods {
		queue <- p
	}
	close(queue)
	wait.Wait()
}

// attach gives a pod its NICs, one after the other, as a runtime does.
func (f *fleet) attach(t *testing.T, p *fleetPod) {
	for _, network := range f.networks {
		result, err := f.runtime.Add(network.list, p.Pod, network.nic)
		if err != nil {
			t.Errorf("ADD of %s of %s: %v", network.nic, p.ID, err)
			return
		}
		var addresses []netip.Addr
		for _, ip := range result.IPs {
			address, _ := netip.AddrFromSlice(ip.Address.IP)
			addresses = append(addresses, address.Unmap())
		}
		p.addresses = append(p.addresses, addresses)
	}
}

func (f *fleet) check(t *testing.T, p *fleetPod) {
	for _, network := range f.networks {
		f.runtime.MustCheck(t, network.list, p.Pod, network.nic)
	}
}

// detach takes a pod's NICs away, the last one first.
func (f *fleet) detach(t *testing.T, p *fleetPod, netns string) {
	for _, network := range slices.Backward(f.networks) {
		if err := f.runtime.DelAt(network.list, p.Pod, network.nic, netns); err != nil {
			t.Errorf("DEL of %s of %s at %q: %v", network.nic, p.ID, netns, err)
		}
	}
}

// withoutDel makes pods that die after ADD, and that no DEL has come for.
func (f *fleet) withoutDel(t *testing.T, pods int) []*fleetPod {
	t.Helper()
	var dead []*fleetPod
	for range pods {
		p := newFleetPod(t)
		f.attach(t, p)
		p.NS.Vanish(t)
		dead = append(dead, p)
	}
	f.assertRemembered(t, dead)
	return dead
}

// collectWhile collects garbage again and again as long as work is done. In
// turn the runtime lists these pods as valid, and, as if it had made its list
// before any of them came, none: what is alive is kept all the same.
func (f *fleet) collectWhile(t *testing.T, valid []*fleetPod, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	defer func() { <-done }() // even where the test ends here
	for turn := 0; ; turn++ {
		f.collect(t, [][]*fleetPod{valid, nil}[turn%2])
		select {
		case <-done:
			t.Logf("garbage was collected %d times", turn+1)
			return
		default:
		}
	}
}

// collect runs symroute's GC for each network.
func (f *fleet) collect(t *testing.T, valid []*fleetPod) {
	t.Helper()
	for _, network := range f.networks {
		list := []types.GCAttachment{}
		for _, p := range valid {
			list = append(list, types.GCAttachment{ContainerID: p.ID, IfName: network.nic})
		}
		gc := attachment{node: f.node, conf: netlab.Object{
			"cniVersion":                cniVersion,
			"name":                      network.name,
			"type":                      "symroute",
			"dataDir":                   f.dataDir,
			"cni.dev/valid-attachments": list,
		}}
		gc.must(t, "GC")
	}
}

// assertRemembered demands one file in dataDir for each attachment of these
// pods, and no other.
func (f *fleet) assertRemembered(t *testing.T, pods []*fleetPod) {
	t.Helper()
	var want, got []string
	for _, p := range pods {
		for _, network := range f.networks {
			want = append(want, p.ID+" "+network.nic)
		}
	}
	for _, file := range files(t, f.dataDir) {
		parts := strings.Split(filepath.Base(file), ":") // ID:NIC:NETWORK.json
		got = append(got, strings.Join(parts[:min(2, len(parts))], " "))
	}
	slices.Sort(want)
	slices.Sort(got)
	assertLines(t, "remembered attachments", want, got)
}

// assertRight holds a pod with all its NICs to what the design says: rules,
// reverse-path filters, and who has the default route.
func (f *fleet) assertRight(t *testing.T, p *fleetPod) {
	t.Helper()
	for j, family := range families {
		want, fallback := []string{"40000: from all nop"}, 49999
		for i, network := range f.networks {
			number := fmt.Sprint(7300 + i)
			rules := rulesOf(network.nic, number, p.addresses[i][j].String())
			want = append(want, slices.DeleteFunc(rules, func(rule string) bool { return rule == want[0] })...)
			if network.takes {
				assertRoute(t, p.NS, network.nic, network.gateways[j], clients[j])
				continue
			}
			want = append(want, fmt.Sprintf("%d: from all lookup %s", fallback, number))
			fallback++
		}
		assertRules(t, p.NS, family, want)
	}
	for _, network := range f.networks {
		assertEffective(t, p.NS, network.nic, network.mode)
	}
	assertEffective(t, p.NS, "lo", "2")
}

// leases lists what host-local has given out.
func (f *fleet) leases(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, f.ipamDir), func(file string) bool {
		_, err := netip.ParseAddr(filepath.Base(file))
		return err != nil // its lock, and the last address that it gave
	})
}
