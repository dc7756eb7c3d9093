package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// file is an entry of an archive. The name of a folder ends in a slash.
type file struct {
	name string
	mode int64
	data []byte
}

// pack makes a tar archive in which nothing is of this machine: the owner is root, the time that of the
// commit.
func pack(files []file, when time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := tar.Header{
			Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: when,
			Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
		}
		if len(f.data) == 0 && f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// compress is "gzip -n -9": a header without name and time.
func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// archiveName is what README's installation fetches.
func archiveName(arch string) string { return "symroute-linux-" + arch + ".tgz" }

// archives makes the archive of each architecture, and beside it its bill of materials.
func (b build) archives() error {
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return err
	}
	for _, arch := range b.arches {
		programs, err := b.programs(arch)
		if err != nil {
			return err
		}
		bill, err := b.bill(arch, programs)
		if err != nil {
			return err
		}
		files := []file{{name: "LICENSE", mode: 0o644, data: license}, {name: "sbom.spdx.json", mode: 0o644, data: bill}}
		for _, p := range programs {
			files = append(files, file{name: p.name, mode: 0o755, data: p.data})
		}
		archive, err := pack(files, b.created)
		if err != nil {
			return err
		}
		if archive, err = compress(archive); err != nil {
			return err
		}
		err = errors.Join(b.write(archiveName(arch), archive), b.write("symroute-linux-"+arch+".spdx.json", bill))
		if err != nil {
			return err
		}
	}
	return nil
}
