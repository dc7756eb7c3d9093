package agent

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/drops"
	"github.com/symroute/symroute/pkg/node"
)

// Drops is an observer that counts what the kernel drops in the pods of symroute. As a collector of Prometheus it tells
// the sums by reason.
type Drops struct {
	Deaf
	watcher *drops.Watcher
	log     *slog.Logger
	desc    *prometheus.Desc

	mu     sync.Mutex
	inodes map[string]uint32 // of namespaces, by identity
	past   map[string]uint64 // drops in pods that have gone, by reason
}

// CountDrops begins to count. Its error is that of drops.Watch.
func CountDrops(log *slog.Logger) (*Drops, error) {
	watcher, err := drops.Watch()
	if err != nil {
		return nil, err
	}
	return &Drops{
		watcher: watcher, log: log, inodes: map[string]uint32{}, past: map[string]uint64{},
		desc: prometheus.NewDesc("symroute_drops_total",
			"Packets that the kernel dropped in pods of symroute, by its own reason, without those that are nobody's fault.", []string{"reason"}, nil),
	}, nil
}

// Close ends it.
func (d *Drops) Close() { d.watcher.Close() }

// Met is told of pods.
func (d *Drops) Met(p node.Pod) {
	var st unix.Stat_t
	if err := unix.Stat(p.Netns, &st); err != nil {
		return // it has gone
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inodes[p.Identity] = uint32(st.Ino) // those of namespaces have 32 bits (proc_alloc_inum)
	if err := d.watcher.Add(uint32(st.Ino)); err != nil {
		d.log.Warn("drops of a pod are not counted", "pod", p.String(), "error", err)
	}
}

// Left is told of pods that have gone.
func (d *Drops) Left(identity string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	inode, known := d.inodes[identity]
	if !known {
		return
	}
	delete(d.inodes, identity)
	for _, other := range d.inodes {
		if other == inode {
			return // it was given anew
		}
	}
	last, err := d.watcher.Remove(inode)
	if err != nil {
		d.log.Warn("drops of a pod that has gone cannot be read", "error", err)
	}
	sum(d.past, last)
}

// sum adds counts to sums by reason.
func sum(sums map[string]uint64, counts []drops.Count) {
	for _, c := range counts {
		if _, harmless := drops.Explain(c.Reason); !harmless {
			sums[c.Reason] += c.Count
		}
	}
}

// Describe says what Collect tells.
func (d *Drops) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

// Collect tells the sums.
func (d *Drops) Collect(to chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts, _, err := d.watcher.Counts()
	if err != nil {
		to <- prometheus.NewInvalidMetric(d.desc, fmt.Errorf("count drops: %w", err))
		return
	}
	sums := maps.Clone(d.past)
	sum(sums, counts)
	for reason, n := range sums {
		to <- prometheus.MustNewConstMetric(d.desc, prometheus.CounterValue, float64(n), reason)
	}
}
