// release makes what is released of the executables that "make" has built in bin/linux-ARCH:
//
//	release archives  dist/symroute-linux-ARCH.tgz, and the .spdx.json that is in each
//	release image     dist/image and dist/symroute-image.tar, the OCI image of all architectures, of the archives in dist
//	release krew      dist/symroute-krew.yaml, of the archives in dist
//
// It works in the root of the repository, and takes several of these words. The same executables give the same bytes: all times are that of
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
		return errors.New("-version, -created and -arches are needed: outside git set RELEASE, REVISION and SOURCE_DATE_EPOCH for make")
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	b := build{
		root: ".", version: *version, revision: *revision, created: time.Unix(*created, 0).UTC(),
		arches: strings.Fields(*arches), modules: strings.TrimSpace(string(modules)),
	}
	for _, part := range flags.Args() {
		if err := b.make(part, stdout); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

func (b build) make(part string, stdout io.Writer) error {
	switch part {
	case "archives":
		return b.archives()
	case "image":
		return b.image(stdout)
	case "krew":
		return b.krew()
	}
	return errors.New("it is none of archives, image, krew")
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
