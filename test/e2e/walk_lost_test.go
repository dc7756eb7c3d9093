package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
	"github.com/symroute/symroute/test/walk"
)

// loss is that of an attachment's record, and what only the record told.
type loss struct {
	nic string
	// before is the pod as it was then: what is not put back without the record stays so.
	before *routing
	// tables, nics and sources are those of other NICs than its own, of which DEL finds nothing.
	tables  []uint32
	nics    []string
	sources []string
}

// spoilRecord takes away the record of a NIC's attachment, or half of it.
func (k *walker) spoilRecord(s walk.Step) {
	k.t.Helper()
	for _, file := range files(k.t, k.dataDir) {
		if !strings.Contains(filepath.Base(file), ":"+s.NIC+":") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			k.t.Fatal(err)
		}
		var r remembered
		if err := json.Unmarshal(text, &r); err != nil {
			k.t.Fatalf("%s: %v", file, err)
		}
		if s.Verb == walk.Lose {
			err = os.Remove(file)
		} else {
			err = os.WriteFile(file, text[:len(text)/2], 0o600)
		}
		if err != nil {
			k.t.Fatal(err)
		}
		k.loss = lossOf(r, k.pod.is)
		if a := k.attached[s.NIC]; a != nil {
			a.lost = true
		}
	}
}

func lossOf(r remembered, before *routing) *loss {
	l := &loss{nic: r.IfName, before: before}
	for _, s := range append(r.Earlier, r.State) {
		for _, n := range s.NICs {
			if n.Role == "attached" {
				continue
			}
			l.nics = append(l.nics, n.Name)
			for _, t := range n.Tables {
				l.tables = append(l.tables, t.Number)
				for _, source := range t.Sources {
					l.sources = append(l.sources, source.Prefix)
				}
			}
		}
	}
	return l
}

// withoutRecord holds the DEL of an attachment without its record: settings stay, and main, but
// for the default that is ours by its protocol, in whose place comes what other records know; and
// standard error says so.
func (k *walker) withoutRecord(s walk.Step, call netlab.Invocation) (what, details string) {
	if s.Verb != walk.Del || k.was == nil || !k.was.lost {
		return "", ""
	}
	before, after := k.pod.was, k.pod.is
	for key, was := range before.settings {
		if got := after.settings[key]; got != was {
			return "DEL without a record changed a setting", fmt.Sprintf("%s: was %s, is %s", key, was, got)
		}
	}
	for _, d := range before.devices {
		if o, there := after.device(d.name); there && d.settings() != o.settings() {
			return "DEL without a record changed a setting", fmt.Sprintf("%s: was %v, is %v", d.name, d.settings(), o.settings())
		}
	}
	for _, r := range before.routes {
		if r.table == unix.RT_TABLE_MAIN && !r.ours && !after.goesBy(r) {
			return "DEL without a record took a route out of main", r.short
		}
	}
	for _, r := range after.routes {
		if r.table == unix.RT_TABLE_MAIN && !before.goesBy(r) && !k.known(r) && !k.recorded(before, r) {
			return "DEL without a record put a route into main", r.short
		}
	}
	if before.diff(after) != "" && !bytes.Contains(call.Stderr, []byte("its record was lost or damaged")) {
		return "DEL does not say that it had no record", call.String()
	}
	return "", ""
}

// goesBy reports whether all hops of a route are there, in one route of its place or, in IPv6,
// where the kernel merges them, in several.
func (s *routing) goesBy(r route) bool {
	return !slices.ContainsFunc(r.hops, func(h hop) bool {
		return !slices.ContainsFunc(s.routes, func(o route) bool {
			return o.four == r.four && o.table == r.table && o.dst == r.dst && o.metric == r.metric && o.kind == r.kind && slices.Contains(o.hops, h)
		})
	})
}

// known reports whether a route of main is the twin's, or was until a NIC was down.
func (k *walker) known(r route) bool {
	return k.twin.is.goesBy(r) || slices.ContainsFunc(r.hops, func(h hop) bool { return k.lost[k.pod.is.nameOf(h.index)] })
}

// recorded reports whether all hops of a route that were not there before are in the records of attachments that are
// there: one of them has main now.
func (k *walker) recorded(before *routing, r route) bool {
	records, err := filepath.Glob(filepath.Join(k.dataDir, "*", "*.json"))
	if err != nil {
		k.t.Fatal(err)
	}
	var text bytes.Buffer
	for _, path := range records {
		record, err := os.ReadFile(path)
		if err != nil {
			k.t.Fatal(err)
		}
		text.Write(record)
	}
	return !slices.ContainsFunc(r.hops, func(h hop) bool {
		one := r
		one.hops = []hop{h}
		known := fmt.Sprintf(" nexthop via %v dev %s index %d", h.gateway, k.pod.is.nameOf(h.index), h.index)
		return !before.goesBy(one) && !bytes.Contains(text.Bytes(), []byte(known))
	})
}

// settings are those that symroute may write.
func (d device) settings() [5]int {
	return [5]int{d.rpFilter, d.arIgnore, d.announce, d.arpFilter, d.keepAddr}
}

// allButLost holds the pod, when all have left, one of them without its record: no rule or route of
// its NIC is left, and what is not as in the twin is as it was when the record was lost.
func (k *walker) allButLost() (what, details string) {
	k.over = true
	if left := k.leftOver(); len(left) > 0 {
		return "all have left, one without its record, and something of ours has not", shorts(left)
	}
	for key, want := range k.twin.is.settings {
		if got, then := k.pod.is.settings[key], k.loss.before.settings[key]; got != want && got != then {
			return "all have left, one without its record, and a setting is a new one",
				fmt.Sprintf("%s: got %s, want %s or %s", key, got, want, then)
		}
	}
	for _, d := range k.pod.is.devices {
		o, _ := k.twin.is.device(d.name)
		o.keepAddr = 0 // the twin's is the pod's while a link goes down: see mirrorKeepAddr
		then, _ := k.loss.before.device(d.name)
		for i, got := range d.settings() {
			if want, then := o.settings()[i], then.settings()[i]; got != want && got != then && !k.written[d.name] {
				return "all have left, one without its record, and a setting is a new one",
					fmt.Sprintf("%s, setting %d: got %d, want %d or %d", d.name, i, got, want, then)
			}
		}
	}
	for _, r := range k.pod.is.routes {
		if r.defaultOfMain() && !k.known(r) && !k.loss.before.goesBy(r) {
			return "all have left, one without its record, and main has another default", r.short + "\n" + k.mains()
		}
	}
	if left := files(k.t, k.dataDir); len(left) > 0 {
		return "all have left, one without its record, and a file has not", strings.Join(left, "\n")
	}
	return "", ""
}

// leftOver is what bears our protocol and is nobody else's: neither made in our name nor for
// another NIC than the lost attachment's own, of which DEL finds nothing without the record.
func (k *walker) leftOver() []fact {
	own := k.pod.is.withoutKept()
	forged := k.twin.is.wholes()
	of := func(table uint32) bool { return slices.Contains(k.loss.tables, table) }
	var left []fact
	for _, r := range own.rules {
		elsewhere := of(r.table) || slices.Contains(k.loss.nics, r.oif) || slices.Contains(k.loss.sources, r.from.String())
		if r.ours && !forged[r.whole] && !elsewhere {
			left = append(left, r.fact)
		}
	}
	for _, r := range own.routes {
		if r.ours && !forged[r.whole] && !of(r.table) {
			left = append(left, r.fact)
		}
	}
	return left
}
