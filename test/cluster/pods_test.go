package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serving is a container that answers HTTP, with probes of the kubelet, and which goes
// on to answer while its end is announced to those who might still ask.
const serving = `
    - name: serve
      image: ` + podImage + `
      args: [serve]
      readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1, timeoutSeconds: 30}
      livenessProbe: {httpGet: {port: 8080}, periodSeconds: 2, timeoutSeconds: 30}
      lifecycle: {preStop: {sleep: {seconds: 15}}}
`

// deployment is a number of serving pods, and a dual-stack service of the same name.
func deployment(name string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:%[3]s
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ipFamilyPolicy: RequireDualStack
  ports: [{port: 8080}]
`, name, replicas, strings.ReplaceAll(serving, "\n", "\n  "))
}

// deploy makes a deployment and waits until its pods are ready.
func (c *cluster) deploy(t *testing.T, name string, replicas int) {
	t.Helper()
	c.apply(t, deployment(name, replicas))
	c.rolledOut(t, "deployment/"+name)
}

func (c *cluster) rolledOut(t *testing.T, workload string) {
	t.Helper()
	c.kubectl(t, "rollout", "status", workload, "--timeout", patience.String())
}

// pods lists the names of pods.
func (c *cluster) pods(t *testing.T, label string) []string {
	t.Helper()
	return strings.Fields(c.kubectl(t, "get", "pods", "-l", label, "-o", "jsonpath={.items[*].metadata.name}"))
}

// assertReachable demands that the client reaches a pod at each address of both NICs.
func (c *cluster) assertReachable(t *testing.T, pod string) {
	t.Helper()
	addresses := c.addresses(t, c.netns(t, pod))
	if len(addresses) != 4 {
		t.Errorf("%s has the addresses %q, want one of each family on eth0 and eth1", pod, addresses)
	}
	for _, address := range addresses {
		name, err := c.get(address, patience)
		if err != nil || name != pod {
			t.Errorf("the client asks %s at %s: %q answers, %v", pod, address, name, err)
		}
	}
}

// answersOnBothNICs: each address of a pod answers a client that is behind routers with
// stateful firewalls.
func answersOnBothNICs(t *testing.T, c *cluster) {
	c.deploy(t, "both", 1)
	c.assertReachable(t, c.pods(t, "app=both")[0])
}

// serviceAndProbes: a service's addresses reach a pod, from the node and from the client, and
// the kubelet's probes do.
func serviceAndProbes(t *testing.T, c *cluster) {
	c.deploy(t, "service", 1) // it is rolled out if the readiness probe was answered
	pod := c.pods(t, "app=service")[0]
	addresses := strings.Fields(c.kubectl(t, "get", "service", "service", "-o", "jsonpath={.spec.clusterIPs[*]}"))
	if len(addresses) != 2 {
		t.Fatalf("the service has the addresses %q, want one of each family", addresses)
	}
	for _, address := range addresses {
		eventually(t, "kube-proxy has heard of "+address, func() error {
			name, err := c.get(address, unanswered)
			if err == nil && name != pod {
				err = fmt.Errorf("%q answers, not %q", name, pod)
			}
			return err
		})
		if _, err := get(c.node, netip.Addr{}, pageOf(address), patience); err != nil {
			t.Errorf("the node asks the service at %s: %v", address, err)
		}
	}
	restarts := c.kubectl(t, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
	if restarts != "0" {
		t.Errorf("the liveness probe has had the container restarted %s times", restarts)
	}
	if events := c.kubectl(t, "get", "events", "--field-selector", "reason=Unhealthy,involvedObject.name="+pod, "-o", "name"); events != "" {
		t.Errorf("a probe was not answered: %s", events)
	}
}

// rollsOverWithoutALostRequest: a client that asks all the time while five pods are replaced
// gets an answer each time.
func rollsOverWithoutALostRequest(t *testing.T, c *cluster) {
	const replicas = 5
	c.deploy(t, "roll", replicas)
	before := c.pods(t, "app=roll")
	address := c.kubectl(t, "get", "service", "roll", "-o", "jsonpath={.spec.clusterIP}")
	eventually(t, "kube-proxy has heard of the service", func() error {
		_, err := c.get(address, unanswered)
		return err
	})

	stop, stopped := make(chan struct{}), make(chan struct{})
	answers, lost := map[string]int{}, []error{}
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if name, err := c.get(address, patience); err != nil {
				lost = append(lost, err)
			} else {
				answers[name]++
			}
		}
	}()
	began := time.Now()
	c.kubectl(t, "rollout", "restart", "deployment/roll")
	c.rolledOut(t, "deployment/roll")
	for _, pod := range before {
		c.kubectl(t, "wait", "--for=delete", "pod/"+pod, "--timeout", patience.String())
	}
	eventually(t, "a new pod has answered", func() error {
		name, err := c.get(address, patience)
		if err == nil && strings.Contains(strings.Join(before, " "), name) {
			err = fmt.Errorf("%s answers, which is gone", name)
		}
		return err
	})
	close(stop)
	<-stopped
	t.Logf("%d pods were replaced in %v; answers: %v", replicas, time.Since(began).Round(time.Second), answers)
	if len(lost) > 0 {
		t.Errorf("%d requests were lost, the first: %v", len(lost), lost[0])
	}
	if len(answers) <= replicas {
		t.Errorf("only %d pods have answered: the test has seen no replacement", len(answers))
	}
}

// manyPodsComeAndGo: of 30 pods that start and end at once nothing stays.
func manyPodsComeAndGo(t *testing.T, c *cluster) {
	const pods = 30
	began := time.Now()
	c.kubectl(t, "create", "deployment", "many", "--image="+podImage, fmt.Sprintf("--replicas=%d", pods))
	t.Cleanup(func() { c.kubectl(t, "delete", "deployment", "many", "--ignore-not-found", "--wait") })
	c.rolledOut(t, "deployment/many")
	t.Logf("%d pods run after %v", pods, time.Since(began).Round(time.Second))
	if records := c.Files(t, "/run/cni/symroute"); len(records) < 2*pods {
		t.Errorf("%d files in /run/cni/symroute, want a record for each of %d NICs at least", len(records), 2*pods)
	}
	c.kubectl(t, "delete", "deployment", "many")
	c.kubectl(t, "wait", "--for=delete", "pod", "-l", "app=many", "--timeout", patience.String())
	c.assertNothingLeft(t)
	t.Logf("they are gone after %v", time.Since(began).Round(time.Second))
}

// survivesAReboot: the pods of a node that was rebooted come back, and nothing of those that
// ran before it stays.
func survivesAReboot(t *testing.T, c *cluster) {
	const replicas = 3
	c.deploy(t, "reboot", replicas)
	before := c.Files(t, "/run/netns")
	c.reboot(t)
	eventually(t, "the pods run in new namespaces", func() error {
		if now := c.Files(t, "/run/netns"); len(now) < len(before) {
			return fmt.Errorf("%d namespaces, %d before", len(now), len(before))
		}
		return nil
	})
	c.rolledOut(t, "deployment/reboot")
	for _, pod := range c.pods(t, "app=reboot") {
		c.kubectl(t, "wait", "--for=condition=Ready", "pod/"+pod, "--timeout", patience.String())
		c.assertReachable(t, pod)
	}
	c.kubectl(t, "delete", "deployment", "reboot")
	c.kubectl(t, "wait", "--for=delete", "pod", "-l", "app=reboot", "--timeout", patience.String())
	c.assertNothingLeft(t)
}

// reboot takes away what a reboot takes away: the processes of the kubelet, of containerd and
// of all pods, their namespaces and all of /run. What is on disk stays.
func (c *cluster) reboot(t *testing.T) {
	t.Helper()
	c.Must(t, "sh", "-ec", `
		pkill -KILL -x kubelet || true
		pkill -KILL containerd || true
		pkill -KILL -x pod || true
		while pgrep -x kubelet || pgrep containerd || pgrep -x pod; do sleep 0.01; done
		awk '$5 ~ "^/(run|var/lib/kubelet)/" { print $5 }' /proc/self/mountinfo | sort -r |
			while read -r dir; do umount -l "$dir" || true; done # it may have gone with another
		rm -rf /run/*
		ip link delete cni0`)
	c.startContainerd(t)
	c.startKubelet(t)
	c.waitForNode(t)
}
