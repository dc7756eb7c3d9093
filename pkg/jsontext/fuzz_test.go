package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"
)

// seeds are texts that are JSON, that nearly are, and that are not.
var seeds = []string{
	``, ` `, `{}`, "\t[ ]\r\n", `null`, `true`, `false`, `nul`, `nulk`, `truefalse`, `t`, `N`,
	`0`, `-0`, `01`, `-`, `1.`, `1.5`, `.5`, `1e`, `1e+`, `1E-7`, `-12.34e56`, `+1`, `1 2`, `0x1`, `1e400`,
	`""`, `"a`, `"a\`, `"\u12`, `"\u12g4"`, `"\q"`, `"\'"`, "\"\n\"", "\"\x00\"", "\"\x7f\"", "\"\xff\xc3\"", "\"\xed\xa0\x80\"",
	`"\"\\\/\b\f\n\r\t\u0041\u00e9"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83d\u0041"`, `"\ud83dx\ude00"`, "\"\u2028<>&\"", `"\ufffd\u0000"`,
	`{"a":1,"a":2}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a" 1}`, `{"a":}`, `{a:1}`, `{"a":1]`, `[1}`, `[1,]`, `[,1]`, `[1 2]`, `]`, `}`, `,`, `:`,
	`{"a\u0062" : [ 1 , {"b":"}]\""} , [] ,{ } ] , "\u0000":null }`, "\xef\xbb\xbf{}", "{}\x00", "{\n\t\"a\": 1,\n\t\"b\": ]\n}",
	`[[[[[[[[[]]]]]]]]]`, `[[[[[[[[[`, `{"a":{"a":{"a":{`, `"a" "b"`, `{"a":"b"}{`,
}

// FuzzCheck judges any text as encoding/json does, and says the same about it: but for a text that
// ends too early, of which encoding/json sometimes says that a space was wrong.
func FuzzCheck(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		err := Check(data)
		if !bytes.Equal(given, data) {
			t.Error("the text was changed")
		}
		var raw json.RawMessage
		theirs := json.Unmarshal(data, &raw)
		if (err == nil) != (theirs == nil) {
			t.Fatalf("%q: %v, but encoding/json says %v", data, err, theirs)
		}
		if err != nil {
			sameFault(t, data, err, theirs)
		}
		if json.Valid(data) != (err == nil) {
			t.Errorf("%q: %v, but encoding/json.Valid says the opposite", data, err)
		}
	})
}

func sameFault(t *testing.T, data []byte, err, theirs error) {
	t.Helper()
	ours, _ := errors.AsType[*SyntaxError](err)
	want, _ := errors.AsType[*json.SyntaxError](theirs)
	if ours == nil || want == nil {
		t.Fatalf("%q: %T and %T", data, err, theirs)
	}
	if int64(ours.Offset) != want.Offset {
		t.Errorf("%q: wrong at byte %d (%v), but encoding/json says %d (%v)", data, ours.Offset, err, want.Offset, want)
	}
	if ours.Problem == "unexpected end of JSON input" {
		if ours.Offset != len(data) {
			t.Errorf("%q: ends early at byte %d of %d", data, ours.Offset, len(data))
		}
		return
	}
	if ours.Problem != want.Error() {
		t.Errorf("%q: %v, but encoding/json says %v", data, err, want)
	}
}

// FuzzText reads any string as encoding/json does, and nothing else.
func FuzzText(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		given := bytes.Clone(raw)
		got, ok := Text(raw)
		if !bytes.Equal(given, raw) {
			t.Error("the text was changed")
		}
		var want string
		isText := len(raw) > 1 && raw[0] == '"' && raw[len(raw)-1] == '"' && json.Unmarshal(raw, &want) == nil
		if ok != isText || got != want {
			t.Errorf("%q is %q, %t, but encoding/json says %q, %t", raw, got, ok, want, isText)
		}
	})
}

// FuzzMembers takes objects and lists apart as the tokens of encoding/json do.
func FuzzMembers(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, elements := Members(data), Elements(data) // also where it is no JSON: without an end to it or a panic
		if Check(data) != nil {
			return
		}
		sameMembers(t, data, members)
		var list []json.RawMessage
		isList := json.Unmarshal(data, &list) == nil
		if len(elements) != len(list) || !isList && elements != nil {
			t.Fatalf("%q: elements %q, but encoding/json says %q", data, elements, list)
		}
		for i, e := range elements {
			if !bytes.Equal(e, list[i]) {
				t.Errorf("%q: element %d is %q, but encoding/json says %q", data, i, e, list[i])
			}
			if len(e) != cap(e) {
				t.Errorf("%q: appending to element %d would write into the next", data, i)
			}
		}
	})
}

func sameMembers(t *testing.T, data []byte, members []Member) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, _ := dec.Token(); start != json.Delim('{') {
		if members != nil {
			t.Errorf("%q has members %v", data, members)
		}
		return
	}
	for dec.More() {
		key, _ := dec.Token()
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if len(members) == 0 {
			t.Fatalf("%q: member %q is missing", data, key)
		}
		m := members[0]
		members = members[1:]
		if m.Key != key || !bytes.Equal(m.Value, value) || m.End != int(dec.InputOffset()) {
			t.Errorf("%q: member %q is %q up to %d, but encoding/json says %q is %q up to %d",
				data, m.Key, m.Value, m.End, key, value, dec.InputOffset())
		}
		if !bytes.Equal(data[m.End-len(m.Value):m.End], m.Value) || len(m.Value) != cap(m.Value) {
			t.Errorf("%q: member %q does not end where it says, or goes on there", data, m.Key)
		}
	}
	if len(members) > 0 {
		t.Errorf("%q: members %v too many", data, members)
	}
}

// FuzzAppendString writes any string so that encoding/json and Text read the same again, but for
// what is no UTF-8.
func FuzzAppendString(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Add("a\xffb")
	f.Fuzz(func(t *testing.T, s string) {
		const before = "before"
		raw, ok := bytes.CutPrefix(AppendString([]byte(before), s), []byte(before))
		if !ok || !json.Valid(raw) || !utf8.Valid(raw) {
			t.Fatalf("%q becomes %q", s, raw)
		}
		want := string([]rune(s)) // U+FFFD for each byte that is no UTF-8
		var theirs string
		if err := json.Unmarshal(raw, &theirs); err != nil || theirs != want {
			t.Errorf("%q becomes %q, which encoding/json reads as %q", s, raw, theirs)
		}
		if ours, ok := Text(raw); !ok || ours != want {
			t.Errorf("%q becomes %q, which is read as %q", s, raw, ours)
		}
		if bytes.ContainsAny(raw, "\n\r") {
			t.Errorf("%q takes more than one line: %q", s, raw)
		}
	})
}
