package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"golang.org/x/mod/semver"
)

// platform is an archive of the release, as the template of the krew manifest sees it.
type platform struct {
	Arch, URI, SHA256 string
}

// krew fills deploy/krew/symroute.yaml, by which "kubectl krew" installs symroutectl.
func (b build) krew() error {
	text, err := os.ReadFile(filepath.Join(b.root, "deploy", "krew", "symroute.yaml"))
	if err != nil {
		return err
	}
	var platforms []platform
	for _, arch := range b.arches {
		path, err := b.dist(archiveName(arch))
		if err != nil {
			return err
		}
		archive, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		uri := fmt.Sprintf("%s/releases/download/%s/%s", source, b.version, archiveName(arch))
		platforms = append(platforms, platform{Arch: arch, URI: uri, SHA256: sum256(archive)})
	}
	manifest, err := fill(string(text), semantic(b.version), platforms)
	if err != nil {
		return err
	}
	return b.write("symroute-krew.yaml", manifest)
}

func fill(text, version string, platforms []platform) ([]byte, error) {
	manifest, err := template.New("symroute.yaml").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = manifest.Execute(&out, map[string]any{"Version": version, "Platforms": platforms})
	return out.Bytes(), err
}

// semantic is the version as krew demands it. A commit that no tag describes gets a version before all.
func semantic(version string) string {
	if semver.IsValid(version) {
		return version
	}
	return "v0.0.0-g" + version
}
