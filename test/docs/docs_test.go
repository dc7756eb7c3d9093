// Package docs holds the documentation to the code: its links lead somewhere, its examples are
// valid, and it names every key and every code. What GitHub reads is documentation, too.
package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/containernetworking/cni/libcni"
	"go.yaml.in/yaml/v4"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/record"
)

const root = "../.."

// widest is how long a line may be, in characters.
const widest = 130

// pages are all pages, by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"docs/*.md", "*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no pages %s: %v", pattern, err)
		}
		paths = append(paths, found...)
	}
	out := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(text)
	}
	return out
}

// fenced is a block between fences, with its language.
var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// prose is a page without its blocks.
func prose(page string) string { return fenced.ReplaceAllString(page, "") }

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// TestLinks follows every link between the pages and to files of the repository.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	anchors := map[string][]string{}
	for name, text := range all {
		for _, h := range heading.FindAllStringSubmatch(prose(text), -1) {
			anchors[name] = append(anchors[name], anchorOf(h[1]))
		}
	}
	for name, text := range all {
		for _, l := range link.FindAllStringSubmatch(prose(text), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(l[1], "#")
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: the link %s: %v", name, l[1], err)
			}
			if anchor != "" && !slices.Contains(anchors[target], anchor) {
				t.Errorf("%s: the link %s: %s has no such heading", name, l[1], target)
			}
		}
	}
}

// anchorOf is what GitHub makes of a heading.
func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// TestWidth: a terminal shows each line as one. Tables of measured figures are as wide as they
// are.
func TestWidth(t *testing.T) {
	t.Parallel()
	for name, text := range pages(t) {
		if name == "docs/performance.md" {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); n >= widest {
				t.Errorf("%s:%d has %d characters", name, i+1, n)
			}
		}
	}
}

// TestExamples reads every JSON block as those who paste it would.
func TestExamples(t *testing.T) {
	t.Parallel()
	read := 0
	for name, text := range pages(t) {
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			if block[1] != "json" {
				continue
			}
			if err := readExample([]byte(block[2])); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, block[2])
			}
			read++
		}
	}
	if read < len(configKeys(t)) {
		t.Errorf("this test shows nothing: there are %d examples", read)
	}
}

// readExample reads a conflist, one plugin of it, or a record.
func readExample(text []byte) error {
	var is struct {
		Type    string
		Plugins []json.RawMessage
		State   json.RawMessage
	}
	if err := json.Unmarshal(text, &is); err != nil {
		return err
	}
	switch {
	case is.State != nil:
		return readRecord(text)
	case is.Plugins == nil:
		return readPlugin(text)
	}
	list, err := libcni.NetworkConfFromBytes(text)
	if err != nil {
		return err
	}
	return readPlugin(list.Plugins[len(list.Plugins)-1].Bytes)
}

func readPlugin(text []byte) error {
	var is struct{ Type string }
	if err := json.Unmarshal(text, &is); err != nil || is.Type != "symroute" {
		return fmt.Errorf("it is of type %q, and not symroute's (%w)", is.Type, err)
	}
	_, err := config.Parse(text)
	return err
}

// readRecord reads a record in which nothing is unknown.
func readRecord(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var a record.Attachment
	if err := dec.Decode(&a); err != nil {
		return err
	}
	if a.Version != record.Version {
		return fmt.Errorf("it is of version %d, and records are of %d", a.Version, record.Version)
	}
	return nil
}

// configKeys are those of the reference configuration, which a test of package config holds to
// naming every key.
func configKeys(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "reference.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Plugins []map[string]any }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range list.Plugins[len(list.Plugins)-1] {
		if key != "type" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestKeys demands a heading, a line of the table and an example for every key.
func TestKeys(t *testing.T) {
	t.Parallel()
	page := pages(t)["docs/configuration.md"]
	for _, key := range configKeys(t) {
		for what, text := range map[string]string{
			"line of the table": fmt.Sprintf("\n| [`%s`](#%s) |", key, anchorOf(key)),
			"heading":           fmt.Sprintf("\n### %s\n", key),
			"example":           fmt.Sprintf("%q:", key),
		} {
			if !strings.Contains(page, text) {
				t.Errorf("%s has no %s", key, what)
			}
		}
	}
}

// code finds the numbers of our own codes where they are named.
var code = regexp.MustCompile(`(?m)^\tcode\w+\s*= (\d+) `)

// TestCodes demands a heading for every error code of our own, and for those of the
// specification that we use.
func TestCodes(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "plugins", "symroute", "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	codes := []string{"1", "4", "5", "6", "7", "8", "11", "50", "999"}
	own := code.FindAllStringSubmatch(string(source), -1)
	if len(own) == 0 {
		t.Fatal("this test shows nothing: no codes in errors.go")
	}
	for _, c := range own {
		codes = append(codes, c[1])
	}
	page := pages(t)["docs/errors.md"]
	for _, c := range codes {
		for _, text := range []string{"\n### code " + c + "\n", "\n| [" + c + "](#code-" + c + ") |"} {
			if !strings.Contains(page, text) {
				t.Errorf("code %s: no %q", c, strings.TrimSpace(text))
			}
		}
	}
}

// target finds the targets of the Makefile, command the calls of make in pages.
var (
	target  = regexp.MustCompile(`(?m)^([a-z0-9-]+):(?:[^=]|$)`)
	command = regexp.MustCompile("(?m)(?:`|^ {4,}|&& |run: )make ([a-z][a-z0-9-]*)")
)

// TestTargets: what pages and workflows call by make is a target.
func TestTargets(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, found := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, found[1])
	}
	texts := pages(t)
	for name, text := range github(t) {
		texts[name] = text
	}
	read := 0
	for name, text := range texts {
		for _, found := range command.FindAllStringSubmatch(text, -1) {
			if read++; !slices.Contains(targets, found[1]) {
				t.Errorf("%s: make %s: there is no such target", name, found[1])
			}
		}
	}
	if read < 20 {
		t.Errorf("this test shows nothing: it found %d commands", read)
	}
}

// github are the files that GitHub reads, by their path from the root.
func github(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{"workflows", "ISSUE_TEMPLATE"} {
		paths, err := filepath.Glob(filepath.Join(root, ".github", dir, "*.yml"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("nothing in .github/%s: %v", dir, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Join(".github", dir, filepath.Base(path))] = string(text)
		}
	}
	return out
}

// TestGitHub: workflows and issue forms are YAML. Each workflow says which rights it has, and takes a major version of
// each action. Each form has what GitHub demands.
// https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-issue-forms
func TestGitHub(t *testing.T) {
	t.Parallel()
	action := regexp.MustCompile(`^[a-z-]+/[a-z-]+@v[0-9]+$`)
	for name, text := range github(t) {
		var file struct {
			Name, Description string
			Body              []struct{ Type string }
			Permissions       map[string]string
			Jobs              map[string]struct {
				Steps []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal([]byte(text), &file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		switch {
		case filepath.Base(name) == "config.yml":
		case strings.Contains(name, "ISSUE_TEMPLATE"):
			if file.Name == "" || file.Description == "" || len(file.Body) == 0 {
				t.Errorf("%s has no name, description or body", name)
			}
		case len(file.Permissions) == 0 || len(file.Jobs) == 0:
			t.Errorf("%s says no permissions, or has no jobs", name)
		}
		for _, job := range file.Jobs {
			for _, step := range job.Steps {
				if (step.Uses == "") == (step.Run == "") || step.Uses != "" && !action.MatchString(step.Uses) {
					t.Errorf("%s: a step uses %q and runs %q", name, step.Uses, step.Run)
				}
			}
		}
	}
}
