package draw

import (
	"strings"
	"unicode/utf8"

	"github.com/symroute/symroute/pkg/view"
)

// Measures, in pixels. A character is counted wider than those of any usual sans-serif font are on average, so that text
// fits its box whichever font the reader has.
const (
	charWidth  = 8
	lineHeight = 18
	padding    = 10
	gapX       = 70 // between columns, for arrows
	gapY       = 26 // between rows, for the ways of a flow
	margin     = 24
	widest     = 96 // characters of a line; longer ones are cut
)

// box is a rectangle with lines of text.
type box struct {
	x, y, w, h int
	lines      []string
	kind       kind
}

// kind is what a box stands for.
type kind string

const (
	ofNIC     kind = "nic"
	ofSource  kind = "source"
	ofTable   kind = "table"
	ofGateway kind = "gateway"
	ofNote    kind = "note"
	ofClient  kind = "client"
	ofVerdict kind = "verdict"
)

func (b box) right() int  { return b.x + b.w }
func (b box) middle() int { return b.y + b.h/2 }

// arrow leads from one point to others.
type arrow struct {
	points [][2]int
	class  string // "way", "works", "broken"
	label  string
}

// picture is all that is drawn, and how large it is.
type picture struct {
	width, height int
	title         string
	boxes         []box
	arrows        []arrow
}

// cut shortens a line that is too long for any picture.
func cut(line string) string {
	if utf8.RuneCountInString(line) <= widest {
		return line
	}
	return string([]rune(line)[:widest-1]) + "…"
}

func newBox(k kind, x, y int, lines ...string) box {
	b := box{x: x, y: y, kind: k}
	longest := 0
	for _, l := range lines {
		l = cut(l)
		b.lines = append(b.lines, l)
		longest = max(longest, utf8.RuneCountInString(l))
	}
	b.w, b.h = longest*charWidth+2*padding, len(lines)*lineHeight+2*padding
	return b
}

// layOut lays a pod out: a row for each NIC, in it a column of NICs, of sources, of tables, and of gateways.
func layOut(p *view.Pod, flow *Flow) picture {
	pic := picture{title: cut("Routing of " + p.Name)}
	y := margin + 2*lineHeight // below the title
	if flow != nil && flow.Verdict != "" {
		word := "OK: "
		if !flow.Works {
			word = "BROKEN: "
		}
		verdict := newBox(ofVerdict, margin, y, wrapped(word+flow.Verdict)...)
		pic.boxes = append(pic.boxes, verdict)
		y += verdict.h + gapY
	}
	rows := rowsOf(p)
	columns := widths(rows)
	at := map[string]*placedRow{}
	for _, r := range rows {
		placed := place(r, columns, y)
		pic.boxes = append(pic.boxes, placed.boxes...)
		pic.arrows = append(pic.arrows, placed.arrows...)
		at[r.nic[0]] = &placed
		y += placed.height + gapY
	}
	for _, lines := range [][]string{defaults(p), foreign(p)} {
		if len(lines) > 0 {
			b := newBox(ofNote, margin, y, lines...)
			pic.boxes = append(pic.boxes, b)
			y += b.h + gapY
		}
	}
	if flow != nil {
		pic.addFlow(flow, at, columns)
	}
	pic.fit()
	return pic
}

