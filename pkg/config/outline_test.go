package config

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOutline holds each path to the text that stands there.
func TestOutline(t *testing.T) {
	const text = "\n{ \"a\" : [1, {\"b\\u0063\": \"x\"} ,[]],\n\t\"d e\":null,\"a\":{\"f\":-1e400 } }\n"
	got := map[string]string{}
	outline := OutlineOf([]byte(text))
	for path, at := range outline.Spans {
		got[path] = text[at.Key:at.End]
		if !json.Valid([]byte(text[at.Start:at.End])) {
			t.Errorf("%s: %q is no value", path, text[at.Start:at.End])
		}
	}
	want := map[string]string{
		"":        text[1 : len(text)-1],
		"a":       `"a":{"f":-1e400 }`,
		"a.f":     `"f":-1e400`,
		"a[0]":    `1`,
		"a[1]":    `{"b\u0063": "x"}`,
		"a[1].bc": `"b\u0063": "x"`,
		"a[2]":    `[]`,
		"d e":     `"d e":null`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a[0]", "a[1]", "a[2]", "a.f"}, outline.Children["a"]); diff != "" { // of both
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a"}, outline.Twice); diff != "" {
		t.Error(diff)
	}
	if spans := OutlineOf([]byte(`{"a": }`)).Spans; len(spans) > 0 {
		t.Errorf("of no JSON: %v", spans)
	}
}

func TestPositionOf(t *testing.T) {
	for _, test := range []struct {
		json         string
		line, column int
		problem      string
	}{
		{"{\n \"ä\": 1,\n}", 3, 1, "invalid character '}' looking for beginning of object key string: a comma stands before it; remove that comma"},
		{"type: symroute", 1, 1, "invalid character 'y' in literal true (expecting 'r'): it looks like YAML; write JSON"},
		{"[]", 0, 0, "it is a list"},
	} {
		_, err := Parse([]byte(test.json))
		decode, ok := errors.AsType[*DecodeError](err)
		if !ok {
			t.Errorf("%s: %v", test.json, err)
			continue
		}
		line, column, problem, ok := PositionOf(decode)
		if test.problem == "" || ok != (test.line > 0) || line != test.line || problem != test.problem {
			t.Errorf("%s: line %d, column %d, %q, %v", test.json, line, column, problem, ok)
		}
	}
}
