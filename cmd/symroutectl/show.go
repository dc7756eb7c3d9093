package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/view"
)

func (a *app) show() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show (POD | --netns PATH|PID)",
		Short: "Show the routing of one pod",
		Long: `Show the routing of one pod, as the kernel has it: its NICs with their addresses, which table and gateway each address
uses, the reverse-path filter and which setting makes it so, who has the pod's default route and who is next, and the rules in
the kernel's order. Rules that are neither the kernel's nor symroute's are marked "foreign".`,
		Example: `  symroutectl show shop/cart-0
  symroutectl show --netns 4711 -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runShow(args) },
	}
	a.selection.one(cmd)
	return cmd
}

func (a *app) runShow(args []string) error {
	pod, _, err := a.pod(args)
	if err != nil {
		return err
	}
	seen, err := view.Of(pod)
	if err != nil {
		return fmt.Errorf("%s: %w", pod, err)
	}
	return a.output.print(a.out, document{kind: "Pod", value: seen, text: func(t *text) { printPod(t, seen) }})
}

func printPod(t *text, p *view.Pod) {
	fmt.Fprintf(t, "%s", t.paint(bold, p.Name))
	if p.Name != p.Netns {
		fmt.Fprintf(t, "  %s", p.Netns)
	}
	fmt.Fprintln(t)
	for _, n := range p.NICs {
		printNIC(t, n)
	}
	fmt.Fprintln(t)
	for _, d := range p.Defaults {
		owner := t.paint(red, "none")
		if len(d.Owners) > 0 {
			owner = strings.Join(d.Owners, " or ")
		}
		fmt.Fprintf(t, "%s default: %s", d.Family, owner)
		if len(d.Next) > 0 {
			fmt.Fprintf(t, "; next: %s", strings.Join(d.Next, ", "))
		}
		fmt.Fprintln(t)
	}
	for _, v := range p.VIPs {
		fmt.Fprintf(t, "virtual service: %s on %s\n", v.Address, v.Device)
	}
	fmt.Fprintln(t)
	var rows [][]string
	for _, r := range p.Rules {
		role := r.Role
		if role == "foreign" {
			role = t.paint(yellow, role)
		}
		rows = append(rows, []string{r.Family, role, r.Rule})
	}
	t.table([]string{"FAMILY", "ROLE", "RULE"}, rows)
	for _, x := range p.Tables {
		fmt.Fprintf(t, "\ntable %s\n", x.Name)
		for _, r := range x.Routes {
			fmt.Fprintf(t, "  %s\n", r)
		}
		if len(x.Routes) == 0 {
			fmt.Fprintln(t, "  (no routes)")
		}
	}
}

func printNIC(t *text, n view.NIC) {
	up := t.paint(green, "up")
	switch {
	case !n.Up:
		up = t.paint(red, "down")
	case n.Idle != "":
		up = t.paint(red, "up, "+n.Idle)
	}
	fmt.Fprintf(t, "\n%s  %s, mtu %d, rp_filter %s", t.paint(bold, n.Name), up, n.MTU, n.RPFilter.Mode)
	if n.RPFilter.Mode != "off" {
		fmt.Fprintf(t, " (by conf/%s)", n.RPFilter.By)
	}
	fmt.Fprintln(t)
	if n.Network != "" {
		fmt.Fprintf(t, "  network %s, mainDefault %s\n", n.Network, n.MainDefault)
	} else {
		fmt.Fprintln(t, "  no attachment of symroute")
	}
	for _, a := range n.Addresses {
		switch {
		case a.Tentative:
			fmt.Fprintf(t, "  %s is %s\n", a.Prefix, t.paint(red, "tentative"))
		case a.Deprecated:
			fmt.Fprintf(t, "  %s is %s\n", a.Prefix, t.paint(yellow, "deprecated"))
		}
	}
	for _, s := range n.Sources {
		source := s.Source.String()
		if s.Source.IsSingleIP() {
			source = s.Source.Addr().String()
		}
		gateways := strings.Join(s.Gateways, " or ")
		if gateways == "" {
			gateways = t.paint(yellow, "no default route")
		}
		fmt.Fprintf(t, "  %s -> table %s -> %s\n", source, s.Table, gateways)
	}
	if len(n.Sources) == 0 {
		fmt.Fprintln(t, "  no addresses")
	}
}
