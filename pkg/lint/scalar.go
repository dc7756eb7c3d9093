package lint

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A scalar is a string in a file, which may hold a configuration.
type scalar struct {
	value string
	style yaml.Style
	// places are the offsets in the file of each byte of the value, and of its end.
	places []int
	// start and end are where the string stands in the file: its quotes included, and of a block its lines.
	start, end int
}

// offsetOf is where a line and a column are in a file (both from 1, the column in characters).
func offsetOf(data []byte, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			return len(data)
		}
		at += end + 1
	}
	for ; column > 1 && at < len(data); column-- {
		_, size := utf8.DecodeRune(data[at:])
		at += size
	}
	return at
}

// scalarOf finds a string of a file. The value of a string differs from its text in white space and in
// escapes, whatever its style (YAML 1.2.2, chapters 7.3 and 8.1). So what is not white space is counted.
func scalarOf(data []byte, node *yaml.Node) scalar {
	at := offsetOf(data, node.Line, node.Column)
	s := scalar{value: node.Value, style: node.Style, start: at}
	switch {
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		s.start = at + max(bytes.IndexAny(data[at:], "|>"), 0) // behind a tag or an anchor
		at = nextLine(data, s.start)
	case node.Style&yaml.DoubleQuotedStyle != 0:
		s.start = at + max(bytes.IndexByte(data[at:], '"'), 0)
		at = s.start + 1
	case node.Style&yaml.SingleQuotedStyle != 0:
		s.start = at + max(bytes.IndexByte(data[at:], '\''), 0)
		at = s.start + 1
	}
	at = s.spread(data, at)
	switch {
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		at = nextLine(data, at)
	case node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		at = min(s.skip(data, at)+1, len(data))
	}
	s.end = min(at, len(data))
	return s
}

// nextLine is where the line behind this one begins.
func nextLine(data []byte, at int) int {
	if end := bytes.IndexByte(data[min(at, len(data)):], '\n'); end >= 0 {
		return at + end + 1
	}
	return len(data)
}

// spread finds the place of each byte of the value, whose text begins here, and returns where it ends.
func (s *scalar) spread(data []byte, at int) int {
	s.places = make([]int, 0, len(s.value)+1)
	for i := 0; i < len(s.value); {
		r, size := utf8.DecodeRuneInString(s.value[i:])
		if isSpace(r) {
			s.places = append(s.places, min(at, len(data)))
			i++
			continue
		}
		at = s.skip(data, at)
		for range size {
			s.places = append(s.places, min(at, len(data)))
		}
		at = min(at+s.size(data, at, r), len(data))
		i += size
	}
	s.places = append(s.places, min(at, len(data)))
	return at
}

// skip is behind the white space of the text, also the escaped one.
func (s *scalar) skip(data []byte, at int) int {
	for at < len(data) {
		switch {
		case isSpace(rune(data[at])):
			at++
		case s.escaped(data, at) && isEscapedSpace(data, at):
			at += escapeSize(data, at)
		default:
			return at
		}
	}
	return len(data)
}

// size is how many bytes of the text one character of the value takes.
func (s *scalar) size(data []byte, at int, r rune) int {
	switch {
	case at >= len(data):
		return 0
	case s.escaped(data, at):
		size := escapeSize(data, at)
		if r > 0xffff && size == len(`\ud83d`) { // JSON writes it as two (RFC 8259, 7)
			size *= 2
		}
		return size
	case s.style&yaml.SingleQuotedStyle != 0 && r == '\'':
		return len(`''`)
	}
	_, size := utf8.DecodeRune(data[at:])
	return size
}

// escaped says whether an escape stands here.
func (s *scalar) escaped(data []byte, at int) bool {
	return s.style&yaml.DoubleQuotedStyle != 0 && data[at] == '\\'
}

// escapeSize is how long an escape is (YAML 1.2.2, 5.7; those of JSON are among them).
func escapeSize(data []byte, at int) int {
	if at+1 < len(data) {
		switch data[at+1] {
		case 'x':
			return len(`\x00`)
		case 'u':
			return len(`\u0000`)
		case 'U':
			return len(`\U00000000`)
		}
	}
	return len(`\n`)
}

// isEscapedSpace says whether an escape stands for white space, or breaks a line that goes on.
func isEscapedSpace(data []byte, at int) bool {
	text := string(data[at:min(at+escapeSize(data, at), len(data))])
	if len(text) > 2 {
		n, err := strconv.ParseUint(text[2:], 16, 32)
		return err == nil && isSpace(rune(n))
	}
	switch text {
	case `\n`, `\t`, `\r`, `\ `, "\\\n", "\\\r", "\\\t":
		return true
	}
	return false
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }
