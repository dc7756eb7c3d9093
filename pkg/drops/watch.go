// Package drops tells why the kernel drops packets of some network namespaces: it counts the reasons that the kernel
// itself gives (tracepoint skb:kfree_skb), by an eBPF program, and shows some of the packets.
//
// A packet that the kernel never makes, since there is no route for it, is not dropped: see package explain.
package drops

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

// Watcher counts drops from Watch until Close.
type Watcher struct {
	layout     layout
	collection *ebpf.Collection
	attached   link.Link
	samples    *ringbuf.Reader
}

// Drop is a packet that was dropped.
type Drop struct {
	Key
	// Number is which of its key it was, from 1 on.
	Number uint64
	Packet Packet
}

// Key is by what drops are counted.
type Key struct {
	Namespace uint32 // the inode of its network namespace
	Reason    string // as the kernel names it, without SKB_DROP_REASON_
	NIC       int    // index of the interface; 0: none, or not known
	Protocol  string // "tcp", "udp", "arp" ...
}

// Count is how many packets were dropped of a key.
type Count struct {
	Key
	Count uint64
}

// Watch begins to count the drops of namespaces, which their inodes name. Its error wraps ErrNoBTF, ErrNoReasons or
// ErrNotAllowed, or is of the system.
func Watch(namespaces ...uint32) (*Watcher, error) {
	l, err := readLayout()
	if err != nil {
		return nil, err
	}
	_ = rlimit.RemoveMemlock() // older kernels count maps to it; where it fails, loading says so
	w := &Watcher{layout: l}
	if err := w.start(namespaces); err != nil {
		w.Close()
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
		return nil, fmt.Errorf("watch the kernel's drops: %w", err)
	}
	return w, nil
}

func (w *Watcher) start(namespaces []uint32) (err error) {
	if w.collection, err = ebpf.NewCollection(collection(w.layout)); err != nil {
		return err
	}
	for _, ns := range namespaces {
		if err := w.collection.Maps[mapNamespaces].Put(ns, uint32(1)); err != nil {
			return err
		}
	}
	if w.samples, err = ringbuf.NewReader(w.collection.Maps[mapSamples]); err != nil {
		return err
	}
	w.attached, err = link.AttachTracing(link.TracingOptions{Program: w.collection.Programs["drops"], AttachType: ebpf.AttachTraceRawTp})
	return err
}

// Close ends it. What the kernel holds for it goes with its file descriptors, also where the process is killed.
func (w *Watcher) Close() {
	if w.attached != nil {
		_ = w.attached.Close()
	}
	if w.samples != nil {
		_ = w.samples.Close()
	}
	if w.collection != nil {
		w.collection.Close()
	}
}

// Next waits for a sample until a time; ok is false where none came.
func (w *Watcher) Next(until time.Time) (d Drop, ok bool, err error) {
	for {
		w.samples.SetDeadline(until)
		record, err := w.samples.Read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Drop{}, false, nil
		case err != nil:
			return Drop{}, false, fmt.Errorf("read the kernel's drops: %w", err)
		}
		if d, ok := w.decode(record.RawSample); ok {
			return d, true, nil
		}
	}
}

// decode reads a sample.
func (w *Watcher) decode(b []byte) (Drop, bool) {
	if len(b) < sampleLen {
		return Drop{}, false
	}
	return Drop{
		Key:    w.key(b),
		Number: binary.NativeEndian.Uint64(b[keyLen:]),
		Packet: parse(binary.BigEndian.Uint16(b[etherAt-keyAt:]), b[keyLen+8:sampleLen]),
	}, true
}

// key reads the key at the beginning of a sample.
func (w *Watcher) key(b []byte) Key {
	reason := binary.NativeEndian.Uint32(b[reasonAt-keyAt:])
	name, known := w.layout.reasons[reason]
	if !known {
		name = fmt.Sprintf("REASON_%d", reason) // of a subsystem with reasons of its own
	}
	return Key{
		Namespace: binary.NativeEndian.Uint32(b),
		Reason:    name,
		NIC:       int(binary.NativeEndian.Uint32(b[indexAt-keyAt:])),
		Protocol:  protocolOf(binary.BigEndian.Uint16(b[etherAt-keyAt:]), b[protoAt-keyAt]),
	}
}

func protocolOf(ether uint16, protocol uint8) string {
	switch ether {
	case etherIPv4, etherIPv6:
		return protocolText(protocol)
	case etherARP:
		return "arp"
	}
	return fmt.Sprintf("ethertype 0x%04x", ether)
}

// Counts are all drops so far, the most first, and how many of them found no place in the lists.
func (w *Watcher) Counts() (counts []Count, lost uint64, err error) {
	var key [keyLen]byte
	var count uint64
	all := w.collection.Maps[mapCounts].Iterate()
	for all.Next(&key, &count) {
		counts = append(counts, Count{w.key(key[:]), count})
	}
	if err := all.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the kernel's drops: %w", err)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.NIC, b.NIC))
	})
	if err := w.collection.Maps[mapLost].Lookup(uint32(0), &lost); err != nil {
		return nil, 0, fmt.Errorf("read the kernel's drops: %w", err)
	}
	return counts, lost, nil
}

// Missed is how many drops the kernel did not show, of the whole node: those that came in the midst of another one, for the
// program is not run twice at a time on one processor (bpf_trace_run).
func (w *Watcher) Missed() uint64 {
	stats, err := w.collection.Programs["drops"].Stats()
	if err != nil {
		return 0 // an older kernel does not tell
	}
	return stats.RecursionMisses
}

// Explain says what a reason means. Of one that is nobody's fault harmless is set: packets that the kernel is done with,
// and those of which it does not say.
func Explain(reason string) (e Explanation, isHarmless bool) {
	return explain(reason), harmless(reason)
}
