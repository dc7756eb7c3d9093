package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
)

// Where a text is wrong is told by the byte while all is on one line, as a runtime writes it, and
// by line and column in what a person wrote.
func TestWhere(t *testing.T) {
	for data, want := range map[string]string{
		``:                           `unexpected end of JSON input (at byte 0)`,
		`{"a": 1`:                    `unexpected end of JSON input (at byte 7)`,
		`{"a": nul`:                  `unexpected end of JSON input (at byte 9)`,
		`{"a": }`:                    `invalid character '}' looking for beginning of value (at byte 7)`,
		"{\n\t\"a\": 1,\n\t}":        `invalid character '}' looking for beginning of object key string (at line 3, column 2)`,
		"{\n\t\"a\": 1\n\t\"b\": 2}": `invalid character '"' after object key:value pair (at line 3, column 2)`,
		"{\"a\": \"\n\"}":            `invalid character '\n' in string literal (at byte 8)`,
		"{}\n\n":                     "",
		"{}\n\n{":                    `invalid character '{' after top-level value (at line 3, column 1)`,
	} {
		got := ""
		if err := Check([]byte(data)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q\n got %s\nwant %s", data, got, want)
		}
	}
}

// As deep as encoding/json goes, and no deeper. Taking apart what is deep needs no more stack.
func TestDepth(t *testing.T) {
	for _, brackets := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
		for depth, ok := range map[int]bool{maxDepth - 1: true, maxDepth: true, maxDepth + 1: false, 1_000_000: false} {
			inner := "1"
			data := []byte(strings.Repeat(brackets[0], depth) + inner + strings.Repeat(brackets[1], depth))
			if err := Check(data); (err == nil) != ok || json.Valid(data) != ok {
				t.Errorf("%d times %s: %v", depth, brackets[0], err)
			}
			if n := len(Members(data)) + len(Elements(data)); n != 1 {
				t.Errorf("%d times %s: %d parts", depth, brackets[0], n)
			}
		}
	}
}

// What is read often costs no memory but for the strings it returns.
func TestAllocations(t *testing.T) {
	data := []byte(`{"name":"net","list":[1,true,null,{"a":"b"}],"number":-1.5e3}`)
	text := []byte(`"a string: näher"`)
	for what, run := range map[string]struct {
		want float64
		run  func()
	}{
		"Check":        {1, func() { _ = Check(data) }},
		"Text":         {1, func() { _, _ = Text(text) }},
		"AppendString": {1, func() { _ = AppendString(make([]byte, 0, 64), "a string: näher") }},
	} {
		if got := testing.AllocsPerRun(100, run.run); got > run.want {
			t.Errorf("%s allocates %v times, want %v at most", what, got, run.want)
		}
	}
}
