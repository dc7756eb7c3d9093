package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// notJSON says where a text ceases to be JSON, and what the likely cause is.
func notJSON(data []byte, err *json.SyntaxError) error {
	at := max(int(err.Offset)-1, 0) // the last byte that was read
	if int(err.Offset) == len(data) && strings.HasPrefix(err.Error(), "unexpected end") {
		at = len(data)
	}
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	column := 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:at], '\n')+1:at])
	what := err.Error()
	if r, size := utf8.DecodeRune(data[at:]); size > 1 { // of which encoding/json names the first byte
		what = strings.Replace(what, "'"+string(rune(data[at]))+"'", "'"+string(r)+"'", 1)
	}
	if cause := likelyCause(data, at, what); cause != "" {
		what += ": " + cause
	}
	return fmt.Errorf("line %d, column %d: %s", line, column, what)
}

// likelyCause says what somebody meant who wrote a text that is no JSON, and what to write; "" where
// that is anybody's guess.
func likelyCause(data []byte, at int, what string) string {
	before, rest := strings.TrimRightFunc(string(data[:at]), unicode.IsSpace), string(data[at:])
	next, _ := utf8.DecodeRuneInString(rest)
	starts := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(rest, p) {
				return true
			}
		}
		return false
	}
	switch {
	case starts("\ufeff", "\xfe\xff", "\xff\xfe"):
		return "it begins with a byte order mark; save it as UTF-8 without one"
	case looksLikeYAML(strings.TrimLeftFunc(string(data), unicode.IsSpace)):
		return "it looks like YAML; write JSON"
	case starts("//", "/*", "#"):
		return "JSON has no comments; remove it"
	case strings.ContainsRune("“”„‟‘’‚«»″", next):
		return `that is a typographic quote; write "`
	case strings.ContainsRune("\u00a0\u200b\u2009\u202f\u3000", next):
		return "that is a space of another kind, as web pages have them; write a plain one"
	case next == '\'':
		return `strings stand in double quotes; write "`
	case starts("}", "]") && strings.HasSuffix(before, ","):
		return "a comma stands before it; remove that comma"
	case strings.Contains(what, "in string literal"):
		return "a string ends on its own line; close it, or write \\n for a line break"
	case strings.Contains(what, "object key string") && (alphanumeric(next) || next == '_'):
		return "keys stand in double quotes"
	case starts("=") && strings.Contains(what, "after object key"):
		return `a colon stands between key and value; write ":"`
	case starts("True", "False", "None", "TRUE", "FALSE", "NULL", "Null"):
		return "write true, false or null, in small letters"
	case next >= '0' && next <= '9' && strings.HasSuffix(before, "0"):
		return "a number does not begin with 0"
	case strings.Contains(what, "after object key:value pair") || strings.Contains(what, "after array element"):
		return "a comma, or what closes the object or list, is missing before it"
	case strings.Contains(what, "after top-level value"):
		return "there is more behind the end of the object; is a closing brace too many?"
	case rest == "":
		return "it ends early; a closing brace, bracket or quote is missing"
	}
	return ""
}

// looksLikeYAML reports whether a text begins as YAML does: with "---", or a bare key.
func looksLikeYAML(text string) bool {
	first, _, _ := strings.Cut(text, "\n")
	key, _, isPair := strings.Cut(strings.TrimPrefix(first, "- "), ":")
	return strings.HasPrefix(text, "---") || isPair && plain(key)
}
