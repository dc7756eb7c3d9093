package fib

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file is rules and routes as lines of text that lose nothing: as iproute2 prints them,
// with the family before and what that leaves out. Records hold them.
//
//	-4 40012: from 203.0.113.144 lookup 7300 proto 73
//	-4 unicast default table 7300 proto 73 scope global via 203.0.113.1 dev net1 index 5

// line is a line that is being written.
type line struct{ bytes.Buffer }

func lineOf(f Family) *line {
	var l line
	if f == V6 {
		l.WriteString("-6")
	} else {
		l.WriteString("-4")
	}
	return &l
}

// word writes a word behind a space.
func (l *line) word(w string) {
	l.WriteByte(' ')
	l.WriteString(w)
}

// number writes a key and its number, unless that is 0.
func (l *line) number(key string, n uint32) {
	if n != 0 {
		l.word(key)
		l.word(strconv.FormatUint(uint64(n), 10))
	}
}

// tos writes a type of service, unless it is any.
func (l *line) tos(t uint8) {
	if t != 0 {
		l.word(fmt.Sprintf("tos %#x", t))
	}
}

// name writes a key and the name of a device, unless there is none. It can hold any byte.
func (l *line) name(key, name string) {
	if name == "" {
		return
	}
	l.word(key)
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '"' || r > '~' }) {
		name = strconv.QuoteToASCII(name)
	}
	l.word(name)
}

// opaque writes a key and attributes, unless there are none.
func (l *line) opaque(key string, o Opaque) {
	if o != "" {
		l.word(key)
		l.word(fmt.Sprintf("%x", string(o)))
	}
}

func (l *line) prefix(p netip.Prefix) {
	l.word(PrefixText(p))
}

// protocol writes who installed it, unless nobody says so.
func (l *line) protocol(p uint8) {
	if p != unix.RTPROT_UNSPEC {
		l.word("proto " + protocolText(p))
	}
}

// String is the rule as iproute2 prints it.
func (r Rule) String() string {
	var l line
	r.write(&l)
	return l.String()
}

// MarshalText writes the rule as a line.
func (r Rule) MarshalText() ([]byte, error) {
	l := lineOf(r.Family)
	l.WriteByte(' ')
	r.write(l)
	return l.Bytes(), nil
}

func (r Rule) write(l *line) {
	l.WriteString(strconv.FormatUint(uint64(r.Priority), 10) + ":")
	if r.Inverted {
		l.word("not")
	}
	l.word("from")
	if r.From.IsValid() {
		l.prefix(r.From)
	} else {
		l.word("all")
	}
	if r.To.IsValid() {
		l.word("to")
		l.prefix(r.To)
	}
	l.tos(r.TOS)
	l.name("iif", r.IIF)
	l.name("oif", r.OIF)
	l.opaque("other", r.Other)
	switch r.Action {
	case Lookup:
		l.word("lookup " + TableText(r.Table))
	case Goto:
		l.word("goto " + strconv.FormatUint(uint64(r.Target), 10))
	case Nop, Unreachable:
		l.word(r.Action.String())
	default:
		l.word("action " + r.Action.String())
	}
	l.protocol(r.Protocol)
}

// UnmarshalText reads what MarshalText wrote.
func (r *Rule) UnmarshalText(text []byte) error {
	*r = Rule{}
	w, err := wordsOf(text, &r.Family)
	if err != nil {
		return fmt.Errorf("rule %q: %w", text, err)
	}
	priority, ok := strings.CutSuffix(w.next(), ":")
	if !ok {
		return fmt.Errorf("rule %q: no priority", text)
	}
	r.Priority = w.parse(priority, 32)
	for w.more() {
		switch key := w.next(); key {
		case "not":
			r.Inverted = true
		case "from":
			r.From = w.prefix("all", netip.Prefix{})
		case "to":
			r.To = w.prefix("", netip.Prefix{})
		case "tos":
			r.TOS = w.tos()
		case "iif":
			r.IIF = w.next()
		case "oif":
			r.OIF = w.next()
		case "other":
			w.text(&r.Other)
		case "lookup":
			r.Action, r.Table = Lookup, w.table()
		case "goto":
			r.Action, r.Target = Goto, w.number(32)
		case "nop":
			r.Action = Nop
		case "unreachable":
			r.Action = Unreachable
		case "action":
			w.text(&r.Action)
		case "proto":
			r.Protocol = w.protocol()
		default:
			w.unknown(key)
		}
	}
	w.family(r.Family, r.From.Addr(), r.To.Addr())
	return w.failure("rule", text)
}

