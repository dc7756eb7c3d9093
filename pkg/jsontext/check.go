// Package jsontext reads and writes the text of JSON (RFC 8259) without reflection.
//
// It exists because the plugin is a new process for each verb, and starting it is a
// part of its cost that can be measured. Of a run of 3 ms, linking encoding/json costs
// 0.09 ms (the initialization of what it imports), and its learning of each structure
// anew in each process 0.2 ms more; it also makes the executable 380 KB larger. What the
// plugin needs of JSON is little: to tell whether a text is valid, to take objects and
// lists apart, and to read and write strings.
//
// Check comes first. Members, Elements and Text are for text that it has found valid;
// they return slices of that text, and copy nothing but strings.
package jsontext

import (
	"bytes"
	"fmt"
	"strconv"
)

// maxDepth is how deep lists and objects may stand in each other: as deep as in encoding/json.
const maxDepth = 10000

// A SyntaxError says what makes a text no JSON, and where.
type SyntaxError struct {
	// Problem is what is wrong, in the words of encoding/json, which can be searched for.
	Problem string
	// Offset is how many bytes had been read, the wrong one included.
	Offset int
	// Line and Column are those of the wrong byte, from 1, counted in bytes.
	Line, Column int
}

// Error says what is wrong, and where.
func (e *SyntaxError) Error() string {
	if e.Line == 1 {
		return fmt.Sprintf("%s (at byte %d)", e.Problem, e.Offset)
	}
	return fmt.Sprintf("%s (at line %d, column %d)", e.Problem, e.Line, e.Column)
}

// Check returns nil where data is exactly one JSON value, with or without white space around
// it, and else a *SyntaxError.
func Check(data []byte) error {
	s := scanner{data: data}
	for {
		if !s.value() {
			return s.fault()
		}
		more, ok := s.behind()
		switch {
		case !ok:
			return s.fault()
		case !more:
			return nil
		}
	}
}

// A scanner reads a text from its beginning to its end. Its methods return false where they find
// something wrong; they stay at the wrong byte then.
type scanner struct {
	data  []byte
	at    int    // of the next byte
	open  []byte // the '{' and '[' that are not closed yet, outermost first
	wrong string // what is wrong with the next byte
}

// fail stops at the next byte.
func (s *scanner) fail(wrong string) bool {
	s.wrong = wrong
	return false
}

// fault is the error for what fail was called with.
func (s *scanner) fault() error {
	lines := bytes.Count(s.data[:s.at], []byte("\n"))
	column := s.at - bytes.LastIndexByte(s.data[:s.at], '\n')
	e := &SyntaxError{Offset: s.at + 1, Line: lines + 1, Column: column}
	switch {
	case s.at == len(s.data):
		e.Problem, e.Offset = "unexpected end of JSON input", s.at
	default:
		e.Problem = "invalid character " + strconv.QuoteRune(rune(s.data[s.at])) + " " + s.wrong
	}
	return e
}

// peek returns the next byte; 0, which stands nowhere in JSON, at the end.
func (s *scanner) peek() byte {
	if s.at == len(s.data) {
		return 0
	}
	return s.data[s.at]
}

// space skips white space and returns the byte behind it.
func (s *scanner) space() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// value reads up to the end of the first value that has none in it: a word, a number, a string,
// or an empty object or list but for its closing bracket. What it stands in, it opens.
func (s *scanner) value() bool {
	for {
		switch c := s.space(); {
		case c == '{':
			if !s.enter() {
				return false
			}
			if s.space() == '}' {
				return true
			}
			if !s.key() {
				return false
			}
		case c == '[':
			if !s.enter() {
				return false
			}
			if s.space() == ']' {
				return true
			}
		case c == '"':
			return s.text()
		case c == '-' || digit(c):
			return s.number()
		case c == 't':
			return s.word("true")
		case c == 'f':
			return s.word("false")
		case c == 'n':
			return s.word("null")
		default:
			return s.fail("looking for beginning of value")
		}
	}
}

// enter reads the opening bracket of an object or a list.
func (s *scanner) enter() bool {
	if len(s.open) == maxDepth {
		return s.fail("exceeded max depth")
	}
	s.open = append(s.open, s.data[s.at])
	s.at++
	return true
}

// key reads the key of a member, with its colon.
func (s *scanner) key() bool {
	if s.space() != '"' {
		return s.fail("looking for beginning of object key string")
	}
	if !s.text() {
		return false
	}
	if s.space() != ':' {
		return s.fail("after object key")
	}
	s.at++
	return true
}

// behind reads what is behind a value: all that is closed there, and the comma, with the key in an
// object, after which more is to come.
func (s *scanner) behind() (more, ok bool) {
	for len(s.open) > 0 {
		last := len(s.open) - 1
		inObject := s.open[last] == '{'
		switch c := s.space(); {
		case c == '}' && inObject, c == ']' && !inObject:
			s.open = s.open[:last]
			s.at++
		case c == ',' && inObject:
			s.at++
			return true, s.key()
		case c == ',':
			s.at++
			return true, true
		case inObject:
			return false, s.fail("after object key:value pair")
		default:
			return false, s.fail("after array element")
		}
	}
	s.space()
	return false, s.at == len(s.data) || s.fail("after top-level value")
}

// word reads true, false or null.
func (s *scanner) word(word string) bool {
	for _, c := range []byte(word) {
		if s.peek() != c {
			return s.fail("in literal " + word + " (expecting " + strconv.QuoteRune(rune(c)) + ")")
		}
		s.at++
	}
	return true
}

// number reads a number (RFC 8259, 6).
func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.fail("in numeric literal")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.fail("after decimal point in numeric literal")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.fail("in exponent of numeric literal")
		}
	}
	return true
}

// digits reads at least one digit.
func (s *scanner) digits() bool {
	start := s.at
	for digit(s.peek()) {
		s.at++
	}
	return s.at > start
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// text reads a string (RFC 8259, 7). What is no UTF-8 in it is let through.
func (s *scanner) text() bool {
	s.at++
	for {
		s.plain()
		switch {
		case s.peek() == '"':
			s.at++
			return true
		case s.peek() != '\\':
			return s.fail("in string literal")
		case !s.escape():
			return false
		}
	}
}

// plain moves behind what stands for itself in a string.
func (s *scanner) plain() {
	at := s.at // in a register
	for at < len(s.data) && s.data[at] >= ' ' && s.data[at] != '"' && s.data[at] != '\\' {
		at++
	}
	s.at = at
}

// escape reads a backslash and what it stands before.
func (s *scanner) escape() bool {
	s.at++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at++
		return true
	case 'u':
		s.at++
	default:
		return s.fail("in string escape code")
	}
	for range 4 {
		if !hex(s.peek()) {
			return s.fail(`in \u hexadecimal character escape`)
		}
		s.at++
	}
	return true
}

func hex(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
