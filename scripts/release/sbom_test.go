package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// program is an executable that is made of these modules.
func program(name string, deps ...*debug.Module) executable {
	return executable{name: name, data: []byte(name), info: &debug.BuildInfo{GoVersion: "go1.26.8", Deps: deps}}
}

func mod(path, version string) *debug.Module {
	return &debug.Module{Path: path, Version: version, Sum: "h1:" + path + "="}
}

// allMIT is the licence of every module.
func allMIT(debug.Module) (string, error) { return "MIT", nil }

func testBuild() build {
	return build{version: "v1.2.3", revision: "0123abc", created: time.Unix(1_700_000_000, 0).UTC(), arches: []string{"amd64"}}
}

// TestDocument: which packages a bill has, and which executable depends on which.
func TestDocument(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		programs []executable
		packages []string // name, version and purl
		depends  []string
	}{
		"nothing but Go": {
			programs: []executable{program("symroute")},
			packages: []string{"stdlib 1.26.8 pkg:golang/stdlib@1.26.8"},
			depends:  []string{"SPDXRef-File-symroute SPDXRef-Module-stdlib-1.26.8"},
		},
		"a module in two executables": {
			programs: []executable{program("symroute", mod("a.example/b", "v1.0.0")), program("symroutectl", mod("a.example/b", "v1.0.0"))},
			packages: []string{
				"a.example/b v1.0.0 pkg:golang/a.example/b@v1.0.0",
				"stdlib 1.26.8 pkg:golang/stdlib@1.26.8",
			},
			depends: []string{
				"SPDXRef-File-symroute SPDXRef-Module-stdlib-1.26.8", "SPDXRef-File-symroute SPDXRef-Module-a.example-b-v1.0.0",
				"SPDXRef-File-symroutectl SPDXRef-Module-stdlib-1.26.8", "SPDXRef-File-symroutectl SPDXRef-Module-a.example-b-v1.0.0",
			},
		},
		"a module in the place of another": {
			programs: []executable{program("symroute", &debug.Module{
				Path: "a.example/b", Version: "v1.0.0", Replace: mod("fork.example/b", "v1.0.1"),
			})},
			packages: []string{
				"fork.example/b v1.0.1 pkg:golang/fork.example/b@v1.0.1",
				"stdlib 1.26.8 pkg:golang/stdlib@1.26.8",
			},
			depends: []string{
				"SPDXRef-File-symroute SPDXRef-Module-stdlib-1.26.8", "SPDXRef-File-symroute SPDXRef-Module-fork.example-b-v1.0.1",
			},
		},
		"a version that a URL cannot have": {
			programs: []executable{program("symroute", mod("a.example/b_c", "v2.0.0+incompatible"))},
			packages: []string{
				"a.example/b_c v2.0.0+incompatible pkg:golang/a.example/b_c@v2.0.0%2Bincompatible",
				"stdlib 1.26.8 pkg:golang/stdlib@1.26.8",
			},
			depends: []string{
				"SPDXRef-File-symroute SPDXRef-Module-stdlib-1.26.8",
				"SPDXRef-File-symroute SPDXRef-Module-a.example-b-c-v2.0.0-incompatible",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc, err := testBuild().document("amd64", test.programs, allMIT)
			if err != nil {
				t.Fatal(err)
			}
			var packages, depends []string
			for _, p := range doc.Packages[1:] { // behind symroute itself
				packages = append(packages, p.Name+" "+p.VersionInfo+" "+p.ExternalRefs[0].ReferenceLocator)
			}
			for _, r := range doc.Relationships {
				if r.RelationshipType == "DEPENDS_ON" {
					depends = append(depends, r.SPDXElementID+" "+r.RelatedSPDXElement)
				}
			}
			if !slices.Equal(packages, test.packages) {
				t.Errorf("packages\n%s\nwant\n%s", strings.Join(packages, "\n"), strings.Join(test.packages, "\n"))
			}
			if !slices.Equal(depends, test.depends) {
				t.Errorf("depends\n%s\nwant\n%s", strings.Join(depends, "\n"), strings.Join(test.depends, "\n"))
			}
			valid(t, doc)
		})
	}
}

// valid is what SPDX 2.3 demands of a document that refers to its parts.
func valid(t *testing.T, doc document) {
	t.Helper()
	ids := map[string]bool{}
	add := func(id string) {
		if ids[id] || !regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`).MatchString(id) {
			t.Errorf("the identifier %s is there twice, or not valid", id)
		}
		ids[id] = true
	}
	add(doc.SPDXID)
	for _, p := range doc.Packages {
		add(p.SPDXID)
	}
	for _, f := range doc.Files {
		add(f.SPDXID)
	}
	for _, r := range doc.Relationships {
		if !ids[r.SPDXElementID] || !ids[r.RelatedSPDXElement] {
			t.Errorf("%v: one of the two is not there (%v)", r, slices.Sorted(maps.Keys(ids)))
		}
	}
	if doc.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("created %s, which is not the time of the commit", doc.CreationInfo.Created)
	}
}

// TestNamespace: the same executables have the same namespace, and others another one.
func TestNamespace(t *testing.T) {
	t.Parallel()
	namespace := func(p executable) string {
		doc, err := testBuild().document("amd64", []executable{p}, allMIT)
		if err != nil {
			t.Fatal(err)
		}
		return doc.DocumentNamespace
	}
	one, other := program("symroute"), program("symroute")
	other.data = []byte("other")
	first, again, another := namespace(one), namespace(one), namespace(other)
	if first != again || first == another {
		t.Errorf("%s, again %s, and of another executable %s", first, again, another)
	}
}

// TestSums: what go.sum says of a module is in the bill.
func TestSums(t *testing.T) {
	t.Parallel()
	doc, err := testBuild().document("amd64", []executable{program("symroute", mod("a.example/b", "v1.0.0"))}, allMIT)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(doc)
	if err != nil || !strings.Contains(string(text), `"sourceInfo":"go.sum: h1:a.example/b="`) {
		t.Errorf("%v, no sum in %s", err, text)
	}
}

// TestNoLicence: a bill must not depend on what a machine has in its module cache.
func TestNoLicence(t *testing.T) {
	t.Parallel()
	_, err := testBuild().document("amd64", []executable{program("symroute", mod("a.example/b", "v1.0.0"))}, licences{modules: t.TempDir()}.of)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want that the module is not there", err)
	}
}

const mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and
this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED
"AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`

// TestLicences: what files of a module tell.
func TestLicences(t *testing.T) {
	t.Parallel()
	apache, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"one":                   {map[string]string{"LICENSE": mit}, "MIT"},
		"British, with ending":  {map[string]string{"licence.md": mit}, "MIT"},
		"two files":             {map[string]string{"LICENSE": mit, "LICENSE.apache": string(apache)}, "Apache-2.0 AND MIT"},
		"two files, one text":   {map[string]string{"LICENSE": mit, "COPYING": mit}, "MIT"},
		"two in a file":         {map[string]string{"LICENSE": mit + "\n\n" + string(apache)}, "Apache-2.0 AND MIT"},
		"none":                  {map[string]string{"README": mit}, "NOASSERTION"},
		"unknown words":         {map[string]string{"LICENSE": "Ask me."}, "NOASSERTION"},
		"a licence among words": {map[string]string{"LICENSE": mit + strings.Repeat("more words than licence ", 100)}, "NOASSERTION"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			dir := filepath.Join(cache, "a.example", "!upper@v1.0.0") // as the module cache writes capitals
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := licences{modules: cache}.of(debug.Module{Path: "a.example/Upper", Version: "v1.0.0"})
			if err != nil || got != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}
