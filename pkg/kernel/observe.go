package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/containernetworking/plugins/pkg/utils/sysctl"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

func (n *Namespace) links() ([]fib.Link, error) {
	return dump(n.sock, unix.RTM_GETLINK, wire.EncodeLinkDump(), wire.DecodeLink)
}

// Observe reads the namespace's links, addresses, rules and the main table. Of
// the other tables ReadTables reads what is asked for.
func (n *Namespace) Observe() (*fib.Snapshot, error) {
	s := &fib.Snapshot{}
	// The short answer comes first: before the kernel has seen how much we receive at
	// once it answers in parts of 4 KB, and what comes in parts is read twice
	// (netlink_recvmsg, max_recvmsg_len). The links of a pod with four NICs have more.
	err := n.readRPFilter(s)
	if err != nil {
		return nil, err
	}
	if s.Links, err = n.links(); err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	if s.Addresses, err = dump(n.sock, unix.RTM_GETADDR, wire.EncodeAddressDump(), wire.DecodeAddress); err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, f := range fib.Families() {
		rules, err := n.rules(f)
		if err != nil {
			return nil, err
		}
		s.Rules = append(s.Rules, rules...)
	}
	if err := n.ReadTables(s, unix.RT_TABLE_MAIN); err != nil {
		return nil, err
	}
	s.Routes = n.hopByHop(s.Routes)
	return s, nil
}

// hopByHop takes the merged IPv6 defaults of main apart. The dump of such a route tells the
// attributes of its first hop only (rt6_fill_node); those of another the kernel tells when it
// is asked for the route by that device.
func (n *Namespace) hopByHop(routes []fib.Route) []fib.Route {
	var out []fib.Route
	for _, r := range routes {
		if r.Family == fib.V6 && r.IsDefault() && len(r.Hops) > 1 {
			out = append(out, n.ownAttributes(fib.Hops([]fib.Route{r}))...)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Questions for the hops of one merged route. That 32 places all go by others of two hops is as
// good as impossible.
const (
	placesPerHop = 32
	mostPlaces   = 1024
)

// ownAttributes asks for the hops' own attributes: by their devices, where rules do not lead
// such a question to another table, as they do for the NIC of an attachment; and else for one
// place after the other, which the kernel spreads over the hops (fib6_select_path). Those of one
// that it never chooses stay those of the first.
func (n *Namespace) ownAttributes(hops []fib.Route) []fib.Route {
	own := map[way]fib.Route{wayOf(hops[0]): hops[0]}
	ask := func(questions ...fib.Query) (found bool) {
		for _, answer := range n.Ask(questions...) {
			if answer.Err != nil || !answer.Route.SamePlace(hops[0]) {
				continue
			}
			found = true
			if w := wayOf(answer.Route); own[w].Hops == nil {
				own[w] = answer.Route
			}
		}
		return found
	}
	for _, to := range fib.OffLink(fib.V6) {
		found, asked := false, map[int]bool{}
		for _, hop := range hops[1:] {
			if w := wayOf(hop); own[w].Hops == nil && !asked[w.index] {
				asked[w.index] = true
				found = ask(fib.Query{To: to, OIF: w.index, Whole: true}) || found
			}
		}
		if left := len(hops) - len(own); left > 0 {
			found = ask(places(to, min(left*placesPerHop, mostPlaces))...) || found
		}
		if found {
			break
		}
	}
	for i, hop := range hops {
		if mine, ok := own[wayOf(hop)]; ok {
			mine.Hops = hop.Hops
			hops[i] = mine
		}
	}
	return hops
}

// way is by what the kernel tells the hops of an IPv6 route apart (rt6_duplicate_nexthop).
type way struct {
	gateway netip.Addr
	index   int
}

func wayOf(hop fib.Route) way { return way{hop.Hops[0].Gateway, hop.Hops[0].Index} }

// places are questions for so many addresses behind one.
func places(to netip.Addr, count int) []fib.Query {
	questions := make([]fib.Query, count)
	for i := range questions {
		to = to.Next()
		questions[i] = fib.Query{To: to, Whole: true}
	}
	return questions
}

// readRPFilter adds conf/all/rp_filter and conf/default/rp_filter to a snapshot. They
// are the ones that netlink tells of: a dump takes two or three system calls, two files
// in /proc/sys six, and the kernel makes their entries anew in each new namespace.
func (n *Namespace) readRPFilter(s *fib.Snapshot) error {
	confs, err := dump(n.sock, unix.RTM_GETNETCONF, wire.EncodeConfDump(), wire.DecodeConf)
	if err != nil {
		return fmt.Errorf("list settings: %w", err)
	}
	for _, c := range confs {
		switch c.Index {
		case wire.AllDevices:
			s.All.RPFilter = c.RPFilter
		case wire.DefaultDevice:
			s.Default.RPFilter = c.RPFilter
		}
	}
	return nil
}

// ReadARP adds to a snapshot the settings for ARP of conf/all and conf/default.
func (n *Namespace) ReadARP(s *fib.Snapshot) (err error) {
	for _, key := range []string{fib.ARPIgnore, fib.ARPAnnounce} {
		if *s.All.At(key), err = readSetting("all", key); err != nil {
			return err
		}
		if *s.Default.At(key), err = readSetting("default", key); err != nil {
			return err
		}
	}
	return nil
}

// ReadTables adds the routes of tables to a snapshot, in the place of what it has of them.
func (n *Namespace) ReadTables(s *fib.Snapshot, tables ...uint32) error {
	read := map[uint32]bool{}
	for _, table := range tables {
		read[table] = true
	}
	s.Routes = slices.DeleteFunc(s.Routes, func(r fib.Route) bool { return read[r.Table] })
	for _, table := range tables {
		routes, err := n.Table(table)
		if err != nil {
			return err
		}
		s.NameHops(routes)
		s.Routes = append(s.Routes, routes...)
	}
	return nil
}

// Table reads the routes of a table, both families.
func (n *Namespace) Table(table uint32) ([]fib.Route, error) {
	var out []fib.Route
	for _, f := range fib.Families() {
		routes, err := n.routes(f, table)
		if err != nil {
			return nil, err
		}
		out = append(out, routes...)
	}
	return out, nil
}

// AllRoutes reads the routes of all tables, both families.
func (n *Namespace) AllRoutes() ([]fib.Route, error) { return n.Table(unix.RT_TABLE_UNSPEC) }

func (n *Namespace) rules(f fib.Family) ([]fib.Rule, error) {
	rules, err := dump(n.sock, unix.RTM_GETRULE, wire.EncodeRuleDump(f), wire.DecodeRule)
	if noFamily(f, err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s rules: %w", f, err)
	}
	// A kernel without the family answers with everybody's.
	return slices.DeleteFunc(rules, func(r fib.Rule) bool { return r.Family != f }), nil
}

func (n *Namespace) routes(f fib.Family, table uint32) ([]fib.Route, error) {
	routes, err := dump(n.sock, unix.RTM_GETROUTE, wire.EncodeRouteDump(f, table), wire.DecodeRoute)
	if errors.Is(err, unix.ENOENT) || noFamily(f, err) { // a strict dump of a table that does not exist
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s routes of table %s: %w", f, fib.TableText(table), err)
	}
	// A kernel before 4.20 sends all tables.
	return slices.DeleteFunc(routes, func(r fib.Route) bool { return r.Family != f || table != unix.RT_TABLE_UNSPEC && r.Table != table }), nil
}

// noFamily reports whether a kernel without IPv6 said so.
func noFamily(f fib.Family, err error) bool {
	return f == fib.V6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP))
}

func dump[T any](s *socket, kind uint16, payload []byte, decode func([]byte) (T, error)) ([]T, error) {
	messages, err := s.dump(kind, payload)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(messages))
	for _, m := range messages {
		x, err := decode(m)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// Ask asks the kernel how it would route packets, and returns its answers in the order
// of the questions. A refusal is the errno that the packet's sender would see.
func (n *Namespace) Ask(questions ...fib.Query) []fib.Answer {
	payloads := make([][]byte, len(questions))
	for i, q := range questions {
		payloads[i] = wire.EncodeQuery(q)
	}
	answers := make([]fib.Answer, len(questions))
	for i, r := range n.sock.ask(unix.RTM_GETROUTE, payloads...) {
		if answers[i].Err = r.err; r.err == nil {
			answers[i].Route, answers[i].Err = wire.DecodeRoute(r.payload)
		}
	}
	return answers
}

// PolicyRouting reports whether the kernel has policy routing at all, in
// whichever namespace the caller is.
func PolicyRouting() error {
	s, err := openSocket(patience)
	if err != nil {
		return err
	}
	defer s.close()
	rules, err := dump(s, unix.RTM_GETRULE, wire.EncodeRuleDump(fib.V4), wire.DecodeRule)
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	if len(rules) == 0 {
		return errors.New("the kernel has no rules: it was built without CONFIG_IP_MULTIPLE_TABLES")
	}
	return nil
}

// Capable reports whether this process may do what it has to: change a pod's network
// (CAP_NET_ADMIN) and enter its namespace (CAP_SYS_ADMIN, setns(2)).
func Capable() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read our capabilities: %w", err)
	}
	for _, c := range []struct {
		number int
		name   string
	}{{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}} {
		if data[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			return fmt.Errorf("it lacks %s", c.name)
		}
	}
	return nil
}

func readSetting(device, key string) (int, error) {
	text, err := sysctl.Sysctl(fib.SettingPath(device, key))
	if err != nil {
		return 0, fmt.Errorf("read a setting: %w", err)
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", fib.SettingPath(device, key), err)
	}
	return v, nil
}
