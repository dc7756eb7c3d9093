package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

// Apply carries out one change and returns the change that takes it back. The
// undo is also returned with an error after which the kernel may have carried
// the change out all the same; otherwise an error means that nothing was done.
func (n *Namespace) Apply(c change.Change) (undo change.Change, err error) {
	err = n.apply(c)
	switch {
	case err == nil:
		return c.Inverse(), nil
	case errors.Is(err, ErrNoAnswer), errors.Is(err, errPartly):
		return c.Inverse(), fmt.Errorf("%s: %w", c, err)
	}
	return nil, fmt.Errorf("%s: %w", c, err)
}

// errPartly marks the failure of a change that takes several steps after the
// first of them.
var errPartly = errors.New("done in part")

// ErrNoReturn is wrapped by the error of a Revert that can never succeed: what
// it would bring back has lost its ground, such as the subnet of a gateway.
var ErrNoReturn = errors.New("cannot be brought back")

// Revert carries out a change that takes something back. What is already so,
// or whose interface has gone, is done. It returns ErrNoReturn where trying
// again would not help.
func (n *Namespace) Revert(c change.Change) error {
	err := n.revert(c)
	switch {
	case err == nil, alreadySo(c, err):
		return nil
	case groundless(c, err):
		return fmt.Errorf("%w: %s: %w", ErrNoReturn, c, err)
	}
	return fmt.Errorf("%s: %w", c, err)
}

func (n *Namespace) revert(c change.Change) error {
	if del, ok := c.(change.DelFromMain); ok {
		return n.delFromMainAgain(del.Route)
	}
	return n.apply(c)
}

// groundless tells the refusals of what would be brought back, a route or a setting: by an
// errno that says that its ground is gone (the subnet of its gateway, the link, IPv6 on the
// device, a file that may be written). Only what may succeed another time is an error of DEL.
func groundless(c change.Change, err error) bool {
	_, refusal := errors.AsType[unix.Errno](err)
	switch c.(type) {
	case change.AddRoute, change.ReplaceRoute, change.AddToMain:
		return refusal && !errors.Is(err, unix.EPERM)
	case change.Set:
		return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EINVAL)
	}
	return false
}

func alreadySo(c change.Change, err error) bool {
	switch c.(type) {
	case change.AddRule, change.AddRoute, change.ReplaceRoute, change.AddToMain:
		return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV)
	case change.DelRule:
		return errors.Is(err, unix.ENOENT)
	case change.DelRoute, change.DelFromMain:
		return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || gone(err)
	case change.Set:
		return errors.Is(err, fs.ErrNotExist)
	case change.AddAddress:
		return errors.Is(err, unix.EEXIST) || gone(err)
	case change.DelAddress:
		return errors.Is(err, unix.EADDRNOTAVAIL) || gone(err)
	case change.MakeLink:
		return errors.Is(err, unix.EEXIST)
	case change.DelLink, change.SetLink:
		return gone(err)
	}
	return false
}

// gone tells that an interface went away, or down, which takes its routes along.
func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN)
}

func (n *Namespace) apply(c change.Change) error {
	switch c := c.(type) {
	case change.AddRule:
		return n.do(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, wire.EncodeRule(c.Rule))
	case change.DelRule:
		return n.do(unix.RTM_DELRULE, 0, wire.EncodeRule(c.Rule))
	case change.AddRoute:
		return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, wire.EncodeRoute(c.Route))
	case change.ReplaceRoute:
		return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, wire.EncodeRoute(c.Route))
	case change.DelRoute:
		return n.do(unix.RTM_DELROUTE, 0, wire.EncodeRouteDeletion(c.Route))
	case change.DelFromMain:
		return n.delFromMain(c.Route)
	case change.AddToMain:
		return n.addToMain(c.Route)
	case change.Set:
		return n.set(c)
	case change.AddAddress:
		return n.addAddress(c.Address)
	case change.DelAddress:
		return n.do(unix.RTM_DELADDR, 0, wire.EncodeAddress(c.Address))
	case change.MakeLink:
		return n.makeLink(c)
	case change.DelLink:
		return n.do(unix.RTM_DELLINK, 0, wire.EncodeLinkDeletion(c.Index))
	case change.SetLink:
		return n.do(unix.RTM_NEWLINK, 0, wire.EncodeLinkState(c.Index, c.Up))
	}
	return fmt.Errorf("unknown operation %T", c)
}

// addAddress configures an address and waits until packets for it are taken: of
// IPv6 the kernel adds the route later, in a worker (addrconf_dad_work), be it
// without duplicate address detection.
func (n *Namespace) addAddress(a fib.Address) error {
	if err := n.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, wire.EncodeAddress(a)); err != nil {
		return err
	}
	pause := time.Millisecond
	for deadline := time.Now().Add(addressPatience); time.Now().Before(deadline); pause = min(2*pause, 50*time.Millisecond) {
		answer := n.Ask(fib.Query{To: a.Prefix.Addr()})[0]
		if answer.Err == nil && answer.Route.Type == unix.RTN_LOCAL {
			break // else: CHECK will say so
		}
		if answer.Err != nil && !answer.Refused() {
			return fmt.Errorf("%w: %w", errPartly, answer.Err)
		}
		time.Sleep(pause)
	}
	return nil
}

