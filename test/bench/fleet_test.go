package bench

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// A fleet is many pods that a node gets at the same time.
const (
	fleetName    = "200 pods, 4 NICs each, 16 at a time"
	fleetPods    = 200
	fleetNICs    = 4
	fleetWorkers = 16
)

// fleets attaches fleets, those of all contestants in turn, once for each 40 pairs. All
// NICs are there before. No other process stands between this one and the plugins.
func (b *bench) fleets(t *testing.T) {
	t.Helper()
	s := shape{name: fleetName, addresses: 1, earlier: fleetNICs - 1}
	contestants := b.peers(s)
	for round := range (*pairs + 39) / 40 {
		for _, i := range turn(len(contestants), round) {
			c := contestants[i]
			b.podsPerSecond[c.name] = append(b.podsPerSecond[c.name], b.fleet(t, c))
		}
	}
	b.printFleets()
}

// fleet attaches the pods of one fleet, and returns how many a second.
func (b *bench) fleet(t *testing.T, c contestant) float64 {
	t.Helper()
	pods := b.bare(t, fleetPods)
	for number := range fleetNICs {
		b.plug(t, pods, c.shape.nic(number+1))
	}
	start := time.Now()
	err := spread(pods, func(pod *netlab.NS) error { return attachAll(c, pod) })
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	b.remove(t, pods)
	return fleetPods / took.Seconds()
}

// attachAll runs a contestant for all NICs of a pod, one after the other.
func attachAll(c contestant, pod *netlab.NS) error {
	for number := range fleetNICs {
		for _, each := range calls(c.chain, "ADD", pod, c.shape.nic(number+1)) {
			if _, err := each.run(); err != nil {
				return err
			}
		}
	}
	return nil
}

// spread lets workers do something with each pod.
func spread(pods []*netlab.NS, do func(*netlab.NS) error) error {
	queue := make(chan *netlab.NS, len(pods))
	for _, pod := range pods {
		queue <- pod
	}
	close(queue)
	failed := make([]error, fleetWorkers)
	var workers sync.WaitGroup
	for i := range failed {
		workers.Go(func() {
			for pod := range queue {
				failed[i] = errors.Join(failed[i], do(pod))
			}
		})
	}
	workers.Wait()
	return errors.Join(failed...)
}
