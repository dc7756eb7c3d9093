package explain

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Chain is a hook of netfilter in the pod. What its rules do with a packet is not judged.
type Chain struct {
	// Name is the family, table and chain, as nft prints them.
	Name string `json:"name"`
	// Hook is where packets meet it: "prerouting", "input", "forward", "output", "postrouting".
	Hook string `json:"hook"`
	// Policy is what becomes of those that no rule decides: "accept" or "drop".
	Policy string `json:"policy"`
	Rules  int    `json:"rules"`
	// Does is what rules of the chain can do that matters here: "drops", "marks", "translates".
	Does []string `json:"does"`
}

// interferes says whether a packet may meet something in it.
func (c Chain) interferes() bool { return c.Policy != "accept" || len(c.Does) > 0 }

func (c Chain) String() string {
	text := fmt.Sprintf("nft %s, hook %s, policy %s, %d rules", c.Name, c.Hook, c.Policy, c.Rules)
	if len(c.Does) > 0 {
		text += ": " + strings.Join(c.Does, ", ")
	}
	return text
}

// chains lists the hooks of netfilter in the namespace that the calling thread is in.
func chains() ([]Chain, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	all, err := conn.ListChains()
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return legacy(), nil // a kernel without nftables
	case err != nil:
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	out := []Chain{}
	for _, c := range all {
		if c.Hooknum == nil { // rules lead to it
			continue
		}
		policy := "accept"
		if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			policy = "drop"
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return nil, fmt.Errorf("list nftables: %w", err)
		}
		out = append(out, Chain{
			Name: fmt.Sprintf("%s %s %s", familyName(c.Table.Family), c.Table.Name, c.Name), Hook: hookName(*c.Hooknum),
			Policy: policy, Rules: len(rules), Does: does(rules),
		})
	}
	return append(out, legacy()...), nil
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyNetdev:
		return "netdev"
	case nftables.TableFamilyBridge:
		return "bridge"
	case nftables.TableFamilyUnspecified:
	}
	return fmt.Sprintf("family %d", f)
}

// hookName is the hook of the IP families (NF_INET_*).
func hookName(h nftables.ChainHook) string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	if int(h) < len(names) {
		return names[h]
	}
	return fmt.Sprint(uint32(h))
}

// does is what rules can do that keeps a packet from arriving, or sends it elsewhere.
func does(rules []*nftables.Rule) []string {
	var out []string
	add := func(what string) {
		if !slices.Contains(out, what) {
			out = append(out, what)
		}
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			switch x := e.(type) {
			case *expr.Verdict:
				if x.Kind == expr.VerdictDrop {
					add("drops")
				}
				if x.Kind == expr.VerdictJump || x.Kind == expr.VerdictGoto {
					add("leads to other chains")
				}
			case *expr.Reject:
				add("drops")
			case *expr.Meta:
				if x.Key == expr.MetaKeyMARK && x.SourceRegister {
					add("marks")
				}
			case *expr.NAT, *expr.Masq, *expr.Redir:
				add("translates addresses")
			}
		}
	}
	return out
}

// legacy names the tables of the iptables that nftables do not show.
func legacy() []Chain {
	var out []Chain
	for _, family := range []string{"ip", "ip6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + family + "_tables_names")
		if err != nil {
			continue // the kernel has none
		}
		for _, table := range strings.Fields(string(text)) {
			out = append(out, Chain{Name: fmt.Sprintf("%stables-legacy %s", family, table), Hook: "all", Policy: "see " + family + "tables-legacy-save", Does: []string{}})
		}
	}
	return out
}