// addressPatience bounds the wait for an address. The worker is one for all namespaces and waits for the lock of all
// network configuration (rtnl_lock), which a node that takes down many pods can hold for seconds.
const addressPatience = 10 * time.Second

// ErrAppeared is wrapped by the error of an Apply that was to make a device where
// the kernel has made one by itself: it makes the fallback devices of a tunnel module
// in every namespace when that is loaded, and it is loaded by the first request for
// such a device (rtnl_newlink, ip_tunnel_init_net).
var ErrAppeared = errors.New("the kernel made the device itself")

// makeLink makes a device.
func (n *Namespace) makeLink(c change.MakeLink) error {
	err := n.do(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, wire.EncodeLink(fib.Link{Index: c.Index, Name: c.Name, Kind: c.Kind}))
	if errors.Is(err, unix.EOPNOTSUPP) { // rtnl_newlink asked for the module by its alias
		return fmt.Errorf("%w (the node lacks the kernel module: modprobe %s)", err, moduleOf(c.Kind))
	}
	if !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) {
		return err
	}
	links, lerr := n.links()
	if lerr == nil && slices.ContainsFunc(links, func(l fib.Link) bool { return l.Kind == c.Kind && l.AnyToAny }) {
		return fmt.Errorf("%w: %w", ErrAppeared, err)
	}
	return err
}

// moduleOf is the module that devices of a kind come with: its own name, or the alias that all
// of them have.
func moduleOf(kind string) string {
	switch kind {
	case fib.KindIPIP:
		return "ipip"
	case fib.KindIP6Tunnel:
		return "ip6_tunnel"
	}
	return "rtnl-link-" + kind
}

func (n *Namespace) do(kind, flags uint16, payload []byte) error {
	return n.sock.change(kind, flags, payload)
}

// addToMain adds a route behind those of its destination and metric. With NLM_F_EXCL the
// kernel would refuse it because of another gateway of that metric; so EEXIST means exactly
// this route.
func (n *Namespace) addToMain(r fib.Route) error {
	return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, wire.EncodeRoute(r))
}

// delFromMain removes a route from main. Of an IPv6 multipath route the kernel tells the
// protocol of the first hop only (rt6_fill_node) but compares that of each
// (ip6_route_del), so it is left out; destination, metric and next hop are enough. A hop
// without gateway is told with the unspecified one: without any the kernel takes whichever
// hop of the device comes first.
func (n *Namespace) delFromMain(r fib.Route) error {
	if r.Family == fib.V6 {
		r.Protocol = unix.RTPROT_UNSPEC
		r.Hops = slices.Clone(r.Hops)
		for i, h := range r.Hops {
			if !h.Gateway.IsValid() {
				r.Hops[i].Gateway = netip.IPv6Unspecified()
			}
		}
	}
	return n.do(unix.RTM_DELROUTE, 0, wire.EncodeRouteDeletion(r))
}

// delFromMainAgain is delFromMain where it is not known whether the route is still there: a
// deletion with metric 0 would take one of any metric (fib_table_delete, ip6_route_del).
func (n *Namespace) delFromMainAgain(r fib.Route) error {
	now, err := n.routes(r.Family, r.Table)
	if err != nil {
		return err
	}
	same := r.Equal
	if r.Family == fib.V6 {
		same = func(o fib.Route) bool { return sameHop(r, o) }
	}
	if !slices.ContainsFunc(fib.Hops(now), same) {
		return unix.ESRCH
	}
	return n.delFromMain(r)
}

// sameHop compares hops of IPv6 as the kernel tells them apart (rt6_duplicate_nexthop). Their
// attributes do not count: the dump of a multipath route tells those of its first hop only.
func sameHop(a, b fib.Route) bool {
	return a.SamePlace(b) && a.Type == b.Type && slices.EqualFunc(a.Hops, b.Hops, func(x, y fib.Hop) bool {
		return x.Gateway == y.Gateway && x.Index == y.Index
	})
}

// set writes a device setting; of a device that has been renamed under its new name.
func (n *Namespace) set(c change.Set) error {
	err := writeSetting(c.Device, c.Key, c.Value)
	if c.Index == 0 || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	links, lerr := n.links()
	if lerr != nil {
		return lerr
	}
	i := slices.IndexFunc(links, func(l fib.Link) bool { return l.Index == c.Index && l.Name != c.Device })
	if i < 0 {
		return err
	}
	return writeSetting(links[i].Name, c.Key, c.Value)
}

// containerSettings is where a container has the settings of network namespaces that may be written: its own /proc/sys is
// read-only. Which namespace's they are depends on the thread that opens them (net_ctl_header_lookup).
const containerSettings = "/host/proc/sys/"

func writeSetting(device, key string, value int) error {
	text, path := []byte(strconv.Itoa(value)), fib.SettingPath(device, key)
	// Not by sysctl.Sysctl, which reads it again: where that fails, it has been written.
	err := os.WriteFile("/proc/sys/"+path, text, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		if _, lacks := os.Stat(containerSettings + path); lacks == nil {
			return os.WriteFile(containerSettings+path, text, 0)
		}
	}
	return err
}
