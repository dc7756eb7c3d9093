package lint

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A File is one to look at.
type File struct {
	Name string
	Data []byte
	// Listed says that it was found in a directory. It may be of another kind then.
	Listed bool
}

// Stdin is the name of standard input among files.
const Stdin = "-"

// extension are the names' ends of files that may hold configurations: those that libcni and containerd's
// go-cni read (libcni.ConfFiles), and those of manifests.
func extensions() []string { return []string{".conflist", ".conf", ".json", ".yaml", ".yml"} }

// Open reads a file, all files of a directory that may hold configurations, or standard input.
func Open(name string, stdin io.Reader) ([]File, error) {
	if name == Stdin {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return []File{{Name: "stdin", Data: data}}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return []File{{Name: name, Data: data}}, nil
	}
	return list(name)
}

// list reads the files of a directory; those of directories within it belong to others, as for libcni.
func list(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(extensions(), filepath.Ext(e.Name())) {
			continue
		}
		name := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: name, Data: data, Listed: true})
	}
	return files, nil
}
