package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/drops"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// dropsOptions say how long is looked, and at what.
type dropsOptions struct {
	span  time.Duration
	count int
	all   bool
}

func (a *app) drops() *cobra.Command {
	var o dropsOptions
	cmd := &cobra.Command{
		Use:   "drops (POD | -A | --netns PATH|PID)",
		Short: "Show live why the kernel drops packets of pods",
		Long: `Show live why the kernel drops packets of pods, until Ctrl-C, --for or --count: the reason that the kernel gives, the NIC,
addresses and ports. Of many drops of one sort the first few are shown, and then fewer and fewer; all are counted. At the end
comes the list of counts, with what each reason means.

It loads an eBPF program (CAP_BPF and CAP_PERFMON, or root), which is gone when the command ends. Linux 5.17 and newer give
reasons; on an older kernel, or one without BTF, it shows the counters of the pod that have grown.

What has no route is not dropped, for the kernel makes no packet of it: symroutectl explain shows that.

Exit codes: 0 nothing was dropped, 1 something was, 2 it could not be told.`,
		Example: `  symroutectl drops shop/cart-0
  symroutectl drops -A --for 10s
  symroutectl drops --netns 4711 --count 1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runDrops(cmd.Context(), o, args) },
	}
	a.selection.several(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&o.span, "for", 0, "how long to look (default: until Ctrl-C)")
	flags.IntVar(&o.count, "count", 0, "end after so many packets were shown")
	flags.BoolVar(&o.all, "all-reasons", false, "also what the kernel is done with, or does not say why it drops")
	return cmd
}

func (a *app) runDrops(ctx context.Context, o dropsOptions, args []string) error {
	pods, err := a.selected(args)
	if err != nil {
		return err
	}
	watched := map[uint32]watchedPod{}
	for _, p := range pods {
		w, err := watchable(p)
		if errors.Is(err, kernel.ErrGone) && a.selection.all {
			continue // it has gone meanwhile
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		watched[w.inode] = w
	}
	if len(watched) == 0 {
		return errors.New("there are no pods to watch")
	}
	if o.span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.span)
		defer cancel()
	}
	report, err := a.watch(ctx, o, watched)
	if errors.Is(err, drops.ErrNoBTF) || errors.Is(err, drops.ErrNoReasons) {
		a.note("%v: counters are shown in their place", err)
		return a.counters(ctx, watched)
	}
	if err != nil {
		return err
	}
	err = a.output.print(a.out, document{kind: "DropReport", value: report, text: report.print})
	if err == nil && len(report.Items) > 0 {
		return errProblem
	}
	return err
}

// watchedPod is a pod with what is needed to name what happens in it.
type watchedPod struct {
	name  string
	netns string
	inode uint32
	nics  map[int]string
}

// watchable looks up the names of a pod's NICs.
func watchable(p node.Pod) (watchedPod, error) {
	ns, err := kernel.Enter(p.Netns)
	if err != nil {
		return watchedPod{}, err
	}
	defer ns.Close() //nolint:errcheck // it was only looked at
	var st unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &st); err != nil {
		return watchedPod{}, os.NewSyscallError("fstat", err)
	}
	seen, err := ns.Observe()
	if err != nil {
		return watchedPod{}, err
	}
	w := watchedPod{name: p.String(), netns: p.Netns, inode: uint32(st.Ino), nics: map[int]string{}}
	for _, l := range seen.Links {
		w.nics[l.Index] = l.Name
	}
	return w, nil
}

// nic names a NIC; 0 is none.
func (w watchedPod) nic(index int) string {
	if name, ok := w.nics[index]; ok {
		return name
	}
	if index == 0 {
		return ""
	}
	return fmt.Sprintf("if%d", index)
}

// dropReport is what is printed at the end.
type dropReport struct {
	Items []dropCount `json:"items"`
	// Samples are some of the packets.
	Samples []dropSample `json:"samples"`
	// Lost is how many found no place in the lists. Missed is how many the kernel did not show, of all pods.
	Lost   uint64 `json:"lost"`
	Missed uint64 `json:"missed"`
}

type dropCount struct {
	Pod      string `json:"pod"`
	Reason   string `json:"reason"`
	NIC      string `json:"nic"`
	Protocol string `json:"protocol"`
	Count    uint64 `json:"count"`
	drops.Explanation
}

type dropSample struct {
	Pod    string `json:"pod"`
	Reason string `json:"reason"`
	NIC    string `json:"nic"`
	drops.Packet
	Number uint64 `json:"number"`
}

// watch counts drops until the context ends, and prints packets as they come.
func (a *app) watch(ctx context.Context, o dropsOptions, watched map[uint32]watchedPod) (dropReport, error) {
	var inodes []uint32
	for inode := range watched {
		inodes = append(inodes, inode)
	}
	w, err := drops.Watch(inodes...)
	if err != nil {
		return dropReport{}, err
	}
	defer w.Close()
	a.note("watching %d network namespaces: Ctrl-C ends it", len(inodes))
	report := dropReport{Items: []dropCount{}, Samples: []dropSample{}}
	live := a.output.format == formatTable || a.output.format == formatWide
	const step = 100 * time.Millisecond // how soon the end of the context is seen
	for ctx.Err() == nil && (o.count == 0 || len(report.Samples) < o.count) {
		d, ok, err := w.Next(time.Now().Add(step))
		if err != nil {
			return dropReport{}, err
		}
		if _, harmless := drops.Explain(d.Reason); !ok || harmless && !o.all {
			continue
		}
		p := watched[d.Namespace]
		s := dropSample{p.name, d.Reason, p.nic(d.NIC), d.Packet, d.Number}
		report.Samples = append(report.Samples, s)
		if live {
			s.print(a.out, len(watched) > 1)
		}
	}
	counts, lost, err := w.Counts()
	if err != nil {
		return dropReport{}, err
	}
	report.Lost, report.Missed = lost, w.Missed()
	for _, c := range counts {
		e, harmless := drops.Explain(c.Reason)
		if p := watched[c.Namespace]; !harmless || o.all {
			report.Items = append(report.Items, dropCount{p.name, c.Reason, p.nic(c.NIC), c.Protocol, c.Count, e})
		}
	}
	return report, nil
}

func (s dropSample) print(w interface{ Write([]byte) (int, error) }, withPod bool) {
	if withPod {
		fmt.Fprintf(w, "%s: ", s.Pod)
	}
	fmt.Fprintf(w, "%s on %s: %s", s.Reason, orNone(s.NIC), s.Protocol)
	if s.From != "" {
		fmt.Fprintf(w, " %s > %s", s.From, s.To)
	}
	if s.Number > 1 {
		fmt.Fprintf(w, " (number %d)", s.Number)
	}
	fmt.Fprintln(w)
}

func orNone(nic string) string {
	if nic == "" {
		return "no NIC"
	}
	return nic
}

func (r dropReport) print(t *text) {
	if r.Missed > 0 {
		defer fmt.Fprintf(t, "\n%d drops on this node were not seen: they came in the midst of others\n", r.Missed)
	}
	if len(r.Items) == 0 {
		fmt.Fprintln(t, "nothing was dropped")
		return
	}
	fmt.Fprintln(t)
	var rows [][]string
	for _, c := range r.Items {
		rows = append(rows, []string{fmt.Sprint(c.Count), c.Pod, c.NIC, c.Protocol, c.Reason, c.Sentence})
	}
	t.table([]string{"COUNT", "POD", "NIC", "PROTOCOL", "REASON", "MEANING"}, rows)
	told := map[string]bool{}
	for _, c := range r.Items {
		if c.Change != "" && !told[c.Reason] {
			told[c.Reason] = true
			fmt.Fprintf(t, "\n%s: %s\n", t.paint(bold, c.Reason), c.Change)
		}
	}
	if r.Lost > 0 {
		fmt.Fprintf(t, "\n%d more were not shown: there were too many at once\n", r.Lost)
	}
}

// counterReport is what is printed where the kernel gives no reasons.
type counterReport struct {
	Items []podCounters `json:"items"`
}

type podCounters struct {
	Pod      string         `json:"pod"`
	Counters []drops.Growth `json:"counters"`
}

// counters shows which counters of the pods grow until the context ends.
func (a *app) counters(ctx context.Context, watched map[uint32]watchedPod) error {
	before := map[uint32]drops.Counters{}
	for inode, p := range watched {
		c, err := countersIn(p.netns)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		before[inode] = c
	}
	a.note("watching the counters of %d network namespaces: Ctrl-C ends it", len(watched))
	<-ctx.Done()
	report := counterReport{Items: []podCounters{}}
	for inode, p := range watched {
		now, err := countersIn(p.netns)
		if err != nil {
			a.note("%s: %v", p.name, err)
			continue
		}
		if grown := now.Since(before[inode]); len(grown) > 0 {
			report.Items = append(report.Items, podCounters{p.name, grown})
		}
	}
	err := a.output.print(a.out, document{kind: "CounterReport", value: report, text: report.print})
	if err == nil && len(report.Items) > 0 {
		return errProblem
	}
	return err
}

func countersIn(netns string) (drops.Counters, error) {
	ns, err := kernel.Enter(netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close() //nolint:errcheck // it was only looked at
	return drops.ReadCounters()
}

func (r counterReport) print(t *text) {
	if len(r.Items) == 0 {
		fmt.Fprintln(t, "no counter of drops has grown")
		return
	}
	var rows [][]string
	for _, p := range r.Items {
		for _, c := range p.Counters {
			rows = append(rows, []string{fmt.Sprint(c.By), p.Pod, c.Name})
		}
	}
	t.table([]string{"COUNT", "POD", "COUNTER"}, rows)
}
