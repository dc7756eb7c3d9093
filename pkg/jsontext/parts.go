package jsontext

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A Member is one member of an object.
type Member struct {
	Key   string
	Value []byte // without white space around it
	End   int    // the offset behind Value within the object
}

// Members returns the members of an object in the order they were written, repeated keys
// included. It returns nil for anything else.
func Members(object []byte) []Member {
	s := scanner{data: object}
	if s.space() != '{' {
		return nil
	}
	s.at++
	all := string(object) // of which the keys are parts: one copy for them all
	members := make([]Member, 0, 4)
	for s.space() == '"' {
		key := s.keyOf(all)
		if s.space() != ':' {
			break
		}
		s.at++
		s.space()
		members = append(members, Member{Key: key, Value: s.part(), End: s.at})
		if s.space() != ',' {
			break
		}
		s.at++
	}
	return members
}

// keyOf reads a key of the object whose text all is.
func (s *scanner) keyOf(all string) string {
	start := s.at
	raw := s.part()
	if len(raw) > 1 && plain(raw) {
		return all[start+1 : s.at-1]
	}
	key, _ := Text(raw)
	return key
}

// Elements returns the elements of a list, without white space around them. It returns nil for
// anything else.
func Elements(list []byte) [][]byte {
	s := scanner{data: list}
	if s.space() != '[' {
		return nil
	}
	s.at++
	elements := make([][]byte, 0, 4)
	for c := s.space(); c != ']' && c != 0; c = s.space() {
		elements = append(elements, s.part())
		if s.space() != ',' {
			break
		}
		s.at++
	}
	return elements
}

// part reads a value that begins here, and is valid, without a look at what is in it.
func (s *scanner) part() []byte {
	start := s.at
	switch s.peek() {
	case '"':
		s.text()
	case '{', '[':
		s.enclosed()
	default:
		for s.at < len(s.data) && !s.ends() {
			s.at++
		}
	}
	return s.data[start:s.at:s.at]
}

// enclosed moves behind the bracket that closes the one that is here.
func (s *scanner) enclosed() {
	for depth := 0; s.at < len(s.data); {
		switch s.data[s.at] {
		case '"':
			s.text()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return
		}
	}
}

// ends reports whether a word or a number has ended here.
func (s *scanner) ends() bool {
	switch s.data[s.at] {
	case ',', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// Text returns the string that raw is, without white space around it. What is no UTF-8 in it,
// or half of a pair of surrogates, becomes U+FFFD. It returns false where raw is no string.
func Text(raw []byte) (string, bool) {
	s := scanner{data: raw}
	if s.peek() != '"' || !s.text() || s.at != len(raw) {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if plain(inner) {
		return string(inner), true
	}
	return unquote(inner), true
}

// plain reports whether the inner part of a string stands for itself.
func plain(inner []byte) bool { return utf8.Valid(inner) && bytes.IndexByte(inner, '\\') < 0 }

// unquote returns what the inner part of a valid string stands for.
func unquote(inner []byte) string {
	out := make([]byte, 0, len(inner)+utf8.UTFMax)
	for len(inner) > 0 {
		r, size := character(inner)
		out = utf8.AppendRune(out, r)
		inner = inner[size:]
	}
	return string(out)
}

// character returns the first character of the inner part of a valid string, and how many bytes
// stand for it.
func character(inner []byte) (r rune, size int) {
	if inner[0] != '\\' {
		return utf8.DecodeRune(inner)
	}
	switch c := inner[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, size = unit(inner), 6
	default:
		return rune(c), 2
	}
	if !utf16.IsSurrogate(r) {
		return r, size
	}
	if pair := utf16.DecodeRune(r, unit(inner[size:])); pair != utf8.RuneError {
		return pair, 2 * size
	}
	return utf8.RuneError, size
}

// unit returns the UTF-16 code unit that \uXXXX stands for; utf8.RuneError where there is none.
func unit(inner []byte) rune {
	if len(inner) < 6 || inner[0] != '\\' || inner[1] != 'u' {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(string(inner[2:6]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// AppendString appends s as a JSON string. What is no UTF-8 in it becomes U+FFFD.
func AppendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	if !strings.ContainsFunc(s, special) {
		b = append(b, s...)
		return append(b, '"')
	}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// special reports whether r cannot stand for itself in a string, or may stand for what is no UTF-8.
func special(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError }
