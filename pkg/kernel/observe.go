package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/containernetworking/plugins/pkg/utils/sysctl"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

func (n *Namespace) links() ([]fib.Link, error) {
	return dump(n.sock, unix.RTM_GETLINK, fib.EncodeLinkDump(), fib.DecodeLink)
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
	if s.Addresses, err = dump(n.sock, unix.RTM_GETADDR, fib.EncodeAddressDump(), fib.DecodeAddress); err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, f := range fib.Families() {
		rules, err := n.rules(f)
		if err != nil {
			return nil, err
		}
		s.Rules = append(s.Rules, rules...)
	}
	return s, n.ReadTables(s, unix.RT_TABLE_MAIN)
}

// readRPFilter adds conf/all/rp_filter and conf/default/rp_filter to a snapshot. They
// are the ones that netlink tells of: a dump takes two or three system calls, two files
// in /proc/sys six, and the kernel makes their entries anew in each new namespace.
func (n *Namespace) readRPFilter(s *fib.Snapshot) error {
	confs, err := dump(n.sock, unix.RTM_GETNETCONF, fib.EncodeConfDump(), fib.DecodeConf)
	if err != nil {
		return fmt.Errorf("list settings: %w", err)
	}
	for _, c := range confs {
		switch c.Index {
		case fib.AllDevices:
			s.All.RPFilter = c.RPFilter
		case fib.DefaultDevice:
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

// ReadTables adds the routes of tables to a snapshot.
func (n *Namespace) ReadTables(s *fib.Snapshot, tables ...uint32) error {
	for _, table := range tables {
		for _, f := range fib.Families() {
			routes, err := n.routes(f, table)
			if err != nil {
				return err
			}
			s.NameHops(routes)
			s.Routes = append(s.Routes, routes...)
		}
	}
	return nil
}

// Vacant reports whether a table holds no route of either family.
func (n *Namespace) Vacant(table uint32) (bool, error) {
	for _, f := range fib.Families() {
		routes, err := n.routes(f, table)
		if err != nil || len(routes) > 0 {
			return false, err
		}
	}
	return true, nil
}

func (n *Namespace) rules(f fib.Family) ([]fib.Rule, error) {
	rules, err := dump(n.sock, unix.RTM_GETRULE, fib.EncodeRuleDump(f), fib.DecodeRule)
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
	routes, err := dump(n.sock, unix.RTM_GETROUTE, fib.EncodeRouteDump(f, table), fib.DecodeRoute)
	if errors.Is(err, unix.ENOENT) || noFamily(f, err) { // a strict dump of a table that does not exist
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s routes of table %s: %w", f, fib.TableText(table), err)
	}
	// A kernel before 4.20 sends all tables.
	return slices.DeleteFunc(routes, func(r fib.Route) bool { return r.Family != f || r.Table != table }), nil
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
		payloads[i] = fib.EncodeQuery(q)
	}
	answers := make([]fib.Answer, len(questions))
	for i, r := range n.sock.ask(unix.RTM_GETROUTE, payloads...) {
		if answers[i].Err = r.err; r.err == nil {
			answers[i].Route, answers[i].Err = fib.DecodeRoute(r.payload)
		}
	}
	return answers
}

// PolicyRouting reports whether the kernel has policy routing at all, in
// whichever namespace the caller is.
func PolicyRouting() error {
	s, err := openSocket()
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // it was only read from
	rules, err := dump(s, unix.RTM_GETRULE, fib.EncodeRuleDump(fib.V4), fib.DecodeRule)
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	if len(rules) == 0 {
		return errors.New("the kernel has no rules: it was built without CONFIG_IP_MULTIPLE_TABLES")
	}
	return nil
}

// setting is the name of a device's IPv4 setting. /proc/sys/net shows the
// namespace of the thread that opens it.
func setting(device, key string) string { return "net/ipv4/conf/" + device + "/" + key }

func readSetting(device, key string) (int, error) {
	text, err := sysctl.Sysctl(setting(device, key))
	if err != nil {
		return 0, fmt.Errorf("read a setting: %w", err)
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", setting(device, key), err)
	}
	return v, nil
}
