package cluster

import (
	"testing"
	"time"
)

// TestCluster has one cluster for all scenarios: what one leaves behind is seen by the next.
// Run a single one by -run 'TestCluster/PART_OF_ITS_NAME'.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	c.installPlugins(t, "symroute")
	for _, scenario := range []struct {
		name string
		run  func(t *testing.T, c *cluster)
	}{
		{"a pod answers off-subnet clients on both NICs", answersOnBothNICs},
		{"a service and the kubelet's probes reach a pod", serviceAndProbes},
		{"five replicas are rolled over without a lost request", rollsOverWithoutALostRequest},
		{"of 30 pods at once nothing is left", manyPodsComeAndGo},
		{"pods come back after a reboot of the node", survivesAReboot},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			began := time.Now()
			scenario.run(t, c)
			t.Logf("took %v", time.Since(began).Round(time.Second))
		})
		c.assertNothingLeft(t)
	}
}
