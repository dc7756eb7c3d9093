package cluster

import (
	"testing"
	"time"
)

// TestCluster has one cluster for all scenarios: what one leaves behind is seen by the next.
// A single one is run by -run 'TestCluster/PART_OF_ITS_NAME', spaces being underscores.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	c.installPlugins(t, "symroute")
	for _, s := range []struct {
		name string
		run  func(t *testing.T, c *cluster)
	}{
		{"a pod answers off-subnet clients on both NICs", answersOnBothNICs},
		{"a service and the probes of the kubelet reach a pod", serviceAndProbes},
		{"five replicas are rolled over without a lost request", rollsOverWithoutALostRequest},
		{"of 30 pods at once nothing is left", manyPodsComeAndGo},
		{"pods come back after a reboot of the node", survivesAReboot},
	} {
		c.scenario(t, s.name, func(t *testing.T) { s.run(t, c) })
	}
}

// TestAgent is the same with the agent, which the chart installs: the node has no plugin before.
// Its scenarios build on each other from the first that installs it to the last that removes it.
func TestAgent(t *testing.T) {
	a := newAgents(t)
	for _, s := range []struct {
		name string
		run  func(t *testing.T, a *agents)
	}{
		{"the API server accepts chart and kustomize", acceptsManifests},
		{"pods that wait for the plugin start when it is installed", installsThePlugin},
		{"a link flap is repaired and told", repairsALinkFlap},
		{"a deleted rule is named, and repaired if all is", namesADeletedRule},
		{"pods come and go while the agent is upgraded and killed", restartsUnnoticed},
		{"a deleted plugin is put back", putsADeletedPluginBack},
		{"uninstall refuses while a pod needs the plugin", uninstallsLast},
	} {
		a.scenario(t, s.name, func(t *testing.T) { s.run(t, a) })
	}
}

// scenario runs one, says how long it took, and demands that its pods have left nothing.
func (c *cluster) scenario(t *testing.T, name string, run func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		began := time.Now()
		t.Cleanup(func() { // after those that delete what it made
			c.assertNothingLeft(t)
			t.Logf("took %v", time.Since(began).Round(time.Second))
		})
		run(t)
	})
}