// wrapped breaks a sentence into lines.
func wrapped(text string) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > widest {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// widths are the left edges of the four columns, and the right edge of the last.
func widths(rows []row) [5]int {
	var w [4]int
	wider := func(i int, lines ...string) { w[i] = max(w[i], newBox(ofNote, 0, 0, lines...).w) }
	for _, r := range rows {
		wider(0, r.nic...)
		for _, g := range r.groups {
			wider(1, g.sources...)
			wider(2, "table "+g.table)
			wider(3, g.gateways...)
		}
	}
	var x [5]int
	x[0] = margin
	for i := range w {
		x[i+1] = x[i] + w[i] + gapX
	}
	return x
}

// placedRow is a row with its places.
type placedRow struct {
	boxes  []box
	arrows []arrow
	height int
	top    int
	nic    box
	groups []placedGroup
}

type placedGroup struct {
	sources, table, gateways box
	addresses                []string
}

// place places a row below a height.
func place(r row, columns [5]int, top int) placedRow {
	placed := placedRow{top: top}
	y := top
	for _, g := range r.groups {
		x := placedGroup{
			sources:   newBox(ofSource, columns[1], y, g.sources...),
			table:     newBox(ofTable, columns[2], y, "table "+g.table),
			gateways:  newBox(ofGateway, columns[3], y, g.gateways...),
			addresses: g.sources,
		}
		h := max(x.sources.h, x.table.h, x.gateways.h)
		for _, b := range []*box{&x.sources, &x.table, &x.gateways} {
			b.y += (h - b.h) / 2
			placed.boxes = append(placed.boxes, *b)
		}
		placed.arrows = append(placed.arrows,
			arrow{points: [][2]int{{x.sources.right(), x.sources.middle()}, {x.table.x, x.table.middle()}}, class: "way"},
			arrow{points: [][2]int{{x.table.right(), x.table.middle()}, {x.gateways.x, x.gateways.middle()}}, class: "way"})
		placed.groups = append(placed.groups, x)
		y += h + gapY/2
	}
	placed.nic = newBox(ofNIC, columns[0], top, r.nic...)
	placed.height = max(y-gapY/2-top, placed.nic.h)
	placed.nic.y += (placed.height - placed.nic.h) / 2
	placed.boxes = append(placed.boxes, placed.nic)
	for _, g := range placed.groups {
		placed.arrows = append(placed.arrows, arrow{
			points: [][2]int{{placed.nic.right(), placed.nic.middle()}, {g.sources.x, g.sources.middle()}}, class: "way",
		})
	}
	return placed
}

// addFlow draws the client and the ways of both directions, in the gaps above and below the rows.
func (pic *picture) addFlow(f *Flow, at map[string]*placedRow, columns [5]int) {
	row, ok := at[f.Arrives]
	if !ok {
		return
	}
	class := "works"
	if !f.Works {
		class = "broken"
	}
	client := newBox(ofClient, columns[4]+gapX/2, row.top, f.Client)
	pic.boxes = append(pic.boxes, client)
	const lane = gapY / 2
	pic.arrows = append(pic.arrows, arrow{
		points: [][2]int{
			{client.x, client.y + client.h/3}, {client.x - gapX/4, client.y + client.h/3}, {client.x - gapX/4, row.top - lane},
			{row.nic.x + row.nic.w/2, row.top - lane}, {row.nic.x + row.nic.w/2, row.nic.y},
		},
		class: class, label: "what " + f.Client + " sends",
	})
	out, ok := at[f.Leaves]
	if !ok {
		return // nothing leaves: the verdict says so
	}
	from := row.groups[0]
	for _, g := range row.groups {
		for _, a := range g.addresses {
			if a == f.Local {
				from = g
			}
		}
	}
	below, middle := out.top+out.height+lane, row.top+row.height+lane
	left, aside, center := from.sources.x-gapX/3, columns[4]-gapX/2, client.x+client.w/2
	end := client.y + client.h
	if below < client.y {
		end = client.y
	}
	pic.arrows = append(pic.arrows, arrow{
		points: [][2]int{
			{from.sources.x, from.sources.middle()}, {left, from.sources.middle()}, {left, middle}, {aside, middle}, {aside, below},
			{center, below}, {center, end},
		},
		class: class, label: "what " + f.Local + " sends leaves by " + f.Leaves,
	})
}

// fit makes the picture as large as what is in it.
func (pic *picture) fit() {
	pic.width = utf8.RuneCountInString(pic.title)*charWidth*3/2 + 2*margin
	for _, b := range pic.boxes {
		pic.width, pic.height = max(pic.width, b.right()+margin), max(pic.height, b.y+b.h+margin)
	}
	for _, a := range pic.arrows {
		for _, p := range a.points {
			pic.width, pic.height = max(pic.width, p[0]+margin), max(pic.height, p[1]+margin)
		}
	}
}
