package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/symroute/symroute/pkg/jsontext"
)

// This file is the strict reading of a configuration. encoding/json into structs
// would match keys whatever their case, take null for anything, and stop at the
// first value of a wrong type.

// A value is one JSON value together with the path of its key and the list
// that its faults go to.
type value struct {
	path   string
	raw    []byte // valid JSON without white space around it; empty where the key is absent
	faults *Faults
}

// An object is a value whose members have been told apart.
type object struct {
	value
	members []jsontext.Member
}

// decodeTop decodes a whole configuration, whose faults go to faults.
func decodeTop(data []byte, faults *Faults) (object, error) {
	top := value{raw: bytes.TrimSpace(data), faults: faults}
	if len(top.raw) == 0 {
		return object{}, &DecodeError{errors.New("standard input is empty")}
	}
	if err := jsontext.Check(data); err != nil {
		return object{}, &DecodeError{err}
	}
	if top.kind() != '{' {
		return object{}, &DecodeError{errors.New("it is " + top.describe())}
	}
	return object{top, jsontext.Members(top.raw)}, nil
}

// absent reports whether the key is not there, or null, which means the same.
func (v value) absent() bool { return len(v.raw) == 0 }

// fault records that something is wrong with v.
func (v value) fault(format string, args ...any) {
	*v.faults = append(*v.faults, Fault{Path: v.path, Problem: fmt.Sprintf(format, args...)})
}

// optional reads v where it is there, and returns def where it is absent or
// faulty.
func optional[T any](v value, read func(value) (T, bool), def T) T {
	if v.absent() {
		return def
	}
	if got, ok := read(v); ok {
		return got
	}
	return def
}

// required reads v, whose absence is a fault.
func required[T any](v value, want string, read func(value) (T, bool)) (T, bool) {
	if v.absent() {
		v.fault("is missing; it must be %s", want)
		var zero T
		return zero, false
	}
	return read(v)
}

// bestEffort is optional for those who must go on whatever is wrong: it
// reports no fault, and returns def where there was any.
func bestEffort[T any](v value, read func(value) (T, bool), def T) T {
	var faults Faults
	v.faults = &faults
	got := optional(v, read, def)
	if len(faults) > 0 {
		return def
	}
	return got
}

// object reads an object.
func (v value) object() (object, bool) {
	if v.kind() != '{' {
		v.wrongKind("an object")
		return object{value: v}, false
	}
	return object{v, jsontext.Members(v.raw)}, true
}

// get returns the value of a key: the last one where it is repeated, as
// encoding/json has it.
func (o object) get(key string) value {
	v := value{path: child(o.path, key), faults: o.faults}
	for _, m := range o.members {
		if m.Key == key {
			v.raw = m.Value
		}
	}
	if v.kind() == 'n' {
		v.raw = nil
	}
	return v
}

// keys returns the keys, each once, in the order they were written.
func (o object) keys() []string {
	var keys []string
	for _, m := range o.members {
		if !slices.Contains(keys, m.Key) {
			keys = append(keys, m.Key)
		}
	}
	return keys
}

// only makes every key but the given ones a fault, and every repeated one.
func (o object) only(known ...string) {
	for _, key := range o.keys() {
		if v := o.get(key); !v.absent() && !slices.Contains(known, key) {
			v.fault("is not a key here; write one of %s", strings.Join(known, ", "))
		}
	}
	o.once(known...)
}

// once makes it a fault when one of the keys is repeated.
func (o object) once(keys ...string) {
	for _, key := range keys {
		n := 0
		for _, m := range o.members {
			if m.Key == key {
				n++
			}
		}
		if n > 1 {
			o.get(key).fault("is written %d times; leave one", n)
		}
	}
}

// list returns the elements of a list of what; none where v is absent.
func (v value) list(what string) []value {
	if v.absent() {
		return nil
	}
	if v.kind() != '[' {
		v.wrongKind("a list of " + what + v.asList())
		return nil
	}
	raws := jsontext.Elements(v.raw)
	elements := make([]value, len(raws))
	for i, raw := range raws {
		elements[i] = value{path: element(v.path, i), raw: raw, faults: v.faults}
	}
	return elements
}

// asList is the advice for a single string that stands where a list must.
func (v value) asList() string {
	if v.kind() != '"' {
		return ""
	}
	s, _ := v.text()
	return " such as [" + quote(s) + "]"
}

