package record

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/symroute/symroute/pkg/jsontext"
)

// This file is how a record is written down: as JSON, which a person can read with jq.
// Each type lists its keys once, in the order they are written, and the list serves for
// writing and for reading: a new field is a line there. encoding/json would do the same
// from tags, and learn the types anew in each process (see package jsontext).
//
// Of what is read an unknown key is passed over, an absent one and null leave the field
// zero, and of a repeated one the last counts. A value of another type is an error.

func (a *Attachment) keys(c *codec) {
	always(c, "version", &a.Version, number)
	always(c, "network", &a.Network, text)
	always(c, "containerID", &a.ContainerID, text)
	always(c, "ifname", &a.IfName, text)
	always(c, "netns", &a.Netns, text)
	unlessZero(c, "unknown", &a.Unknown, flag)
	unlessEmpty(c, "tables", &a.Tables, number)
	unlessEmpty(c, "sources", &a.Sources, textual)
	byName(c, "settings", &a.Settings, object)
	unlessNil(c, "lvs", &a.LVS, object)
	unlessNil(c, "wish", &a.Wish, object)
	unlessEmpty(c, "displaced", &a.Displaced, number)
	unlessEmpty(c, "order", &a.Order, octets)
	unlessEmpty(c, "main", &a.Main, octets)
	unlessEmpty(c, "moving", &a.Moving, octets)
	unlessEmpty(c, "earlier", &a.Earlier, object)
	packed(c, "mainDefaults", &a.MainDefaults)
}

func (s *Setting) keys(c *codec) {
	unlessNil(c, "all", &s.All, number)
	unlessNil(c, "default", &s.Default, number)
	unlessEmpty(c, "devices", &s.Devices, object)
	unlessEmpty(c, "wants", &s.Wants, object)
	unlessZero(c, "least", &s.Least, number)
}

func (d *Device) keys(c *codec) {
	always(c, "index", &d.Index, number)
	always(c, "name", &d.Name, text)
	always(c, "value", &d.Value, number)
}

func (l *LVS) keys(c *codec) {
	unlessEmpty(c, "addresses", &l.Addresses, object)
	unlessEmpty(c, "devices", &l.Devices, object)
	unlessEmpty(c, "replies", &l.Replies, octets)
}

func (v *VIP) keys(c *codec) {
	always(c, "index", &v.Index, number)
	always(c, "address", &v.Address, textual)
}

func (t *Tunnel) keys(c *codec) {
	always(c, "index", &t.Index, number)
	always(c, "name", &t.Name, text)
	always(c, "kind", &t.Kind, text)
	unlessZero(c, "made", &t.Made, flag)
	unlessZero(c, "wasDown", &t.Down, flag)
}

func (w *Wish) keys(c *codec) {
	always(c, "seq", &w.Seq, number)
	unlessZero(c, "take", &w.Take, flag)
	always(c, "nics", &w.NICs, numbers)
	unlessEmpty(c, "saw", &w.Saw, octets)
	unlessEmpty(c, "own", &w.Own, octets)
}

