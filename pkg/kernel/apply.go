package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// Apply carries out one change and returns the change that takes it back. The
// undo is also returned with an error after which the kernel may have carried
// the change out all the same; otherwise an error means that nothing was done.
func (n *Namespace) Apply(op plan.Op) (undo plan.Op, err error) {
	err = n.apply(op)
	switch {
	case err == nil:
		return op.Inverse(), nil
	case errors.Is(err, ErrNoAnswer), errors.Is(err, errPartly):
		return op.Inverse(), fmt.Errorf("%s: %w", op, err)
	}
	return nil, fmt.Errorf("%s: %w", op, err)
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
func (n *Namespace) Revert(op plan.Op) error {
	err := n.apply(op)
	switch {
	case err == nil, alreadySo(op, err):
		return nil
	case groundless(op, err):
		return fmt.Errorf("%w: %s: %w", ErrNoReturn, op, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// groundless tells the refusals of a route whose gateway or source address the
// pod has no way to any more, and of a setting that has become read-only.
func groundless(op plan.Op, err error) bool {
	switch op.(type) {
	case plan.AddRoute, plan.PutIn:
		return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EINVAL)
	case plan.Set:
		return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EINVAL)
	}
	return false
}

func alreadySo(op plan.Op, err error) bool {
	switch op.(type) {
	case plan.AddRule, plan.AddRoute, plan.PutIn:
		return errors.Is(err, unix.EEXIST) || gone(err)
	case plan.DelRule:
		return errors.Is(err, unix.ENOENT)
	case plan.DelRoute, plan.TakeOut:
		return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || gone(err)
	case plan.Set:
		return errors.Is(err, fs.ErrNotExist)
	case plan.AddAddress:
		return errors.Is(err, unix.EEXIST) || gone(err)
	case plan.DelAddress:
		return errors.Is(err, unix.EADDRNOTAVAIL) || gone(err)
	case plan.MakeLink:
		return errors.Is(err, unix.EEXIST)
	case plan.DelLink, plan.SetLink:
		return gone(err)
	}
	return false
}

// gone tells that an interface went away, or down, which takes its routes along.
func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN)
}

func (n *Namespace) apply(op plan.Op) error {
	switch op := op.(type) {
	case plan.AddRule:
		return n.do(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fib.EncodeRule(op.Rule))
	case plan.DelRule:
		return n.do(unix.RTM_DELRULE, 0, fib.EncodeRule(op.Rule))
	case plan.Reorder:
		return n.reorder(op)
	case plan.AddRoute:
		return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fib.EncodeRoute(op.Route))
	case plan.DelRoute:
		return n.do(unix.RTM_DELROUTE, 0, fib.EncodeRouteDeletion(op.Route))
	case plan.TakeOut:
		return n.takeOut(op.Route)
	case plan.PutIn:
		return n.putIn(op)
	case plan.Set:
		return n.set(op)
	case plan.AddAddress:
		return n.addAddress(op.Address)
	case plan.DelAddress:
		return n.do(unix.RTM_DELADDR, 0, fib.EncodeAddress(op.Address))
	case plan.MakeLink:
		return n.makeLink(op)
	case plan.DelLink:
		return n.do(unix.RTM_DELLINK, 0, fib.EncodeLinkDeletion(op.Index))
	case plan.SetLink:
		return n.do(unix.RTM_NEWLINK, 0, fib.EncodeLinkState(op.Index, op.Up))
	}
	return fmt.Errorf("unknown operation %T", op)
}

