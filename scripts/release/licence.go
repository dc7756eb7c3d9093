package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck"
	"golang.org/x/mod/module"
)

// licences tells the licence of a module by its files in the module cache.
type licences struct {
	modules string // the folder of the module cache
}

// named are the names of files with licences: those that pkg.go.dev looks at, and more endings.
var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([.-].*)?$`)

// of is an SPDX expression, or NOASSERTION if no file says it in known words.
func (l licences) of(m debug.Module) (string, error) {
	if m.Path == standard {
		return "BSD-3-Clause", nil // https://go.dev/LICENSE; not every installation of Go has it
	}
	dir, err := l.folder(m)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("the licence of %s: %w", m.Path, err)
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() || !named.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", err
		}
		found = append(found, inWords(text)...)
	}
	if len(found) == 0 {
		return "NOASSERTION", nil
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), " AND "), nil
}

// folder is where the files of a module are.
func (l licences) folder(m debug.Module) (string, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	return filepath.Join(l.modules, path+"@"+version), err
}

// inWords are the licences whose words a text has. A text that is mostly something else tells nothing: pkg.go.dev
// demands three quarters, too.
func inWords(text []byte) []string {
	coverage := licensecheck.Scan(text)
	if coverage.Percent < 75 {
		return nil
	}
	var out []string
	for _, match := range coverage.Match {
		if !match.IsURL {
			out = append(out, match.ID)
		}
	}
	return out
}
