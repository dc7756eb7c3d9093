// Package bundle collects what somebody needs who reads a bug report: one archive with a file for each thing. What
// fails keeps nothing else from being collected. What may hold secrets is not collected: contents of the runtime's
// configurations, settings that only root may read, keys.
package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
)

// Options say what to collect.
type Options struct {
	// Name is the directory inside the archive.
	Name string
	Node node.Node
	Pods []node.Pod
	// BinDir and ConfDir are the runtime's: for the plugin's version, and the names of networks.
	BinDir, ConfDir string
	// Version says what collects.
	Version string
	// Check judges the attachments of a pod.
	Check func(node.Pod) string
	// Now is the time of all files.
	Now time.Time
	// Patience is how long one file may take; MaxFile and MaxTotal are bounds in bytes.
	Patience          time.Duration
	MaxFile, MaxTotal int
}

// The usual bounds. The archive is small all the same: text packs well.
const (
	DefaultPatience = 10 * time.Second
	DefaultMaxFile  = 8 << 20
	DefaultMaxTotal = 256 << 20
)

// NameOn is the name of an archive that is made on a node at a time.
func NameOn(host string, at time.Time) string {
	return "symroute-bundle-" + safe(host) + "-" + at.UTC().Format("20060102T150405Z")
}

// File is one file of the archive.
type File struct {
	Name string `json:"name"`
	// How it was made: a command, or what was read.
	How string `json:"how"`
	// Error is why it could not be made. Then NAME.error stands in its place.
	Error string `json:"error,omitempty"`
}

// errorSuffix is what a file is called that could not be made.
const errorSuffix = ".error"

// item is a file to be made.
type item struct {
	name, how string
	collect   func(context.Context) ([]byte, error)
}

// Write writes the archive, a tar file packed by gzip, and says what is in it. Its error is that of writing, or of
// the context.
func Write(ctx context.Context, w io.Writer, o Options) ([]File, error) {
	packed := gzip.NewWriter(w)
	archive := &archive{tar: tar.NewWriter(packed), options: o}
	items := o.items()
	err := archive.add("README.txt", readme(o, items))
	var files []File
	for _, i := range items {
		if err != nil {
			return files, err
		}
		var f File
		f, err = archive.collect(ctx, i)
		files = append(files, f)
	}
	return files, errors.Join(err, archive.tar.Close(), packed.Close())
}

// archive is where the files go.
type archive struct {
	tar     *tar.Writer
	options Options
	written int
}

// collect makes a file and adds it, or what it failed with.
func (a *archive) collect(ctx context.Context, i item) (File, error) {
	f := File{Name: i.name, How: i.how}
	if a.written >= a.options.MaxTotal {
		f.Error = fmt.Sprintf("left out: the archive has reached %d bytes", a.options.MaxTotal)
		return f, a.add(f.Name+errorSuffix, []byte(f.Error+"\n"))
	}
	within, cancel := context.WithTimeout(ctx, a.options.Patience)
	data, err := i.collect(within)
	cancel()
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	data = cut(data, a.options.MaxFile)
	if err == nil {
		return f, a.add(f.Name, data)
	}
	f.Error = reason(err)
	return f, a.add(f.Name+errorSuffix, fmt.Appendf(nil, "%s\n%s\n\n%s", f.How, f.Error, data))
}

// reason is an error in the words of a reader: a pod that has ended is none.
func reason(err error) string {
	if errors.Is(err, kernel.ErrGone) {
		return "the pod is gone"
	}
	return err.Error()
}

// cut bounds what is in a file.
func cut(data []byte, limit int) []byte {
	if len(data) <= limit {
		return data
	}
	return fmt.Appendf(data[:limit:limit], "\n[cut off after %d bytes]\n", limit)
}

func (a *archive) add(name string, data []byte) error {
	a.written += len(data)
	err := a.tar.WriteHeader(&tar.Header{
		Name: a.options.Name + "/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: a.options.Now, Typeflag: tar.TypeReg,
	})
	if err == nil {
		_, err = a.tar.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// Holds says what is inside, before somebody gives it away.
const Holds = `It holds names of pods, networks and devices, addresses (IP and MAC) of pods and of this node, packet filter rules,
and what the runtime told symroute about each attachment: nothing is made unreadable. It does not hold the contents of
the runtime's configuration files (only names of networks and types of plugins), settings that only root may read, or
keys of IPsec, WireGuard and MACsec. Look through it before you publish it.`

// readme is the first file: what all others are, and how they were made.
func readme(o Options, items []item) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s, collected by %s at %s\n\n%s\n\n", o.Name, o.Version, o.Now.UTC().Format(time.RFC3339), Holds)
	fmt.Fprintf(&out, "Each file was made by itself. NAME%s stands for a file that could not be made, and says why.\n", errorSuffix)
	fmt.Fprintf(&out, "No file may have more than %d bytes, all together no more than about %d.\n\n", o.MaxFile, o.MaxTotal)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, i := range items {
		fmt.Fprintf(w, "%s\t%s\n", i.name, i.how)
	}
	_ = w.Flush() // a buffer takes everything
	return out.Bytes()
}

// items are all files but README.txt.
func (o Options) items() []item {
	all := o.ofNode()
	taken := map[string]bool{}
	for _, p := range o.Pods {
		dir := "pods/" + folder(p)
		for taken[dir] {
			dir += "_"
		}
		taken[dir] = true
		all = append(all, o.ofPod(dir, p)...)
	}
	return all
}

// folder is a pod's name as that of a directory. What names it comes from the pod's author.
func folder(p node.Pod) string {
	name := p.String()
	if len(p.ContainerID) >= 12 && !strings.Contains(name, p.ContainerID) {
		name += "_" + p.ContainerID[:12] // a pod may have had several
	}
	return safe(name)
}

// safe keeps of a name what every system takes as the name of a file.
func safe(name string) string {
	kept := strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '_'
	}, name), ".-_")
	return cmp.Or(kept, "nameless")
}