// MarshalText writes the route as a line.
func (r Route) MarshalText() ([]byte, error) {
	l := lineOf(r.Family)
	l.word(r.Type.String())
	if r.Dst == r.Family.Any() {
		l.word("default")
	} else {
		l.prefix(r.Dst)
	}
	if r.From.IsValid() {
		l.word("from")
		l.prefix(r.From)
	}
	l.tos(r.TOS)
	l.word("table " + TableText(r.Table))
	l.protocol(r.Protocol)
	if r.Scope != 0 {
		l.word("scope " + r.Scope.String())
	}
	if r.PrefSrc.IsValid() {
		l.word("src " + r.PrefSrc.String())
	}
	l.number("metric", r.Metric)
	l.number("mtu", r.MTU)
	l.number("advmss", r.AdvMSS)
	l.number("pref", uint32(r.Pref))
	l.number("nhid", r.NexthopID)
	if r.Expires {
		l.word("expires")
	}
	l.opaque("metrics", r.OtherMetrics)
	l.opaque("other", r.Other)
	for _, h := range r.Hops {
		l.word("nexthop")
		h.write(l)
	}
	return l.Bytes(), nil
}

func (h Hop) write(l *line) {
	if h.Gateway.IsValid() {
		l.word("via " + h.Gateway.String())
	}
	l.name("dev", h.Dev)
	l.number("index", uint32(h.Index))
	l.number("weight", uint32(h.Weight))
	if h.OnLink {
		l.word("onlink")
	}
	l.opaque("encap", h.Other)
}

// UnmarshalText reads what MarshalText wrote.
func (r *Route) UnmarshalText(text []byte) error {
	*r = Route{}
	w, err := wordsOf(text, &r.Family)
	if err != nil {
		return fmt.Errorf("route %q: %w", text, err)
	}
	w.text(&r.Type)
	r.Dst = w.prefix("default", r.Family.Any())
	for w.more() {
		switch key := w.next(); key {
		case "from":
			r.From = w.prefix("", netip.Prefix{})
		case "tos":
			r.TOS = w.tos()
		case "table":
			r.Table = w.table()
		case "proto":
			r.Protocol = w.protocol()
		case "scope":
			w.text(&r.Scope)
		case "src":
			w.text(&r.PrefSrc)
		case "metric":
			r.Metric = w.number(32)
		case "mtu":
			r.MTU = w.number(32)
		case "advmss":
			r.AdvMSS = w.number(32)
		case "pref":
			r.Pref = uint8(w.number(8))
		case "nhid":
			r.NexthopID = w.number(32)
		case "expires":
			r.Expires = true
		case "metrics":
			w.text(&r.OtherMetrics)
		case "other":
			w.text(&r.Other)
		case "nexthop":
			r.Hops = append(r.Hops, Hop{})
		default:
			if len(r.Hops) == 0 || !r.Hops[len(r.Hops)-1].read(key, w) {
				w.unknown(key)
			}
		}
	}
	w.family(r.Family, r.Dst.Addr(), r.From.Addr(), r.PrefSrc)
	return w.failure("route", text)
}

