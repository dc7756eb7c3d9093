package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image makes the image of all architectures: an OCI layout in dist/image, and the same as an archive
// that "ctr images import", "podman load" and "docker load" take.
func (b build) image(stdout io.Writer) error {
	index, err := b.index()
	if err != nil {
		return err
	}
	dir, err := b.dist("image")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// containerd takes the first for the image's name, all others the second for its tag.
	name := layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          repository + ":" + b.version,
		"org.opencontainers.image.ref.name": b.version,
	})
	if err := path.AppendIndex(index, name); err != nil {
		return err
	}
	files, err := read(dir)
	if err != nil {
		return err
	}
	archive, err := pack(files, b.created)
	if err != nil {
		return err
	}
	if err := b.write("symroute-image.tar", archive); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s:%s@%s\n", repository, b.version, digest)
	return err
}

// index lists the images of all architectures.
func (b build) index() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range b.arches {
		image, err := b.imageOf(arch)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	annotated, ok := mutate.Annotations(index, b.labels()).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("the index with annotations is none")
	}
	return annotated, nil
}

// imageOf has one layer, which is the archive of the architecture.
func (b build) imageOf(arch string) (v1.Image, error) {
	archive, err := b.dist(archiveName(arch))
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromFile(archive, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: b.created}
	scratch := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(scratch, mutate.Addendum{
		Layer: layer, History: v1.History{Created: created, CreatedBy: "make image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, created
	config.Config = v1.Config{
		User:       "0", // the installed plugin is root's, and so are the pods' namespaces
		Env:        []string{"PATH=/"},
		Entrypoint: []string{"/symroute-agent"},
		Cmd:        []string{"run"},
		WorkingDir: "/",
		Labels:     b.labels(),
	}
	return mutate.ConfigFile(image, config)
}

// labels are those of the OCI image specification, annotations.md.
func (b build) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       "symroute",
		prefix + "description": "Symmetric routing for pods with several NICs: CNI plugin, agent of the node, and symroutectl",
		prefix + "source":      source,
		prefix + "version":     b.version,
		prefix + "revision":    b.revision,
		prefix + "created":     b.created.Format(time.RFC3339),
		prefix + "licenses":    "Apache-2.0",
	}
}

// read reads a folder and what is below it, sorted by name.
func read(dir string) ([]file, error) {
	var out []file
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if entry.IsDir() {
			out = append(out, file{name: name + "/", mode: 0o755})
			return nil
		}
		data, err := os.ReadFile(path)
		out = append(out, file{name: name, mode: 0o644, data: data})
		return err
	})
	return out, err
}
