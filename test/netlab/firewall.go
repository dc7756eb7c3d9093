package netlab

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
)

// statefulRules lets connections through that were opened from the client's
// side, and nothing that does not belong to such a connection. What it drops it
// counts.
const statefulRules = `
table inet guard {
	counter dropped { }
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state invalid counter name dropped drop
		ct state established,related accept
		iifname "%s" ct state new accept
		counter name dropped drop
	}
}
`

// StatefulFirewall makes a router track connections: only those opened through
// the link clientSide pass, and only packets that belong to them.
func (n *NS) StatefulFirewall(t testing.TB, clientSide string) {
	t.Helper()
	requireNFT(t)
	if _, err := n.Command(fmt.Sprintf(statefulRules, clientSide), "nft", "-f", "-"); err != nil {
		t.Fatalf("in namespace %s: %v", n.Name, err)
	}
}

// FirewallDrops is how many packets the stateful firewall has refused.
func (n *NS) FirewallDrops(t testing.TB) int {
	t.Helper()
	out, err := n.Command("", "nft", "-j", "list", "counter", "inet", "guard", "dropped")
	if err != nil {
		t.Fatalf("in namespace %s: %v", n.Name, err)
	}
	var list struct {
		Nftables []struct {
			Counter *struct {
				Packets int `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("nft -j: %v in %q", err, out)
	}
	for _, entry := range list.Nftables {
		if entry.Counter != nil {
			return entry.Counter.Packets
		}
	}
	t.Fatalf("nft -j shows no counter: %q", out)
	return 0
}

func requireNFT(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatal("nft is missing: install the package nftables")
	}
}

// AllowFrom lets a stateful firewall accept connections that are opened through
// another link too.
func (n *NS) AllowFrom(t testing.TB, link string) {
	t.Helper()
	requireNFT(t)
	rule := fmt.Sprintf("insert rule inet guard forward iifname %q ct state new accept\n", link)
	if _, err := n.Command(rule, "nft", "-f", "-"); err != nil {
		t.Fatalf("in namespace %s: %v", n.Name, err)
	}
}
