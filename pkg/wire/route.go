package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

const (
	routeHeader = unix.SizeofRtMsg
	hopHeader   = unix.SizeofRtNexthop
	rtaNHID     = 30 // RTA_NH_ID, uapi/linux/rtnetlink.h
)

// EncodeRoute writes the payload of an RTM_NEWROUTE or RTM_DELROUTE message.
func EncodeRoute(r fib.Route) []byte {
	b := make([]byte, routeHeader, 128)
	b[0] = uint8(r.Family)
	b[1] = uint8(r.Dst.Bits())
	b[3] = r.TOS
	b[4] = tableByte(r.Table)
	b[5], b[6], b[7] = r.Protocol, uint8(r.Scope), uint8(r.Type)
	if r.Dst.Bits() > 0 {
		b = appendAddr(b, unix.RTA_DST, r.Dst.Addr())
	}
	if r.From.IsValid() {
		b[2] = uint8(r.From.Bits())
		b = appendAddr(b, unix.RTA_SRC, r.From.Addr())
	}
	b = appendU32(b, unix.RTA_TABLE, r.Table)
	if r.Metric != 0 {
		b = appendU32(b, unix.RTA_PRIORITY, r.Metric)
	}
	if r.PrefSrc.IsValid() {
		b = appendAddr(b, unix.RTA_PREFSRC, r.PrefSrc)
	}
	if metrics := metricsOf(r); len(metrics) > 0 {
		b = appendAttr(b, unix.RTA_METRICS|unix.NLA_F_NESTED, metrics)
	}
	if r.Pref != 0 {
		b = appendU8(b, unix.RTA_PREF, r.Pref)
	}
	b = append(b, r.Other...)
	return appendHops(b, r)
}

// EncodeRouteDeletion writes the payload of an RTM_DELROUTE message for just this
// route. An IPv4 hop is written as a multipath of one: beside RTA_GATEWAY the
// kernel compares the first hop only, and would take a multipath route with the
// same first hop instead (fib_nh_match).
func EncodeRouteDeletion(r fib.Route) []byte {
	if r.Family == fib.V4 && len(r.Hops) == 1 && r.NexthopID == 0 {
		h := r.Hops[0]
		h.Weight = max(h.Weight, 1)
		r.Hops = []fib.Hop{h}
	}
	return EncodeRoute(r)
}

// tableByte is the rtm_table of a table that may not fit into a byte; the
// kernel goes by RTA_TABLE then.
func tableByte(t uint32) uint8 {
	if t > 255 {
		return unix.RT_TABLE_UNSPEC
	}
	return uint8(t)
}

func metricsOf(r fib.Route) []byte {
	var b []byte
	if r.MTU != 0 {
		b = appendU32(b, unix.RTAX_MTU, r.MTU)
	}
	if r.AdvMSS != 0 {
		b = appendU32(b, unix.RTAX_ADVMSS, r.AdvMSS)
	}
	return append(b, r.OtherMetrics...)
}

func appendHops(b []byte, r fib.Route) []byte {
	switch {
	case r.NexthopID != 0:
		return appendU32(b, rtaNHID, r.NexthopID)
	case len(r.Hops) == 0:
		return b
	case len(r.Hops) == 1 && r.Hops[0].Weight == 0:
		h := r.Hops[0]
		if h.OnLink {
			binary.NativeEndian.PutUint32(b[8:], unix.RTNH_F_ONLINK)
		}
		b = appendGateway(b, h, r.Family)
		b = appendU32(b, unix.RTA_OIF, uint32(h.Index))
		return append(b, h.Other...)
	}
	var hops []byte
	for _, h := range r.Hops {
		hops = appendNexthop(hops, h, r.Family)
	}
	return appendAttr(b, unix.RTA_MULTIPATH, hops)
}

func appendNexthop(b []byte, h fib.Hop, f fib.Family) []byte {
	attrs := append(appendGateway(nil, h, f), h.Other...)
	b = binary.NativeEndian.AppendUint16(b, uint16(hopHeader+len(attrs)))
	flags := uint8(0)
	if h.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	b = append(b, flags, uint8(max(h.Weight, 1)-1))
	b = binary.NativeEndian.AppendUint32(b, uint32(h.Index))
	return append(b, attrs...)
}

