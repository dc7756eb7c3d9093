// release makes what is released of the executables that "make" has built in bin/linux-ARCH:
//
//	release image     dist/image and dist/symroute-image.tar, the OCI image of all architectures
//	release archives  dist/symroute-linux-ARCH.tgz, and the .spdx.json that is in each
//	release krew      dist/symroute-krew.yaml, of the archives in dist
//
// It works in the root of the repository. The same executables give the same bytes: all times are that of
// the commit, all owners root, all lists sorted.
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// source is where the project lives: the URL of the repository, and the name of the image.
const (
	source     = "https://github.com/symroute/symroute"
	repository = "ghcr.io/symroute/symroute"
)

// build is what is released.
type build struct {
	root     string    // of the repository
	version  string    // as git describes the commit: "v1.2.3"
	revision string    // the commit
	created  time.Time // of the commit
	arches   []string
	modules  string // the folder of the module cache, with the licences of what the executables are made of
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "the release, as git describes the commit")
	revision := flags.String("revision", "", "the commit")
	created := flags.Int64("created", 0, "the time of the commit, in seconds since 1970 (SOURCE_DATE_EPOCH)")
	arches := flags.String("arches", "", "the architectures, with spaces between them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version == "" || *created == 0 || *arches == "" {
		return errors.New("-version, -created and -arches have to be given: call it by make image or make release")
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	b := build{
		root: ".", version: *version, revision: *revision, created: time.Unix(*created, 0).UTC(),
		arches: strings.Fields(*arches), modules: strings.TrimSpace(string(modules)),
	}
	switch flags.Arg(0) {
	case "image":
		return b.image(stdout)
	case "archives":
		return b.archives()
	case "krew":
		return b.krew()
	}
	return fmt.Errorf("%q is none of image, archives, krew", flags.Arg(0))
}

// executables are those of a release: "make build" makes them.
func executables() []string { return []string{"symroute", "symroute-agent", "symroutectl"} }

// files are what a user gets for an architecture, sorted by name.
func (b build) files(arch string) ([]file, error) {
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	bill, err := b.bill(arch)
	if err != nil {
		return nil, err
	}
	out := []file{{name: "LICENSE", mode: 0o644, data: license}, {name: "sbom.spdx.json", mode: 0o644, data: bill}}
	for _, name := range executables() {
		data, err := os.ReadFile(b.executable(arch, name))
		if err != nil {
			return nil, err
		}
		out = append(out, file{name: name, mode: 0o755, data: data})
	}
	return out, nil
}

func (b build) executable(arch, name string) string {
	return filepath.Join(b.root, "bin", "linux-"+arch, name)
}

// dist is a file of the release, whose folder is made.
func (b build) dist(name string) (string, error) {
	dir := filepath.Join(b.root, "dist")
	return filepath.Join(dir, name), os.MkdirAll(dir, 0o755)
}

func (b build) write(name string, data []byte) error {
	path, err := b.dist(name)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func sum256(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
