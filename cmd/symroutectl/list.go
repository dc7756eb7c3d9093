package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/view"
)

func (a *app) list() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the attachments of this node",
		Long: `List every attachment that symroute remembers on this node: pod, NIC, addresses, gateways and tables, as ADD left them.

STATE is "present" if the network namespace is there, and "gone" if it is not: its DEL has not come. Whether routing still is
as ADD left it says symroutectl check.`,
		Example: `  symroutectl list
  symroutectl list -n shop -o wide
  symroutectl list -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.runList() },
	}
	a.selection.dirs(cmd)
	cmd.Flags().StringVarP(&a.selection.namespace, "namespace", "n", "", "only pods of this Kubernetes namespace")
	return cmd
}

func (a *app) runList() error {
	remembered, err := a.selection.node.Remembered()
	list := attachmentList{Items: []attachmentItem{}}
	for _, p := range a.noted(remembered, err) {
		if ns := a.selection.namespace; ns != "" && p.Kubernetes.Namespace != ns {
			continue
		}
		alive := p.Alive()
		for _, x := range p.Attachments {
			list.Items = append(list.Items, itemOf(p, x, alive))
		}
	}
	return a.output.print(a.out, document{kind: "AttachmentList", value: list, text: list.print})
}

// attachmentList is what is printed.
type attachmentList struct {
	Items []attachmentItem `json:"items"`
}

// attachmentItem is one attachment, as its record has it.
type attachmentItem struct {
	Pod         string   `json:"pod"`
	Container   string   `json:"container"`
	Netns       string   `json:"netns"`
	NIC         string   `json:"nic"`
	Network     string   `json:"network"`
	Addresses   []string `json:"addresses"` // and other sources
	Gateways    []string `json:"gateways"`
	Tables      []uint32 `json:"tables"`
	RPFilter    string   `json:"rpFilter"`
	MainDefault string   `json:"mainDefault"`
	State       string   `json:"state"`
	Release     string   `json:"release"`
}

func itemOf(p node.Pod, a node.Attachment, alive bool) attachmentItem {
	item := attachmentItem{
		Pod: p.String(), Container: a.ContainerID, Netns: a.Netns, NIC: a.IfName, Network: a.Network,
		Addresses: []string{}, Gateways: []string{}, Tables: []uint32{}, RPFilter: view.ModeOf(a), State: "gone", Release: a.Release,
	}
	if alive {
		item.State = "present"
	}
	if a.State.Main != nil {
		item.MainDefault = a.State.Main.Wish
	}
	for _, n := range a.State.NICs {
		if n.Role != state.Attached {
			continue
		}
		for _, t := range n.Tables {
			item.Tables = append(item.Tables, t.Number)
			for _, s := range t.Sources {
				item.Addresses = append(item.Addresses, textOfSource(s))
				for _, h := range s.Exit {
					if gw := h.Gateway.String(); h.Gateway.IsValid() && !slices.Contains(item.Gateways, gw) {
						item.Gateways = append(item.Gateways, gw)
					}
				}
			}
		}
	}
	return item
}

func textOfSource(s state.Source) string {
	if s.Prefix.IsSingleIP() {
		return s.Prefix.Addr().String()
	}
	return s.Prefix.String()
}

func (l attachmentList) print(t *text) {
	header := []string{"POD", "NIC", "NETWORK", "ADDRESSES", "GATEWAYS", "TABLES", "RP_FILTER", "MAIN", "STATE"}
	if t.wide {
		header = append(header, "CONTAINER", "NETNS", "RELEASE")
	}
	var rows [][]string
	for _, i := range l.Items {
		stateWord := t.paint(green, i.State)
		if i.State != "present" {
			stateWord = t.paint(yellow, i.State)
		}
		row := []string{
			i.Pod, i.NIC, i.Network, strings.Join(i.Addresses, ","), strings.Join(i.Gateways, ","), strings.Trim(fmt.Sprint(i.Tables), "[]"),
			i.RPFilter, cmp.Or(i.MainDefault, "keep"), stateWord,
		}
		if t.wide {
			row = append(row, i.Container, i.Netns, i.Release)
		}
		rows = append(rows, row)
	}
	t.table(header, rows)
}