func appendGateway(b []byte, h fib.Hop, f fib.Family) []byte {
	switch {
	case !h.Gateway.IsValid():
		return b
	case fib.FamilyOf(h.Gateway) == f:
		return appendAddr(b, unix.RTA_GATEWAY, h.Gateway)
	}
	// An IPv4 route through an IPv6 gateway (struct rtvia).
	via := binary.NativeEndian.AppendUint16(nil, uint16(fib.FamilyOf(h.Gateway)))
	return appendAttr(b, unix.RTA_VIA, append(via, h.Gateway.AsSlice()...))
}

// WithoutAge drops from the payload of an RTM_NEWROUTE message what is left of the
// route's lifetime.
func WithoutAge(b []byte) []byte {
	if len(b) < routeHeader {
		return b
	}
	out := slices.Clone(b[:routeHeader])
	for a, err := range attrs(b[routeHeader:]) {
		if err != nil {
			return b
		}
		if a.kind != unix.RTA_CACHEINFO {
			out = append(out, a.raw()...)
		}
	}
	return out
}

// DecodeRoute reads the payload of an RTM_NEWROUTE message.
func DecodeRoute(b []byte) (fib.Route, error) {
	if len(b) < routeHeader {
		return fib.Route{}, fmt.Errorf("%w: route of %d bytes", ErrMalformed, len(b))
	}
	r := fib.Route{
		Family:   fib.Family(b[0]),
		TOS:      b[3],
		Table:    uint32(b[4]),
		Protocol: b[5],
		Scope:    fib.Scope(b[6]),
		Type:     fib.RouteType(b[7]),
	}
	if r.Family != fib.V4 && r.Family != fib.V6 {
		return fib.Route{}, fmt.Errorf("%w: route of family %d", ErrMalformed, b[0])
	}
	r.Dst = r.Family.Any()
	single := fib.Hop{OnLink: binary.NativeEndian.Uint32(b[8:])&unix.RTNH_F_ONLINK != 0}
	for a, err := range attrs(b[routeHeader:]) {
		if err == nil {
			err = readRouteAttr(&r, a, &single, b[1], b[2])
		}
		if err != nil {
			return fib.Route{}, fmt.Errorf("route: %w", err)
		}
	}
	for _, a := range []netip.Addr{r.Dst.Addr(), r.From.Addr(), r.PrefSrc} {
		if a.IsValid() && fib.FamilyOf(a) != r.Family {
			return fib.Route{}, fmt.Errorf("%w: the address %s in an %s route", ErrMalformed, a, r.Family)
		}
	}
	if len(r.Hops) == 0 && (single.Index != 0 || single.Gateway.IsValid()) {
		r.Hops = []fib.Hop{single}
	}
	return r, nil
}

func readRouteAttr(r *fib.Route, a attr, single *fib.Hop, dstBits, srcBits uint8) (err error) {
	switch a.kind {
	case unix.RTA_DST:
		r.Dst, err = a.prefix(dstBits)
	case unix.RTA_SRC:
		r.From, err = a.prefix(srcBits)
	case unix.RTA_TABLE:
		r.Table, err = a.u32()
	case unix.RTA_PRIORITY:
		r.Metric, err = a.u32()
	case unix.RTA_PREFSRC:
		r.PrefSrc, err = a.addr()
	case unix.RTA_METRICS:
		err = readMetrics(r, a.value)
	case unix.RTA_MULTIPATH:
		r.Hops, err = decodeHops(a.value)
	case unix.RTA_PREF:
		r.Pref, err = a.u8()
	case rtaNHID:
		r.NexthopID, err = a.u32()
	case unix.RTA_CACHEINFO:
		// struct rta_cacheinfo: rta_clntref, rta_lastuse, rta_expires, ...
		r.Expires = len(a.value) >= 12 && binary.NativeEndian.Uint32(a.value[8:]) != 0
	case unix.RTA_OIF:
		var index uint32
		index, err = a.u32()
		single.Index = int(int32(index))
	case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
		err = readHopAttr(single, a)
	case unix.RTA_UNSPEC, unix.RTA_IIF, unix.RTA_UID, unix.RTA_MARK, unix.RTA_PAD, unix.RTA_EXPIRES:
	default:
		r.Other += fib.Opaque(a.raw())
	}
	return err
}

