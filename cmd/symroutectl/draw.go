package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/draw"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/view"
)

// drawOptions are those of draw.
type drawOptions struct {
	explainOptions
	format string
}

func (a *app) draw() *cobra.Command {
	var o drawOptions
	cmd := &cobra.Command{
		Use:   "draw (POD | --netns PATH|PID)",
		Short: "Draw the routing of one pod, for a ticket",
		Long: `Draw the routing of one pod: NICs, addresses, which table and gateway each uses, who has the default route. The picture is
made to be put into a ticket: SVG for browsers, DOT for Graphviz, Mermaid for wikis.

With --from and --to a connection is drawn into it, with the verdict of symroutectl explain: green if it works, dashed and
red if it does not.`,
		Example: `  symroutectl draw shop/cart-0 > cart-0.svg
  symroutectl draw shop/cart-0 --from 192.0.2.7 --to 203.0.113.144 > broken.svg
  symroutectl draw shop/cart-0 -o mermaid`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runDraw(o, args) },
	}
	a.selection.one(cmd)
	flags := cmd.Flags()
	flags.VarP(&oneOf{&o.format, []string{"svg", "dot", "mermaid"}}, "output", "o", "format: svg, dot or mermaid")
	flags.StringVar(&o.from, "from", "", "the address of the one who begins")
	flags.StringVar(&o.to, "to", "", "the address that the first packet goes to")
	flags.StringVar(&o.nic, "nic", "", "the pod's NIC by which the packets of the other side come")
	cmd.MarkFlagsRequiredTogether("from", "to")
	return cmd
}

func (a *app) runDraw(o drawOptions, args []string) error {
	pod, rest, err := a.pod(args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unexpected argument %q", rest[0])
	}
	if err != nil {
		return err
	}
	var flow *draw.Flow
	if o.from != "" {
		if flow, err = drawnFlow(pod, o.explainOptions); err != nil {
			return err
		}
	}
	seen, err := view.Of(pod)
	if err != nil {
		return fmt.Errorf("%s: %w", pod, err)
	}
	picture := draw.SVG
	switch o.format {
	case "dot":
		picture = draw.DOT
	case "mermaid":
		picture = draw.Mermaid
	}
	_, err = a.out.Write(picture(seen, flow))
	return err
}

// drawnFlow explains a connection, to be drawn.
func drawnFlow(pod node.Pod, o explainOptions) (*draw.Flow, error) {
	f, _, err := o.read(nil)
	if err != nil {
		return nil, err
	}
	report, err := explanations(pod, f, netip.Addr{})
	if err != nil {
		return nil, err
	}
	if len(report.Items) != 1 {
		return nil, errors.New("this connection is not one")
	}
	e := report.Items[0]
	flow := &draw.Flow{Client: e.From.String(), Local: e.To.String(), Arrives: e.NIC, Leaves: e.Leaves, Works: e.Works, Verdict: e.Verdict}
	if e.Local == e.From {
		flow.Client, flow.Local = e.To.String(), e.From.String()
	}
	return flow, nil
}
