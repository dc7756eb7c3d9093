package draw

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/symroute/symroute/pkg/view"
)

// SVG draws a pod as a picture. flow is a connection to draw into it; nil: none.
func SVG(p *view.Pod, flow *Flow) []byte {
	pic := layOut(p, flow)
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title desc">
<title id="title">%s</title>
<desc id="desc">%s</desc>
<style>%s</style>
<defs>
`, pic.width, pic.height, pic.width, pic.height, escaped(pic.title), escaped(description(p, flow)), style)
	for _, class := range []string{"way", "works", "broken"} {
		fmt.Fprintf(&out, `<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="head %s" d="M0 0 10 5 0 10z"/></marker>
`, class, class)
	}
	out.WriteString("</defs>\n")
	fmt.Fprintf(&out, `<rect class="ground" width="%d" height="%d"/>
<text class="title" x="%d" y="%d">%s</text>
`, pic.width, pic.height, margin, margin+lineHeight, escaped(pic.title))
	for _, b := range pic.boxes {
		writeBox(&out, b, flow)
	}
	for _, a := range pic.arrows {
		writeArrow(&out, a)
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// style has colors that differ in brightness, too, and lines that differ in shape.
const style = `
text{font:13px "DejaVu Sans",Verdana,Arial,sans-serif;fill:#1a1a1a}
.title{font-size:19px;font-weight:bold}
.ground{fill:#ffffff}
.box{fill:#f7f7f7;stroke:#555555;stroke-width:1.2}
.nic .box{fill:#e3edf9;stroke:#2b5c94}
.source .box{fill:#ffffff;stroke:#2b5c94}
.table .box{fill:#f3ecdc;stroke:#8a6d1f}
.gateway .box{fill:#e9f3e6;stroke:#3f7a35}
.client .box{fill:#eeeeee;stroke:#333333}
.note .box{fill:#fbfbfb;stroke:#999999}
.verdict .box{fill:#ffffff;stroke-width:2.5}
.bold{font-weight:bold}
.arrow{fill:none;stroke:#777777;stroke-width:1.2}
.arrow.works{stroke:#1d7a2e;stroke-width:2.5}
.arrow.broken{stroke:#b3160b;stroke-width:2.5;stroke-dasharray:9 5}
.head{fill:#777777}
.head.works{fill:#1d7a2e}
.head.broken{fill:#b3160b}
.verdict.works .box{stroke:#1d7a2e}
.verdict.broken .box{stroke:#b3160b}
`

func writeBox(out *bytes.Buffer, b box, flow *Flow) {
	class := string(b.kind)
	if b.kind == ofVerdict {
		class += " broken"
		if flow.Works {
			class = string(b.kind) + " works"
		}
	}
	fmt.Fprintf(out, `<g class="%s"><rect class="box" x="%d" y="%d" width="%d" height="%d" rx="5"/>`, class, b.x, b.y, b.w, b.h)
	for i, line := range b.lines {
		weight := ""
		if i == 0 && (b.kind == ofNIC || b.kind == ofVerdict) {
			weight = ` class="bold"`
		}
		fmt.Fprintf(out, `<text%s x="%d" y="%d">%s</text>`, weight, b.x+padding, b.y+padding+lineHeight*(i+1)-5, escaped(line))
	}
	out.WriteString("</g>\n")
}

func writeArrow(out *bytes.Buffer, a arrow) {
	var points []string
	for _, p := range a.points {
		points = append(points, fmt.Sprintf("%d,%d", p[0], p[1]))
	}
	fmt.Fprintf(out, `<polyline class="arrow %s" points="%s" marker-end="url(#%s)">`, a.class, strings.Join(points, " "), a.class)
	if a.label != "" {
		fmt.Fprintf(out, "<title>%s</title>", escaped(a.label))
	}
	out.WriteString("</polyline>\n")
}

// description says in words what the picture shows.
func description(p *view.Pod, flow *Flow) string {
	var parts []string
	for _, r := range rowsOf(p) {
		for _, g := range r.groups {
			parts = append(parts, fmt.Sprintf("%s: %s uses table %s, %s", r.nic[0], strings.Join(g.sources, ", "), g.table, strings.Join(g.gateways, ", ")))
		}
	}
	if flow != nil {
		parts = append(parts, flow.Verdict)
	}
	return strings.Join(parts, ". ")
}

// escaped is text for XML. What is no character of XML is replaced.
func escaped(text string) string {
	var out bytes.Buffer
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return "" // a buffer takes everything
	}
	return out.String()
}
