package lint

import (
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/symroute/symroute/pkg/config"
)

// This file changes JSON in place: what is not touched stays as somebody has written it.

// A part is an element of a list or a member of an object, with what stands before it.
type part struct{ before, text string }

// A whole is a list or an object of a text, taken apart.
type whole struct {
	head  string // of the text, before it
	parts []part
	tail  string // what closes it, with the white space before that
	rest  string // of the text, behind it
}

// partsOf takes the list or object at a path of a text apart.
func partsOf(text string, outline config.Outline, path string) whole {
	all := outline.Spans[path]
	w := whole{head: text[:all.Start], rest: text[all.End:]}
	at := all.Start
	for _, child := range outline.Children[path] {
		s := outline.Spans[child]
		w.parts = append(w.parts, part{before: text[at:s.Key], text: text[s.Key:s.End]})
		at = s.End
	}
	w.tail = text[at:all.End]
	return w
}

// with is the text with these parts in place of those that it had.
func (w whole) with(parts []part) string {
	var out strings.Builder
	out.WriteString(w.head)
	for i, p := range parts {
		if i == 0 {
			p.before = w.parts[0].before // "[" or "{"
		}
		out.WriteString(p.before + p.text)
	}
	if len(parts) == 0 {
		out.WriteString(strings.TrimSpace(w.parts[0].before))
		w.tail = strings.TrimSpace(w.tail)
	}
	out.WriteString(w.tail + w.rest)
	return out.String()
}

// separator is what stands before a part that is put behind this one.
func (w whole) separator(i int) string {
	if i > 0 {
		return w.parts[i].before
	}
	return "," + strings.TrimLeft(w.parts[0].before, "[{")
}

// without is JSON without some members of the object at a path.
func without(text, path string, drop func(key string) bool) string {
	outline := config.OutlineOf([]byte(text))
	object := partsOf(text, outline, path)
	var kept []part
	for _, p := range object.parts {
		if !drop(keyOf(p)) {
			kept = append(kept, p)
		}
	}
	return object.with(kept)
}

// keyOf is the key of a member.
func keyOf(p part) string {
	var key string
	_ = json.NewDecoder(strings.NewReader(p.text)).Decode(&key) // it begins with one
	return key
}

// withMembers is an object with further members, but those that it has.
func withMembers(text string, members []member) string {
	object := partsOf(text, config.OutlineOf([]byte(text)), "")
	kept := object.parts
	for _, m := range members {
		if slices.ContainsFunc(object.parts, func(p part) bool { return keyOf(p) == m.key }) {
			continue
		}
		kept = append(kept, part{before: object.separator(len(object.parts) - 1), text: m.text()})
	}
	return object.with(kept)
}

// text is a member as JSON.
func (m member) text() string { return encoded(m.key) + ": " + inline(m.value) }

// widest is how wide an object may be on one line.
const widest = 100

// object is a symroute with these keys, in the style of the plugin whose place it takes.
func object(members []member, like string) string {
	texts := []string{member{"type", symroute}.text()}
	for _, m := range members {
		texts = append(texts, m.text())
	}
	first, rest, isBroken := strings.Cut(like, "\n")
	line := strings.Join(texts, ", ")
	if len(line) <= widest && !isBroken {
		return "{ " + line + " }"
	}
	inner := rest[:len(rest)-len(strings.TrimLeft(rest, " \t"))]
	outer := rest[strings.LastIndexByte(rest, '\n')+1:]
	outer = outer[:len(outer)-len(strings.TrimLeft(outer, " \t"))]
	if !isBroken || strings.TrimSpace(first) != "{" || inner == outer {
		return "{ " + line + " }"
	}
	return "{\n" + inner + strings.Join(texts, ",\n"+inner) + "\n" + outer + "}"
}

// inline is a value as JSON on one line, with spaces as people set them.
func inline(value any) string {
	switch v := value.(type) {
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			texts[i] = inline(e)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case []member:
		texts := make([]string, len(v))
		for i, m := range v {
			texts[i] = m.text()
		}
		return "{ " + strings.Join(texts, ", ") + " }"
	}
	return encoded(value)
}

// encoded is a value as JSON; a string is one of YAML in double quotes, too.
func encoded(value any) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "null" // what was read from JSON can be written
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// replace puts another configuration into the file, as the string that the one before was.
func (d document) replace(data []byte, text string) []byte {
	if d.definition == nil {
		return []byte(text)
	}
	s := d.scalar
	return slices.Concat(data[:s.start], []byte(s.written(data, text)), data[s.end:])
}

// written is a text in the style of the string.
func (s scalar) written(data []byte, text string) string {
	switch {
	case s.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return s.block(data, text)
	case s.style&yaml.DoubleQuotedStyle == 0 && !strings.Contains(text, "\n"):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return encoded(text)
}

// block is a text as a block of YAML, indented as the one before.
func (s scalar) block(data []byte, text string) string {
	body := nextLine(data, s.start)
	header := strings.Replace(string(data[s.start:body]), ">", "|", 1)
	first := data[body:s.end]
	for len(first) > 0 && (first[0] == '\n' || first[0] == '\r') {
		first = first[1:]
	}
	indent := string(first[:len(first)-len(strings.TrimLeft(string(first), " "))])
	// An indicator of the indentation says that the value's own first line is indented, too (YAML 1.2.2, 8.1.1.1).
	if own := len(s.value) - len(strings.TrimLeft(s.value, " ")); own < len(indent) {
		indent = indent[own:]
	}
	var out strings.Builder
	out.WriteString(header)
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if line != "" {
			line = indent + line
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}
