package main

import (
	"bytes"
	"crypto/sha1"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The names of what follows are those of SPDX 2.3, https://spdx.github.io/spdx-spec/v2.3/.

type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Files             []spdxFile     `json:"files"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	SourceInfo       string        `json:"sourceInfo,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs"`
}

type externalRef struct {
	ReferenceCategory string `json:"referenceCategory"`
	ReferenceType     string `json:"referenceType"`
	ReferenceLocator  string `json:"referenceLocator"`
}

type spdxFile struct {
	SPDXID           string     `json:"SPDXID"`
	FileName         string     `json:"fileName"`
	Checksums        []checksum `json:"checksums"`
	LicenseConcluded string     `json:"licenseConcluded"`
	CopyrightText    string     `json:"copyrightText"`
}

type checksum struct {
	Algorithm     string `json:"algorithm"`
	ChecksumValue string `json:"checksumValue"`
}

type relationship struct {
	SPDXElementID      string `json:"spdxElementId"`
	RelationshipType   string `json:"relationshipType"`
	RelatedSPDXElement string `json:"relatedSpdxElement"`
}

// executable is a program of the release, and what its linker says it is made of.
type executable struct {
	name string
	data []byte
	info *debug.BuildInfo
}

// programs are the executables of an architecture, sorted by name.
func (b build) programs(arch string) ([]executable, error) {
	var out []executable
	for _, name := range []string{"symroute", "symroute-agent", "symroutectl"} {
		path := filepath.Join(b.root, "bin", "linux-"+arch, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, executable{name: name, data: data, info: info})
	}
	return out, nil
}

// bill is the bill of materials (SBOM) of an architecture: what its executables say that they are made of.
func (b build) bill(arch string, programs []executable) ([]byte, error) {
	doc, err := b.document(arch, programs, licences{modules: b.modules}.of)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

// document describes the programs. licence tells that of a module.
func (b build) document(arch string, programs []executable, licence func(debug.Module) (string, error)) (document, error) {
	name := "symroute-linux-" + arch
	product := spdxPackage{
		SPDXID: "SPDXRef-Package-symroute", Name: "symroute", VersionInfo: b.version,
		DownloadLocation: fmt.Sprintf("%s/releases/download/%s/%s", source, b.version, archiveName(arch)),
		LicenseConcluded: "Apache-2.0", LicenseDeclared: "Apache-2.0", CopyrightText: "NOASSERTION",
		ExternalRefs: purl("github.com/symroute/symroute", b.version),
	}
	doc := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: name + "-" + b.version,
		CreationInfo:  creationInfo{Created: b.created.Format(time.RFC3339), Creators: []string{"Tool: symroute-release"}},
		Packages:      []spdxPackage{product},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", product.SPDXID}},
	}
	modules := map[string]spdxPackage{}
	var sums strings.Builder
	for _, p := range programs {
		f := fileOf(p)
		fmt.Fprintln(&sums, f.Checksums, f.FileName)
		doc.Files = append(doc.Files, f)
		doc.Relationships = append(doc.Relationships, relationship{product.SPDXID, "CONTAINS", f.SPDXID})
		for _, m := range linked(p.info) {
			id := "SPDXRef-Module-" + identifier(m.Path+"-"+m.Version)
			doc.Relationships = append(doc.Relationships, relationship{f.SPDXID, "DEPENDS_ON", id})
			if _, known := modules[id]; known {
				continue
			}
			declared, err := licence(m)
			if err != nil {
				return document{}, err
			}
			modules[id] = packageOf(id, m, declared)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(modules)) {
		doc.Packages = append(doc.Packages, modules[id])
	}
	doc.DocumentNamespace = fmt.Sprintf("%s/sbom/%s-%s", source, doc.Name, sum256([]byte(sums.String())))
	return doc, nil
}

func fileOf(p executable) spdxFile {
	return spdxFile{
		SPDXID: "SPDXRef-File-" + identifier(p.name), FileName: "./" + p.name,
		Checksums: []checksum{ // SPDX demands the first of each file
			{"SHA1", fmt.Sprintf("%x", sha1.Sum(p.data))},
			{"SHA256", sum256(p.data)},
		},
		LicenseConcluded: "NOASSERTION", CopyrightText: "NOASSERTION",
	}
}

// standard is the module of Go's standard library, as vulnerability databases call it.
const standard = "stdlib"

// linked are the modules in an executable, Go's own library among them.
func linked(info *debug.BuildInfo) []debug.Module {
	out := []debug.Module{{Path: standard, Version: strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, *m)
	}
	return out
}

func packageOf(id string, m debug.Module, declared string) spdxPackage {
	p := spdxPackage{
		SPDXID: id, Name: m.Path, VersionInfo: m.Version, DownloadLocation: "NOASSERTION",
		LicenseConcluded: "NOASSERTION", LicenseDeclared: declared, CopyrightText: "NOASSERTION",
		ExternalRefs: purl(m.Path, m.Version),
	}
	if m.Sum != "" {
		p.SourceInfo = "go.sum: " + m.Sum
	}
	return p
}

// purl is how scanners know a package: https://github.com/package-url/purl-spec, type golang.
func purl(module, version string) []externalRef {
	locator := "pkg:golang/" + module + "@" + strings.ReplaceAll(version, "+", "%2B")
	return []externalRef{{"PACKAGE-MANAGER", "purl", locator}}
}

// identifier has letters, digits, dots and hyphens alone, which is what an SPDXID may have.
func identifier(name string) string {
	return regexp.MustCompile(`[^A-Za-z0-9.-]`).ReplaceAllString(name, "-")
}