// each reads every element of a list.
func each[T any](list []value, read func(value) (T, bool)) []T {
	var out []T
	for _, e := range list {
		if x, ok := read(e); ok {
			out = append(out, x)
		}
	}
	return out
}

// distinct reads a list whose elements must all differ.
func distinct[T comparable](list []value, read func(value) (T, bool)) []T {
	return distinctBy(list, "is the same as", read, func(x T) T { return x })
}

// distinctBy reads a list whose elements must all differ in their key. What two
// elements of one key are to each other is said by same.
func distinctBy[T any, K comparable](list []value, same string, read func(value) (T, bool), key func(T) K) []T {
	first := map[K]string{}
	return each(list, func(e value) (T, bool) {
		x, ok := read(e)
		if !ok {
			return x, false
		}
		if at, twice := first[key(x)]; twice {
			e.fault("%s %s; remove one of them", same, at)
			return x, false
		}
		first[key(x)] = e.path
		return x, true
	})
}

// text reads a string.
func (v value) text() (string, bool) {
	s, ok := jsontext.Text(v.raw)
	if !ok {
		v.wrongKind("a string")
	}
	return s, ok
}

// nonEmpty reads a string that says something.
func (v value) nonEmpty() (string, bool) {
	s, ok := v.text()
	if ok && s == "" {
		v.fault("is empty; it must name something")
	}
	return s, ok && s != ""
}

// boolean reads true or false.
func (v value) boolean() (bool, bool) {
	switch string(v.raw) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	v.wrongKind("true or false, without quotes")
	return false, false
}

// oneOf reads one of the given words.
func oneOf[T ~string](words ...T) func(value) (T, bool) {
	return func(v value) (T, bool) {
		var s string
		if v.kind() == '"' {
			s, _ = v.text()
		}
		if i := slices.Index(words, T(s)); i >= 0 {
			return words[i], true
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = strconv.Quote(string(w))
		}
		last := len(quoted) - 1
		v.wrongKind(strings.Join(quoted[:last], ", ") + " or " + quoted[last])
		return "", false
	}
}

// between reads a whole number from least to most, both included.
func between(least, most uint32) func(value) (uint32, bool) {
	return func(v value) (uint32, bool) {
		n, ok := v.whole(least, most)
		switch {
		case v.kind() == '"':
			v.wrongKind(fmt.Sprintf("a whole number from %d to %d, without quotes", least, most))
		case !ok:
			v.wrongKind(fmt.Sprintf("a whole number from %d to %d", least, most))
		}
		return n, ok
	}
}

// whole returns the number that v is, where it is whole and from least to most.
func (v value) whole(least, most uint32) (uint32, bool) {
	n, err := strconv.ParseUint(string(v.raw), 10, 32)
	if err != nil || uint32(n) < least || uint32(n) > most {
		return 0, false
	}
	return uint32(n), true
}

// wrongKind records that v is not what it must be.
func (v value) wrongKind(want string) {
	v.fault("must be %s, not %s", want, v.describe())
}

// kind returns the first byte of the value, which tells its type; '0' stands
// for all numbers, and 0 for an absent value.
func (v value) kind() byte {
	switch {
	case len(v.raw) == 0:
		return 0
	case v.raw[0] == '-' || v.raw[0] >= '0' && v.raw[0] <= '9':
		return '0'
	}
	return v.raw[0]
}

// describe says what v is in words.
func (v value) describe() string {
	switch v.kind() {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		s, _ := v.text()
		return "the string " + quote(s)
	case '0':
		return "the number " + clip(string(v.raw))
	}
	return string(v.raw) // true, false, null
}

// longest is how much of a value a message repeats, in bytes.
const longest = 64

// quote quotes s for a message, which must stay on one line.
func quote(s string) string { return strconv.Quote(clip(s)) }

// clip shortens s to what a message can bear.
func clip(s string) string {
	if len(s) <= longest {
		return s
	}
	end := longest
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// child is the path of a key of the object at path.
func child(path, key string) string {
	switch {
	case path == "":
		return key
	case !plain(key):
		return path + "[" + quote(key) + "]"
	}
	return path + "." + key
}

// element is the path of an element of the list at path.
func element(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// plain reports whether a key can stand in a path without quotes.
func plain(key string) bool {
	return key != "" && len(key) <= longest && !strings.ContainsFunc(key, func(r rune) bool {
		return !alphanumeric(r) && r != '_' && r != '-'
	})
}

// alphanumeric reports whether r is an ASCII letter or digit.
func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
