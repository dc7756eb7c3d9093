package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/drops"
	"github.com/symroute/symroute/pkg/explain"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// explainOptions say which packets are meant.
type explainOptions struct {
	from, to, nic, proto, mark string
	port                       uint16
	verbose, live              bool
	span                       time.Duration
}

func (a *app) explain() *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain (POD | --netns PATH|PID) (CLIENT | --from ADDR --to ADDR)",
		Short: "Say why packets between a pod and a client arrive, or do not, and what to change",
		Long: `Say why packets between a pod and somebody outside arrive, or do not, and what to change.

With CLIENT, an address outside, every address of the pod is tried against it, and those that symroute remembers. With --from
and --to one connection is: --from is who begins. Both directions are looked at, always: the request and the reply. With --proto
and --dport it also looks whether somebody listens, and rules that select by them are met.

The first line is the verdict. Below it stands each thing that a packet meets, as the kernel has it: the address, the link,
the rule that decides, the route, the neighbour. The kernel is asked (as "ip route get" does); -v prints the commands.

It does not judge what netfilter does: the hooks that see the packets are listed at the end. --live shows what the kernel
drops while you try again (see drops): netfilter's drops among them, and those behind routing.

Exit codes: 0 the packets arrive, as far as routing is concerned; 1 they do not; 2 it could not be told.`,
		Example: `  # Does net1's address answer this client?
  symroutectl explain shop/cart-0 --from 192.0.2.7 --to 203.0.113.144 --proto tcp --dport 8080

  # Which addresses of the pod does a client reach?
  symroutectl explain shop/cart-0 192.0.2.7

  # Any network namespace, with symroute or without
  symroutectl explain --netns 4711 192.0.2.7`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExplain(cmd.Context(), o, args) },
	}
	a.selection.one(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "", "the address of the one who begins")
	flags.StringVar(&o.to, "to", "", "the address that the first packet goes to")
	flags.StringVar(&o.nic, "nic", "", "the pod's NIC by which the packets of the other side come (default: that of the pod's address)")
	flags.StringVar(&o.proto, "proto", "", "tcp, udp or icmp")
	flags.Uint16Var(&o.port, "dport", 0, "the port of the server")
	flags.StringVar(&o.mark, "mark", "", "the firewall mark of the packets, such as 0x1")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "print the commands that show the same")
	flags.BoolVar(&o.live, "live", false, "then show what the kernel drops while you try again, until Ctrl-C")
	flags.DurationVar(&o.span, "for", 0, "with --live: how long (default: until Ctrl-C)")
	cmd.MarkFlagsRequiredTogether("from", "to")
	return cmd
}

func (a *app) runExplain(ctx context.Context, o explainOptions, args []string) error {
	pod, rest, err := a.pod(args)
	if err != nil {
		return err
	}
	flow, client, err := o.read(rest)
	if err != nil {
		return err
	}
	report, err := explanations(pod, flow, client)
	if err != nil {
		return err
	}
	if o.live {
		return a.explainLive(ctx, o, pod, report)
	}
	err = a.output.print(a.out, report.document(o.verbose))
	if err == nil && report.broken() {
		return errProblem
	}
	return err
}

// explanations explains a connection, or those of a client with every address of the pod.
func explanations(pod node.Pod, flow explain.Flow, client netip.Addr) (explainReport, error) {
	report := explainReport{Pod: pod.String()}
	ns, err := kernel.Enter(pod.Netns)
	if err != nil {
		return report, fmt.Errorf("%s: %w", pod, err)
	}
	defer ns.Close() //nolint:errcheck // it was only looked at
	seen, err := explain.Look(ns)
	if err != nil {
		return report, fmt.Errorf("%s: %w", pod, err)
	}
	flows := []explain.Flow{flow}
	if client.IsValid() {
		flows = nil
		for _, local := range seen.Addresses(fib.FamilyOf(client)) {
			one := flow
			one.From, one.To = client, local
			flows = append(flows, one)
		}
		if len(flows) == 0 {
			return report, fmt.Errorf("%w: the pod has no %s address", explain.ErrFlow, fib.FamilyOf(client))
		}
	}
	for _, f := range flows {
		e, err := seen.Explain(f)
		if err != nil {
			return report, err
		}
		report.Items = append(report.Items, e)
	}
	return report, nil
}