// MarshalJSON writes the record down, in one line.
func (a Attachment) MarshalJSON() ([]byte, error) {
	c := codec{out: make([]byte, 0, 4096)}
	object(&c, &a)
	return c.out, nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (a *Attachment) UnmarshalJSON(data []byte) error {
	if err := jsontext.Check(data); err != nil {
		return err
	}
	*a = Attachment{}
	c := reader(data)
	object(c, a)
	return c.err
}

// A format is what has to be known of a record before the rest of it can be understood.
type format struct{ Version int }

func (f *format) keys(c *codec) { always(c, "version", &f.Version, number) }

// decode reads a record of this release's format.
func decode(data []byte) (a Attachment, err error) {
	if err := jsontext.Check(data); err != nil {
		return Attachment{}, err
	}
	c := reader(data)
	c.enter()
	var f format
	if f.keys(c); c.err != nil {
		return Attachment{}, c.err
	}
	if f.Version != Version {
		return Attachment{}, fmt.Errorf("has format version %d, this release reads %d", f.Version, Version)
	}
	a.keys(c)
	return a, c.err
}

// reader reads valid JSON.
func reader(data []byte) *codec {
	return &codec{reading: true, raw: bytes.TrimSpace(data), path: make([]step, 0, deepest)}
}

// A codec goes through the keys of a record, to write them all or to read them all.
type codec struct {
	out []byte // what has been written

	reading bool
	raw     []byte            // the value to read
	members []jsontext.Member // of the object that it stands in
	path    []step            // of the value
	err     error             // the first
}

// keyed is a type that lists its keys.
type keyed[T any] interface {
	*T
	keys(c *codec)
}

// A step is a key or, where that is empty, the index of an element.
type step struct {
	key   string
	index int
}

// A coder writes a value of one type, or reads it.
type coder[T any] func(c *codec, v *T)

// always is a key that is always written.
func always[T any](c *codec, key string, v *T, value coder[T]) {
	c.member(key, true, func() { value(c, v) })
}

// unlessZero is a key that is not written where it is 0 or false.
func unlessZero[T comparable](c *codec, key string, v *T, value coder[T]) {
	var zero T
	c.member(key, *v != zero, func() { value(c, v) })
}

// unlessNil is a key that is written where there is a value.
func unlessNil[T any](c *codec, key string, v **T, value coder[T]) {
	c.member(key, *v != nil, func() {
		if c.reading {
			*v = new(T)
		}
		value(c, *v)
	})
}

// unlessEmpty is a list, which is written where it has elements.
func unlessEmpty[T any](c *codec, key string, list *[]T, value coder[T]) {
	c.member(key, len(*list) > 0, func() { each(c, list, value) })
}

// packed is a list of numbers below 256, written as octets where it has any.
func packed[T ~uint8](c *codec, key string, list *[]T) {
	c.member(key, len(*list) > 0, func() {
		b := make([]byte, len(*list))
		for i, n := range *list {
			b[i] = byte(n)
		}
		octets(c, &b)
		*list = make([]T, len(b))
		for i, n := range b {
			(*list)[i] = T(n)
		}
	})
}

// byName is an object with a key for each name, which is written where there are any.
func byName[T any](c *codec, key string, named *map[string]T, value coder[T]) {
	c.member(key, len(*named) > 0, func() {
		if c.reading {
			readNamed(c, named, value)
		} else {
			writeNamed(c, *named, value)
		}
	})
}

// each is the coder of a list.
func each[T any](c *codec, list *[]T, value coder[T]) {
	if c.reading {
		readList(c, list, value)
	} else {
		writeList(c, *list, value)
	}
}

func writeList[T any](c *codec, list []T, value coder[T]) {
	c.out = append(c.out, '[')
	for i := range list {
		c.comma()
		value(c, &list[i])
	}
	c.out = append(c.out, ']')
}

func readList[T any](c *codec, list *[]T, value coder[T]) {
	if c.raw[0] != '[' {
		c.wrong("a list")
		return
	}
	elements := jsontext.Elements(c.raw)
	*list = make([]T, len(elements))
	for i, raw := range elements {
		c.within(step{index: i}, raw, func() { value(c, &(*list)[i]) })
	}
}

func writeNamed[T any](c *codec, named map[string]T, value coder[T]) {
	c.out = append(c.out, '{')
	for _, name := range slices.Sorted(maps.Keys(named)) {
		v := named[name]
		c.name(name)
		value(c, &v)
	}
	c.out = append(c.out, '}')
}

func readNamed[T any](c *codec, named *map[string]T, value coder[T]) {
	if c.raw[0] != '{' {
		c.wrong("an object")
		return
	}
	*named = map[string]T{}
	for _, m := range jsontext.Members(c.raw) {
		var v T
		c.within(step{key: m.Key}, m.Value, func() { value(c, &v) })
		(*named)[m.Key] = v
	}
}

// object is the coder of a type with keys.
func object[T any, P keyed[T]](c *codec, v *T) {
	if !c.reading {
		c.out = append(c.out, '{')
		P(v).keys(c)
		c.out = append(c.out, '}')
		return
	}
	outer := c.members
	c.enter()
	P(v).keys(c)
	c.members = outer
}

// enter makes the members of the value those that keys are looked up in.
func (c *codec) enter() {
	if c.members = jsontext.Members(c.raw); c.raw[0] != '{' {
		c.wrong("an object")
	}
}

// number is the coder of whole numbers.
func number[T int | uint32](c *codec, v *T) {
	if !c.reading {
		c.out = strconv.AppendInt(c.out, int64(*v), 10)
		return
	}
	n, err := strconv.ParseInt(string(c.raw), 10, 64)
	if err != nil || int64(T(n)) != n {
		c.wrong("a whole number that fits")
		return
	}
	*v = T(n)
}

func numbers(c *codec, v *[]int) { each(c, v, number) }

// flag is the coder of true and false.
func flag(c *codec, v *bool) {
	if !c.reading {
		c.out = strconv.AppendBool(c.out, *v)
		return
	}
	switch string(c.raw) {
	case "true":
		*v = true
	case "false":
		*v = false
	default:
		c.wrong("true or false")
	}
}

// text is the coder of strings.
func text(c *codec, v *string) {
	if !c.reading {
		c.out = jsontext.AppendString(c.out, *v)
		return
	}
	s, ok := jsontext.Text(c.raw)
	if !ok {
		c.wrong("a string")
	}
	*v = s
}

// textual is the coder of types with a text of their own, such as addresses.
func textual[T any, P interface {
	*T
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}](c *codec, v *T) {
	var s string
	if !c.reading {
		b, err := P(v).MarshalText()
		c.fail(err)
		s = string(b)
	}
	text(c, &s)
	if c.reading {
		c.fail(P(v).UnmarshalText([]byte(s)))
	}
}

// octets is the coder of bytes, which are written as base64.
func octets(c *codec, v *[]byte) {
	if !c.reading {
		c.out = append(c.out, '"')
		c.out = base64.StdEncoding.AppendEncode(c.out, *v)
		c.out = append(c.out, '"')
		return
	}
	s, ok := jsontext.Text(c.raw)
	if !ok {
		c.wrong("a string in base64")
		return
	}
	b, err := base64.StdEncoding.DecodeString(s)
	c.fail(err)
	*v = b
}

// member goes to the value of a key: the one to read, where there is one, or else one to
// write, where it shall be there.
func (c *codec) member(key string, there bool, value func()) {
	if !c.reading {
		if there {
			c.name(key)
			value()
		}
		return
	}
	for _, m := range slices.Backward(c.members) {
		if m.Key == key {
			c.within(step{key: key}, m.Value, value)
			return
		}
	}
}

// name writes the name of a member.
func (c *codec) name(name string) {
	c.comma()
	c.out = jsontext.AppendString(c.out, name)
	c.out = append(c.out, ':')
}

// comma writes a comma, but before the first of an object or a list.
func (c *codec) comma() {
	if last := c.out[len(c.out)-1]; last != '{' && last != '[' {
		c.out = append(c.out, ',')
	}
}

// deepest is how deep a record is read: a state in "earlier" has none itself, and to look into one
// that stands in thousands of others would take minutes.
const deepest = 32

// within reads a value that stands in the present one, unless it is null.
func (c *codec) within(s step, raw []byte, value func()) {
	if string(raw) == "null" {
		return
	}
	if len(c.path) == deepest {
		c.fail(errors.New("stands too deep"))
		return
	}
	outer := c.raw
	c.raw, c.path = raw, append(c.path, s)
	value()
	c.raw, c.path = outer, c.path[:len(c.path)-1]
}

// wrong says that the value to read is of another type.
func (c *codec) wrong(want string) {
	c.fail(fmt.Errorf("must be %s, not %.40q", want, c.raw))
}

// fail keeps the first error, with the path of the value that it is about.
func (c *codec) fail(err error) {
	if err == nil || c.err != nil {
		return
	}
	if c.err = err; len(c.path) > 0 {
		c.err = fmt.Errorf("%.200q: %w", c.where(), err)
	}
}

// where is the path of the value to read, such as "earlier[0].wish.nics".
func (c *codec) where() string {
	var path strings.Builder
	for i, s := range c.path {
		switch {
		case s.key == "":
			fmt.Fprintf(&path, "[%d]", s.index)
		case i == 0:
			path.WriteString(s.key)
		default:
			path.WriteString("." + s.key)
		}
	}
	return path.String()
}