func readMetrics(r *fib.Route, b []byte) error {
	for a, err := range attrs(b) {
		if err != nil {
			return err
		}
		switch a.kind {
		case unix.RTAX_MTU:
			r.MTU, err = a.u32()
		case unix.RTAX_ADVMSS:
			r.AdvMSS, err = a.u32()
		default:
			r.OtherMetrics += fib.Opaque(a.raw())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeHops(b []byte) ([]fib.Hop, error) {
	var hops []fib.Hop
	for len(b) >= hopHeader {
		n := int(binary.NativeEndian.Uint16(b))
		if n < hopHeader || n > len(b) {
			return nil, fmt.Errorf("%w: next hop of %d bytes in %d", ErrMalformed, n, len(b))
		}
		h := fib.Hop{Weight: int(b[3]) + 1, Index: int(int32(binary.NativeEndian.Uint32(b[4:]))), OnLink: b[2]&unix.RTNH_F_ONLINK != 0}
		for a, err := range attrs(b[hopHeader:n]) {
			if err == nil {
				err = readHopAttr(&h, a)
			}
			if err != nil {
				return nil, err
			}
		}
		hops = append(hops, h)
		b = b[min((n+3)&^3, len(b)):]
	}
	return hops, nil
}

func readHopAttr(h *fib.Hop, a attr) (err error) {
	switch a.kind {
	case unix.RTA_GATEWAY:
		h.Gateway, err = a.addr()
	case unix.RTA_VIA:
		if len(a.value) < 2 {
			return fmt.Errorf("%w: via of %d bytes", ErrMalformed, len(a.value))
		}
		ip, ok := netip.AddrFromSlice(a.value[2:])
		if !ok {
			return fmt.Errorf("%w: via of %d bytes", ErrMalformed, len(a.value))
		}
		h.Gateway = ip
	case unix.RTA_UNSPEC, unix.RTA_PAD:
	default:
		h.Other += fib.Opaque(a.raw())
	}
	return err
}

// EncodeRouteDump writes the payload of an RTM_GETROUTE dump of one table. On
// a socket with NETLINK_GET_STRICT_CHK the kernel itself leaves out the other
// tables (ip_valid_fib_dump_req); without it all of them come.
func EncodeRouteDump(f fib.Family, table uint32) []byte {
	b := make([]byte, routeHeader)
	b[0] = uint8(f)
	b[4] = tableByte(table)
	return appendU32(b, unix.RTA_TABLE, table)
}

// EncodeQuery writes the payload of the question.
func EncodeQuery(q fib.Query) []byte {
	b := make([]byte, routeHeader)
	b[0] = uint8(fib.FamilyOf(q.To))
	b[1] = uint8(q.To.BitLen())
	var flags uint32
	if q.To.Is4() {
		// IPv4 names the table that decides only when it is asked to
		// (inet_rtm_getroute); IPv6 always does.
		flags = unix.RTM_F_LOOKUP_TABLE
	}
	if q.Whole {
		flags |= unix.RTM_F_FIB_MATCH
	}
	binary.NativeEndian.PutUint32(b[8:], flags)
	b = appendAddr(b, unix.RTA_DST, q.To)
	if q.From.IsValid() {
		b[2] = uint8(q.From.BitLen())
		b = appendAddr(b, unix.RTA_SRC, q.From)
	}
	if q.IIF != 0 {
		b = appendU32(b, unix.RTA_IIF, uint32(q.IIF))
	}
	if q.OIF != 0 {
		b = appendU32(b, unix.RTA_OIF, uint32(q.OIF))
	}
	return b
}
