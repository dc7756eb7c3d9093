package draw

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/symroute/symroute/pkg/view"
)

var update = flag.Bool("update", false, "write docs/pod.svg")

// crowd is a pod with so many NICs: of two families, with and without symroute, with names of all lengths.
func crowd(nics int, name string) *view.Pod {
	p := &view.Pod{Name: name, Netns: "/run/netns/pod", Defaults: []view.Default{
		{Family: "IPv4", Owners: []string{"eth0 via 198.51.100.1"}, Next: []string{"net1 via 203.0.113.1", "net2 via 203.0.114.1"}}, {Family: "IPv6"},
	}}
	for i := range nics {
		n := view.NIC{Index: i + 2, Name: fmt.Sprintf("net%d", i), Up: i%3 != 2, MTU: 1500, RPFilter: view.RPFilter{Mode: "loose", By: "all"}}
		for k := range i%3 + 1 {
			four := netip.AddrFrom4([4]byte{203, 0, byte(113 + i), byte(144 + k)})
			n.Sources = append(n.Sources, view.Source{Source: netip.PrefixFrom(four, 32), Table: fmt.Sprint(7300 + i), Gateways: []string{fmt.Sprintf("net%d via 203.0.%d.1", i, 113+i)}})
		}
		if i%2 == 1 {
			n.Network, n.MainDefault = strings.Repeat("provider-", i+1), "yield"
			n.Sources = append(n.Sources, view.Source{Source: netip.MustParsePrefix("2001:db8:b:c:d:e:f:144/128"), Table: fmt.Sprint(7300 + i)})
		}
		p.NICs = append(p.NICs, n)
	}
	return p
}

func flows(p *view.Pod) []*Flow {
	out := []*Flow{nil}
	for i, n := range p.NICs {
		local := "10.0.0.1"
		if len(n.Sources) > 0 {
			local = n.Sources[0].Source.Addr().String()
		}
		out = append(out,
			&Flow{"192.0.2.7", local, n.Name, p.NICs[0].Name, i == 0, strings.Repeat("The reply leaves by another NIC. ", 8)},
			&Flow{"192.0.2.7", local, n.Name, "none", false, "Nothing leaves."})
	}
	return out
}

// TestNothingOverlaps: no box lies on another, and all text is in its box and in the picture.
func TestNothingOverlaps(t *testing.T) {
	for nics := 1; nics <= 12; nics++ {
		for _, name := range []string{"a/b", strings.Repeat("a-long-name/", 20)} {
			p := crowd(nics, name)
			for _, f := range flows(p) {
				pic := layOut(p, f)
				for i, b := range pic.boxes {
					if b.x < 0 || b.y < 0 || b.right() > pic.width || b.y+b.h > pic.height {
						t.Fatalf("%d NICs: the box %v is not in the picture of %d x %d", nics, b, pic.width, pic.height)
					}
					for _, line := range b.lines {
						if utf8.RuneCountInString(line)*charWidth > b.w-padding || len(b.lines)*lineHeight > b.h {
							t.Fatalf("%d NICs: %q is not in its box %v", nics, line, b)
						}
					}
					for _, o := range pic.boxes[i+1:] {
						if b.x < o.right() && o.x < b.right() && b.y < o.y+o.h && o.y < b.y+b.h {
							t.Fatalf("%d NICs: the boxes %v and %v overlap", nics, b, o)
						}
					}
				}
			}
		}
	}
}

// TestFlowsCrossNoText: the ways of a flow lie between the boxes, but where they begin and end.
func TestFlowsCrossNoText(t *testing.T) {
	p := crowd(8, "a/b")
	for _, f := range flows(p) {
		pic := layOut(p, f)
		for _, a := range pic.arrows {
			if a.class == "way" {
				continue
			}
			for i := 0; i+1 < len(a.points); i++ {
				for _, b := range pic.boxes {
					if crosses(a.points[i], a.points[i+1], b) {
						t.Errorf("%s: from %v to %v it crosses the box %v", a.label, a.points[i], a.points[i+1], b.lines)
					}
				}
			}
		}
	}
}

// crosses says whether a line, level or upright, runs through a box.
func crosses(from, to [2]int, b box) bool {
	left, right := min(from[0], to[0]), max(from[0], to[0])
	top, bottom := min(from[1], to[1]), max(from[1], to[1])
	return left < b.right() && right > b.x && top < b.y+b.h && bottom > b.y
}

// TestXML: the picture is XML, whatever the names are.
func TestXML(t *testing.T) {
	for _, name := range []string{"shop/cart-0", `<script>"&'`, "\x00\xff\u202e"} {
		p := crowd(3, name)
		p.NICs[0].Name, p.NICs[1].Network = name, name
		p.Rules = []view.Rule{{Family: "IPv4", Rule: name, Role: "foreign"}}
		svg := SVG(p, &Flow{name, name, "net1", "net2", false, name})
		decoder := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%q: %v in\n%s", name, err, svg)
			}
		}
		if bytes.Contains(svg, []byte("<script")) {
			t.Errorf("%q is in the picture as it is", name)
		}
	}
}

func TestGraphs(t *testing.T) {
	p := crowd(2, `a/"b"`)
	f := &Flow{"192.0.2.7", "203.0.114.144", "net1", "net0", false, `It "leaves" by net0.`}
	for _, want := range []string{"digraph pod {", `label="Routing of a/\"b\""`, `client -> nic1 [label="arrives", color=red, style=dashed];`, `-> gateway0_0 [label="leaves by net0", color=red`} {
		if got := string(DOT(p, f)); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, want := range []string{"flowchart LR\n", `verdict["It #quot;leaves#quot; by net0."]`, `client -->|"arrives"| nic1`, "linkStyle 9,10 stroke:#b3160b"} {
		if got := string(Mermaid(p, f)); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestPictureOfDocs: docs/pod.svg is what this package draws.
func TestPictureOfDocs(t *testing.T) {
	const path = "../../docs/pod.svg"
	source := func(text, table, gateway string) view.Source {
		return view.Source{Source: netip.MustParsePrefix(text), Table: table, Gateways: []string{gateway}}
	}
	p := &view.Pod{
		Name: "shop/cart-0", Netns: "/run/netns/cart-0",
		NICs: []view.NIC{
			{
				Index: 2, Name: "eth0", Up: true, MTU: 1500, RPFilter: view.RPFilter{Mode: "off", By: "eth0"},
				Sources: []view.Source{source("198.51.100.87/32", "main", "eth0 via 198.51.100.1"), source("2001:db8:a::87/128", "main", "eth0 via 2001:db8:a::1")},
			},
			{
				Index: 3, Name: "net1", Up: true, MTU: 1500, RPFilter: view.RPFilter{Mode: "loose", By: "net1"}, Network: "provider-b", MainDefault: "yield",
				Sources: []view.Source{source("203.0.113.144/32", "7300", "net1 via 203.0.113.1"), source("2001:db8:b::144/128", "7300", "net1 via 2001:db8:b::1")},
			},
		},
		Defaults: []view.Default{{Family: "IPv4", Owners: []string{"eth0 via 198.51.100.1"}}, {Family: "IPv6", Owners: []string{"eth0 via 2001:db8:a::1"}}},
	}
	got := SVG(p, &Flow{
		"192.0.2.7", "203.0.113.144", "net1", "net1", true,
		"203.0.113.144 and 192.0.2.7 reach each other by net1: the kernel accepts what comes, and what leaves goes the same way.",
	})
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what is drawn (%v): go test ./pkg/draw -update", path, err)
	}
}