// explainLive shows what routing says, and then what the kernel drops of these connections while the user tries.
func (a *app) explainLive(ctx context.Context, o explainOptions, pod node.Pod, report explainReport) error {
	w, err := watchable(pod)
	if err != nil {
		return fmt.Errorf("%s: %w", pod, err)
	}
	isText := a.output.format == formatTable || a.output.format == formatWide
	if isText {
		if err := a.output.print(a.out, report.document(o.verbose)); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
	}
	if o.span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.span)
		defer cancel()
	}
	dropped, err := a.watch(ctx, dropsOptions{}, map[uint32]watchedPod{w.inode: w})
	if err != nil {
		return err
	}
	report.Live = dropped.between(report)
	if isText {
		report.Live.print(&text{Writer: a.out, headers: !a.output.noHeaders, colored: a.output.isColored(a.out)})
	} else if err := a.output.print(a.out, report.document(o.verbose)); err != nil {
		return err
	}
	if report.broken() || len(report.Live.Items) > 0 {
		return errProblem
	}
	return nil
}

// read reads the options, and the client if one is named in their place.
func (o explainOptions) read(args []string) (flow explain.Flow, client netip.Addr, err error) {
	flow = explain.Flow{NIC: o.nic, Port: o.port}
	var faults []error
	address := func(name, value string) netip.Addr {
		a, err := netip.ParseAddr(value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is no address; write one such as 192.0.2.7", name, value))
		}
		return a.WithZone("")
	}
	switch {
	case len(args) > 1:
		faults = append(faults, fmt.Errorf("unexpected argument %q", args[1]))
	case o.from != "" && len(args) == 1:
		faults = append(faults, fmt.Errorf("CLIENT %q and --from exclude one another", args[0]))
	case o.from != "":
		flow.From, flow.To = address("--from", o.from), address("--to", o.to)
	case len(args) == 1:
		client = address("CLIENT", args[0])
	default:
		faults = append(faults, errors.New("name a CLIENT, or --from and --to"))
	}
	if o.proto != "" {
		switch strings.ToLower(o.proto) {
		case "tcp":
			flow.Protocol = unix.IPPROTO_TCP
		case "udp":
			flow.Protocol = unix.IPPROTO_UDP
		case "icmp":
			flow.Protocol = unix.IPPROTO_ICMP
			if flow.To.Is6() || client.Is6() {
				flow.Protocol = unix.IPPROTO_ICMPV6
			}
		default:
			faults = append(faults, fmt.Errorf("--proto: %q is none of tcp, udp, icmp", o.proto))
		}
	}
	if o.port != 0 && flow.Protocol != unix.IPPROTO_TCP && flow.Protocol != unix.IPPROTO_UDP {
		faults = append(faults, errors.New("--dport needs --proto tcp or udp"))
	}
	if o.mark != "" {
		mark, err := strconv.ParseUint(o.mark, 0, 32)
		if err != nil {
			faults = append(faults, fmt.Errorf("--mark: %q is no number of 32 bits; write one such as 0x1", o.mark))
		}
		flow.Mark = uint32(mark)
	}
	return flow, client, errors.Join(faults...)
}

// explainReport is what is printed.
type explainReport struct {
	Pod   string                 `json:"pod"`
	Items []*explain.Explanation `json:"items"`
	// Live is what the kernel dropped of the connections' packets while somebody tried (--live).
	Live *liveDrops `json:"live,omitempty"`
}

func (r explainReport) document(verbose bool) document {
	return document{kind: "Explanation", value: r, text: func(t *text) { r.print(t, verbose) }}
}

// liveDrops are drops of packets between the addresses that are explained.
type liveDrops struct {
	Items []dropSample `json:"items"`
	// Others is how many drops the pod had beside.
	Others int `json:"others"`
}