// read reads one key of a hop.
func (h *Hop) read(key string, w *words) bool {
	switch key {
	case "via":
		w.text(&h.Gateway)
	case "dev":
		h.Dev = w.next()
	case "index":
		h.Index = int(int32(w.number(32)))
	case "weight":
		h.Weight = int(w.number(16))
	case "onlink":
		h.OnLink = true
	case "encap":
		w.text(&h.Other)
	default:
		return false
	}
	return true
}

// MarshalText writes the hop as a line.
func (h Hop) MarshalText() ([]byte, error) {
	var l line
	h.write(&l)
	return bytes.TrimPrefix(l.Bytes(), []byte(" ")), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hop) UnmarshalText(text []byte) error {
	*h = Hop{}
	w := &words{rest: string(text)}
	for w.more() {
		if key := w.next(); !h.read(key, w) {
			w.unknown(key)
		}
	}
	return w.failure("hop", text)
}

// words are those of a line that is being read, up to the first fault.
type words struct {
	rest string
	err  error
}

// wordsOf begins to read a line with its family.
func wordsOf(text []byte, f *Family) (*words, error) {
	w := &words{rest: string(text)}
	switch first := w.next(); first {
	case "-4":
		*f = V4
	case "-6":
		*f = V6
	default:
		return nil, fmt.Errorf("it begins with %q, not with its family, -4 or -6", first)
	}
	return w, nil
}

func (w *words) more() bool { return w.err == nil && strings.TrimLeft(w.rest, " ") != "" }

// next takes the next word, one in quotes as what it says.
func (w *words) next() string {
	w.rest = strings.TrimLeft(w.rest, " ")
	if w.rest == "" {
		w.fail(errors.New("it ends early"))
		return ""
	}
	if w.rest[0] == '"' {
		quoted, err := strconv.QuotedPrefix(w.rest)
		w.fail(err)
		w.rest = w.rest[len(quoted):]
		word, err := strconv.Unquote(quoted)
		w.fail(err)
		return word
	}
	var word string
	word, w.rest, _ = strings.Cut(w.rest, " ")
	return word
}

func (w *words) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *words) unknown(key string) { w.fail(fmt.Errorf("%q is no key", key)) }

// family refuses addresses of another family than the line's.
func (w *words) family(f Family, addresses ...netip.Addr) {
	for _, a := range addresses {
		if a.IsValid() && FamilyOf(a) != f {
			w.fail(fmt.Errorf("the address %s is of another family", a))
		}
	}
}

func (w *words) failure(what string, text []byte) error {
	if w.err != nil {
		return fmt.Errorf("%s %q: %w", what, text, w.err)
	}
	return nil
}

func (w *words) parse(word string, bits int) uint32 {
	n, err := strconv.ParseUint(word, 10, bits)
	w.fail(err)
	return uint32(n)
}

func (w *words) number(bits int) uint32 { return w.parse(w.next(), bits) }

func (w *words) tos() uint8 {
	t, err := strconv.ParseUint(w.next(), 0, 8) // in hexadecimal, as it is written
	w.fail(err)
	return uint8(t)
}

func (w *words) protocol() uint8 {
	p, err := protocolNames().parse([]byte(w.next()))
	w.fail(err)
	return p
}

func (w *words) text(into interface{ UnmarshalText([]byte) error }) {
	w.fail(into.UnmarshalText([]byte(w.next())))
}

// prefix reads a prefix, an address for itself alone, or the word that stands for another.
func (w *words) prefix(word string, means netip.Prefix) netip.Prefix {
	text := w.next()
	if word != "" && text == word {
		return means
	}
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		w.fail(err)
		return Host(a)
	}
	p, err := netip.ParsePrefix(text)
	w.fail(err)
	return p
}

func (w *words) table() uint32 {
	switch text := w.next(); text {
	case "default":
		return unix.RT_TABLE_DEFAULT
	case "main":
		return unix.RT_TABLE_MAIN
	case "local":
		return unix.RT_TABLE_LOCAL
	default:
		return w.parse(text, 32)
	}
}
