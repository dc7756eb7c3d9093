package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A Span is where a value stands in a JSON text.
type Span struct {
	// Key is the offset of a member's key; that of the value, if it is none.
	Key int
	// Start and End are where the value begins and where it has ended.
	Start, End int
}

// An Outline is where the values of a JSON text stand.
type Outline struct {
	// Spans has each value by its path, such as "plugins[1].gateways[0]", as faults have it.
	Spans map[string]Span
	// Children are the paths of the elements of each list and of the members of each object, in their order.
	Children map[string][]string
	// Twice are the paths of members that stand more than once in their object. The last one counts, as
	// encoding/json has it.
	Twice []string
}

// OutlineOf is the outline of a JSON text; without values where the text is no JSON.
func OutlineOf(data []byte) Outline {
	o := outliner{
		data:    data,
		decoder: json.NewDecoder(bytes.NewReader(data)),
		outline: Outline{Spans: map[string]Span{}, Children: map[string][]string{}},
	}
	if json.Valid(data) { // which bounds how deep it is
		o.decoder.UseNumber() // a number is not read here, and cannot be too large
		start := o.next()
		o.value("", Span{Key: start, Start: start})
	}
	return o.outline
}

// An outliner walks through a JSON text.
type outliner struct {
	data    []byte
	decoder *json.Decoder
	outline Outline
}

// next is where the next token begins.
func (o *outliner) next() int {
	at := int(o.decoder.InputOffset())
	return at + len(o.data[at:]) - len(bytes.TrimLeft(o.data[at:], " \t\r\n,:"))
}

// token is the next one. The text is JSON, so there is one.
func (o *outliner) token() json.Token {
	t, _ := o.decoder.Token()
	return t
}

// value walks through the value at a path, which begins here.
func (o *outliner) value(path string, at Span) {
	switch o.token() {
	case json.Delim('{'):
		here := map[string]bool{}
		for o.decoder.More() {
			key := o.next()
			name, _ := o.token().(string)
			member := child(path, name)
			if here[name] {
				o.outline.Twice = append(o.outline.Twice, member)
			}
			here[name] = true
			o.outline.Children[path] = append(o.outline.Children[path], member)
			o.value(member, Span{Key: key, Start: o.next()})
		}
		o.token()
	case json.Delim('['):
		for i := 0; o.decoder.More(); i++ {
			start := o.next()
			o.outline.Children[path] = append(o.outline.Children[path], element(path, i))
			o.value(element(path, i), Span{Key: start, Start: start})
		}
		o.token()
	}
	at.End = int(o.decoder.InputOffset())
	o.outline.Spans[path] = at
}

// Child is the path of a key of the object at path, as faults have it.
func Child(path, key string) string { return child(path, key) }

// Element is the path of an element of the list at path, as faults have it.
func Element(path string, i int) string { return element(path, i) }

// PositionOf is where a text ceases to be JSON, and why. Both are counted from 1, the column in characters.
// ok is false where the text is JSON, but no object.
func PositionOf(e *DecodeError) (line, column int, problem string, ok bool) {
	n, err := fmt.Sscanf(e.Err.Error(), "line %d, column %d:", &line, &column) // as notJSON writes it
	if err != nil || n != 2 {
		return 0, 0, e.Err.Error(), false
	}
	_, problem, _ = strings.Cut(e.Err.Error(), ": ")
	return line, column, problem, true
}