// addAddress configures an address and waits until packets for it are taken: of
// IPv6 the kernel adds the route later, in a worker (addrconf_dad_work), be it
// without duplicate address detection.
func (n *Namespace) addAddress(a fib.Address) error {
	if err := n.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fib.EncodeAddress(a)); err != nil {
		return err
	}
	for range addressTries {
		answer := n.Ask(fib.Query{To: a.Prefix.Addr()})[0]
		if answer.Err == nil && answer.Route.Type == unix.RTN_LOCAL {
			break // else: CHECK will say so
		}
		if answer.Err != nil && !answer.Refused() {
			return fmt.Errorf("%w: %w", errPartly, answer.Err)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// addressTries bounds the wait for an address, in milliseconds.
const addressTries = 2000

// ErrAppeared is wrapped by the error of an Apply that was to make a device where
// the kernel has made one by itself: it makes the fallback devices of a tunnel module
// in every namespace when that is loaded, and it is loaded by the first request for
// such a device (rtnl_newlink, ip_tunnel_init_net).
var ErrAppeared = errors.New("the kernel made the device itself")

// makeLink makes a device.
func (n *Namespace) makeLink(op plan.MakeLink) error {
	err := n.do(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fib.EncodeLink(fib.Link{Index: op.Index, Name: op.Name, Kind: op.Kind}))
	if !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) {
		return err
	}
	links, lerr := n.links()
	if lerr == nil && slices.ContainsFunc(links, func(l fib.Link) bool { return l.Kind == op.Kind && l.AnyToAny }) {
		return fmt.Errorf("%w: %w", ErrAppeared, err)
	}
	return err
}

func (n *Namespace) do(kind, flags uint16, payload []byte) error {
	return n.sock.change(kind, flags, payload)
}

// reorder puts rules into an order, from whatever order they are in. The kernel
// takes a second rule that equals the first, and deletes the first of two that
// are equal (fib_nl_newrule without NLM_F_EXCL, fib_nl_delrule), so that no
// packet ever misses one.
func (n *Namespace) reorder(op plan.Reorder) error {
	if len(op.Want) == 0 {
		return nil
	}
	now, err := n.rules(op.Want[0].Family)
	if err != nil {
		return err
	}
	add, remove := op.Requests(now)
	for i, r := range add {
		err := n.do(unix.RTM_NEWRULE, unix.NLM_F_CREATE, fib.EncodeRule(r))
		if err != nil && i > 0 {
			return fmt.Errorf("%w: %w", errPartly, err)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range remove {
		err := n.do(unix.RTM_DELRULE, 0, fib.EncodeRule(r))
		if err != nil && !errors.Is(err, unix.ENOENT) { // somebody else was faster
			return fmt.Errorf("%w: %w", errPartly, err)
		}
	}
	return nil
}

// takeOut removes a route from a table of others. Of an IPv6 multipath route the
// kernel tells the protocol of the first hop only (rt6_fill_node) but compares
// that of each (ip6_route_del), so it is left out; destination, metric and next
// hop are enough.
func (n *Namespace) takeOut(r fib.Route) error {
	if r.Family == fib.V6 {
		r.Protocol = unix.RTPROT_UNSPEC
	}
	return n.do(unix.RTM_DELROUTE, 0, fib.EncodeRouteDeletion(r))
}

// putIn inserts a route among others of the same destination and metric. The
// kernel can only put it in front of all of them (IPv4 alone) or behind all;
// for a place between, those that belong behind it are moved there one by one,
// so that the table is never without any of them for longer than a moment.
func (n *Namespace) putIn(op plan.PutIn) error {
	if op.Route.Family == fib.V4 && op.Place.First {
		return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, fib.EncodeRoute(op.Route))
	}
	err := n.appendRoute(op.Route)
	if err != nil && (!errors.Is(err, unix.EEXIST) || len(op.Place.Before) == 0) {
		return err
	}
	for _, behind := range op.Place.Before {
		err := n.takeOut(behind)
		if errors.Is(err, unix.ESRCH) {
			continue // it has gone in the meantime
		}
		if err == nil {
			err = n.appendOrphan(behind)
		}
		if err != nil {
			return fmt.Errorf("%w: move %q behind it: %w", errPartly, behind, err)
		}
	}
	return nil
}

// appendOrphan brings a route back that stood there, even where the kernel would
// not take it any more because the way to its gateway has gone since: marked
// onlink, the gateway is not looked up (fib_check_nh, ip6_route_check_nh_onlink).
func (n *Namespace) appendOrphan(r fib.Route) error {
	err := n.appendRoute(r)
	if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
		return err
	}
	r.Hops = slices.Clone(r.Hops)
	for i := range r.Hops {
		r.Hops[i].OnLink = true
	}
	return n.appendRoute(r)
}

func (n *Namespace) appendRoute(r fib.Route) error {
	return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, fib.EncodeRoute(r))
}

// set writes a device setting; of a device that has been renamed under its new name.
func (n *Namespace) set(op plan.Set) error {
	err := writeSetting(op.Device, op.Key, op.Value)
	if op.Index == 0 || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	links, lerr := n.links()
	if lerr != nil {
		return lerr
	}
	i := slices.IndexFunc(links, func(l fib.Link) bool { return l.Index == op.Index && l.Name != op.Device })
	if i < 0 {
		return err
	}
	return writeSetting(links[i].Name, op.Key, op.Value)
}

func writeSetting(device, key string, value int) error {
	// Not by sysctl.Sysctl, which reads it again: where that fails, it has been written.
	return os.WriteFile("/proc/sys/"+setting(device, key), []byte(strconv.Itoa(value)), 0)
}
