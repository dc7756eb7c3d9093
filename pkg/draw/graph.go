package draw

import (
	"fmt"
	"strings"

	"github.com/symroute/symroute/pkg/view"
)

// DOT draws a pod for Graphviz.
func DOT(p *view.Pod, flow *Flow) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "digraph pod {\n\trankdir=LR;\n\tlabel=%s;\n\tlabelloc=t;\n\tnode [shape=box, fontname=\"sans-serif\"];\n", dotText("Routing of "+p.Name))
	graph(p, flow, func(id string, lines ...string) {
		fmt.Fprintf(&out, "\t%s [label=%s];\n", id, dotText(strings.Join(lines, "\n")))
	}, func(from, to, label string, works, broken bool) {
		style := ""
		switch {
		case broken:
			style = ", color=red, style=dashed"
		case works:
			style = ", color=darkgreen"
		}
		fmt.Fprintf(&out, "\t%s -> %s [label=%s%s];\n", from, to, dotText(label), style)
	})
	out.WriteString("}\n")
	return []byte(out.String())
}

// dotText is a string of DOT.
func dotText(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// Mermaid draws a pod as a flowchart of Mermaid, which many wikis and ticket systems show.
func Mermaid(p *view.Pod, flow *Flow) []byte {
	var out strings.Builder
	out.WriteString("flowchart LR\n")
	edge := 0
	var broken, works []string
	graph(p, flow, func(id string, lines ...string) {
		fmt.Fprintf(&out, "  %s[%s]\n", id, mermaidText(strings.Join(lines, "<br/>")))
	}, func(from, to, label string, isWorking, isBroken bool) {
		line := "-->"
		if label != "" {
			line += "|" + mermaidText(label) + "|"
		}
		fmt.Fprintf(&out, "  %s %s %s\n", from, line, to)
		switch {
		case isBroken:
			broken = append(broken, fmt.Sprint(edge))
		case isWorking:
			works = append(works, fmt.Sprint(edge))
		}
		edge++
	})
	if len(broken) > 0 {
		fmt.Fprintf(&out, "  linkStyle %s stroke:#b3160b,stroke-width:3px\n", strings.Join(broken, ","))
	}
	if len(works) > 0 {
		fmt.Fprintf(&out, "  linkStyle %s stroke:#1d7a2e,stroke-width:3px\n", strings.Join(works, ","))
	}
	return []byte(out.String())
}

// mermaidText is a string of Mermaid, in which quotes and the like are written as entities.
func mermaidText(text string) string {
	text = strings.NewReplacer("#", "#35;", `"`, "#quot;", "\n", " ").Replace(text)
	return `"` + text + `"`
}

// graph walks along what DOT and Mermaid draw: nodes, and edges between them.
func graph(p *view.Pod, flow *Flow, node func(id string, lines ...string), edge func(from, to, label string, works, broken bool)) {
	nics := map[string]string{}
	gateways := map[string]string{}
	local := ""
	for i, r := range rowsOf(p) {
		nic := fmt.Sprintf("nic%d", i)
		nics[r.nic[0]] = nic
		node(nic, r.nic...)
		for k, g := range r.groups {
			sources, table, gateway := fmt.Sprintf("sources%d_%d", i, k), fmt.Sprintf("table%d_%d", i, k), fmt.Sprintf("gateway%d_%d", i, k)
			node(sources, g.sources...)
			node(table, "table "+g.table)
			node(gateway, g.gateways...)
			edge(nic, sources, "", false, false)
			edge(sources, table, "", false, false)
			edge(table, gateway, "", false, false)
			if gateways[r.nic[0]] == "" {
				gateways[r.nic[0]] = gateway
			}
			for _, s := range g.sources {
				if flow != nil && s == flow.Local {
					local = sources
				}
			}
		}
	}
	node("defaults", defaults(p)...)
	if lines := foreign(p); lines != nil {
		node("others", lines...)
	}
	if flow == nil {
		return
	}
	node("verdict", flow.Verdict)
	if nic, ok := nics[flow.Arrives]; ok {
		node("client", flow.Client)
		edge("client", nic, "arrives", flow.Works, !flow.Works)
		if gateway, ok := gateways[flow.Leaves]; ok && local != "" {
			edge(local, gateway, "leaves by "+flow.Leaves, flow.Works, !flow.Works)
		}
	}
}