// between are the samples of these connections' packets.
func (d dropReport) between(r explainReport) *liveDrops {
	live := &liveDrops{Items: []dropSample{}}
	for _, s := range d.Samples {
		if slices.ContainsFunc(r.Items, func(e *explain.Explanation) bool { return s.isBetween(e.From, e.To) }) {
			live.Items = append(live.Items, s)
		} else {
			live.Others++
		}
	}
	return live
}

// isBetween says whether a packet is from one of two addresses to the other.
func (s dropSample) isBetween(a, b netip.Addr) bool {
	from, to := hostOf(s.From), hostOf(s.To)
	return from == a && to == b || from == b && to == a
}

// hostOf is the address of what may have a port, too.
func hostOf(text string) netip.Addr {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr()
	}
	a, _ := netip.ParseAddr(text) // ARP and others may have none
	return a
}

func (l liveDrops) print(t *text) {
	reasons := map[string]int{}
	var order []string
	for _, s := range l.Items {
		if reasons[s.Reason] == 0 {
			order = append(order, s.Reason)
		}
		reasons[s.Reason]++
	}
	if len(order) == 0 {
		fmt.Fprintf(t, "The kernel has dropped no packet of this connection meanwhile (others of the pod: %d).\n", l.Others)
		return
	}
	for _, reason := range order {
		e, _ := drops.Explain(reason)
		fmt.Fprintf(t, "%s: the kernel has dropped packets of this connection: %s", t.paint(red, reason), e.Sentence)
		if e.Change != "" {
			fmt.Fprintf(t, "\n  %s", e.Change)
		}
		fmt.Fprintln(t)
	}
}

func (r explainReport) broken() bool {
	for _, e := range r.Items {
		if !e.Works {
			return true
		}
	}
	return false
}

// print prints all verdicts first, and then how each came about.
func (r explainReport) print(t *text, verbose bool) {
	for _, e := range r.Items {
		word := t.paint(green, "OK")
		if !e.Works {
			word = t.paint(red, "BROKEN")
		}
		fmt.Fprintf(t, "%s: %s\n", word, e.Verdict)
	}
	several := len(r.Items) > 1
	for _, e := range r.Items {
		if several && e.Works && !verbose {
			continue
		}
		printExplanation(t, e, verbose)
	}
	if len(r.Items) > 0 && len(r.Items[0].NotJudged) > 0 {
		fmt.Fprintln(t, "\nnot judged here")
		for _, c := range r.Items[0].NotJudged {
			fmt.Fprintf(t, "  %s\n", c)
		}
	}
}

func printExplanation(t *text, e *explain.Explanation, verbose bool) {
	for _, d := range e.Directions {
		fmt.Fprintf(t, "\n%s  %s > %s\n", t.paint(bold, d.Name), d.From, d.To)
		for _, s := range d.Steps {
			word := map[explain.Judgement]string{explain.Fine: "ok  ", explain.Note: "note", explain.Bad: "BAD "}[s.Judgement]
			color := map[explain.Judgement]paint{explain.Fine: green, explain.Note: yellow, explain.Bad: red}[s.Judgement]
			fmt.Fprintf(t, "  %s %-9s %s\n", t.paint(color, word), s.Subject, s.Text)
			if verbose && s.Command != "" {
				fmt.Fprintf(t, "                 %s\n", t.paint(dim, "# "+s.Command))
			}
		}
	}
	if len(e.Problems) == 0 {
		return
	}
	fmt.Fprintf(t, "\n%s\n", t.paint(bold, "change"))
	told := map[string]bool{}
	for _, p := range e.Problems {
		if told[p.Change] {
			continue // one cause, seen from both sides
		}
		told[p.Change] = true
		if len(e.Problems) > 1 {
			fmt.Fprintf(t, "  %s\n    ", p.Sentence)
		} else {
			fmt.Fprint(t, "  ")
		}
		fmt.Fprintln(t, p.Change)
	}
}
