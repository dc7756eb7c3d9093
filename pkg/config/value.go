package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file is the strict reading of a configuration, of the values that encoding/json has
// decoded. Decoding into structs would match keys whatever their case, and stop at the first
// value of a wrong type.

// A value is one JSON value together with the path of its key and the list
// that its faults go to.
type value struct {
	path   string
	json   any // as encoding/json decodes it, numbers as json.Number; nil where the key is absent
	faults *Faults
}

// An object is a value whose members have been told apart.
type object struct {
	value
	members map[string]any
}

// decodeTop decodes a whole configuration, whose faults go to faults.
func decodeTop(data []byte, faults *Faults) (object, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return object{}, &DecodeError{errors.New("standard input is empty")}
	}
	// Unlike a Decoder this takes all of it for one value, and says where that ends.
	err := json.Unmarshal(data, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return object{}, &DecodeError{notJSON(data, syntax)}
	}
	top := value{faults: faults}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := errors.Join(err, dec.Decode(&top.json)); err != nil {
		return object{}, &DecodeError{err}
	}
	members, ok := top.json.(map[string]any)
	if !ok {
		return object{}, &DecodeError{errors.New("it is " + top.describe())}
	}
	return object{top, members}, nil
}

// absent reports whether the key is not there, or null, which means the same.
func (v value) absent() bool { return v.json == nil }

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

// object reads an object, of which example is one.
func (v value) object(example string) (object, bool) {
	members, ok := v.json.(map[string]any)
	if !ok {
		v.wrongKind("an object such as " + example)
	}
	return object{v, members}, ok
}

// get returns the value of a key.
func (o object) get(key string) value {
	return value{path: child(o.path, key), json: o.members[key], faults: o.faults}
}

// keys returns the keys in their order.
func (o object) keys() []string { return slices.Sorted(maps.Keys(o.members)) }

// only makes every key but the given ones a fault.
func (o object) only(known ...string) {
	for _, key := range o.keys() {
		v := o.get(key)
		if v.absent() || slices.Contains(known, key) {
			continue
		}
		if ours, ok := meant(key, known); ok {
			v.fault("is not a key here; write %q", ours)
		} else {
			v.fault("is not a key here; write one of %s", strings.Join(known, ", "))
		}
	}
}

// list returns the elements of a list of what, of which example is one; none where v is absent.
func (v value) list(what, example string) []value {
	if v.absent() {
		return nil
	}
	list, ok := v.json.([]any)
	if !ok {
		if s, single := v.json.(string); single { // which was meant to be its element
			example = "[" + quote(s) + "]"
		}
		v.wrongKind("a list of " + what + " such as " + example)
		return nil
	}
	elements := make([]value, len(list))
	for i, e := range list {
		elements[i] = value{path: element(v.path, i), json: e, faults: v.faults}
	}
	return elements
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

// text reads a string, of which example is one.
func (v value) text(example string) (string, bool) {
	s, ok := v.json.(string)
	if !ok {
		v.wrongKind("a string such as " + strconv.Quote(example))
	}
	return s, ok
}

// textLike is a reader of strings.
func textLike(example string) func(value) (string, bool) {
	return func(v value) (string, bool) { return v.text(example) }
}

// nonEmpty is a reader of strings that say something.
func nonEmpty(example string) func(value) (string, bool) {
	return func(v value) (string, bool) {
		s, ok := v.text(example)
		if ok && s == "" {
			v.fault("is empty; it must name something")
		}
		return s, ok && s != ""
	}
}

// boolean reads true or false.
func (v value) boolean() (bool, bool) {
	b, ok := v.json.(bool)
	if !ok {
		v.wrongKind("true or false, without quotes")
	}
	return b, ok
}

// oneOf reads one of the given words.
func oneOf[T ~string](words ...T) func(value) (T, bool) {
	return func(v value) (T, bool) {
		s, _ := v.json.(string)
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
func between(least, most, example uint32) func(value) (uint32, bool) {
	return func(v value) (uint32, bool) {
		n, ok := v.whole(least, most)
		switch _, quoted := v.json.(string); {
		case quoted:
			v.wrongKind(fmt.Sprintf("a whole number from %d to %d such as %d, without quotes", least, most, example))
		case !ok:
			v.wrongKind(fmt.Sprintf("a whole number from %d to %d such as %d", least, most, example))
		}
		return n, ok
	}
}

// whole returns the number that v is, where it is whole and from least to most.
func (v value) whole(least, most uint32) (uint32, bool) {
	number, _ := v.json.(json.Number)
	n, err := strconv.ParseUint(number.String(), 10, 32)
	if err != nil || uint32(n) < least || uint32(n) > most {
		return 0, false
	}
	return uint32(n), true
}

// wrongKind records that v is not what it must be.
func (v value) wrongKind(want string) {
	v.fault("must be %s, not %s", want, v.describe())
}

// describe says what v is in words.
func (v value) describe() string {
	switch x := v.json.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "the string " + quote(x)
	case json.Number:
		return "the number " + clip(x.String())
	case nil:
		return "null"
	}
	return fmt.Sprint(v.json) // true, false
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
