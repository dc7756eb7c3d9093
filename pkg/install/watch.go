package install

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settled is how long nothing has to happen to an executable before it is looked at: package managers write
// many files, and each of them in steps.
const settled = 200 * time.Millisecond

// Watch calls changed some time after an executable in a directory was written, replaced or removed, until ctx
// ends. Its error says that the directory cannot be watched.
func Watch(ctx context.Context, dir string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close() // nothing is watched
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	go func() {
		defer w.Close() //nolint:errcheck // the process ends, too
		quiet := time.NewTimer(settled)
		quiet.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-w.Events:
				if !open {
					return
				}
				if slices.Contains(Names(), filepath.Base(e.Name)) {
					quiet.Reset(settled)
				}
			case _, open := <-w.Errors: // too many at once: one of them may have been ours
				if !open {
					return
				}
				quiet.Reset(settled)
			case <-quiet.C:
				changed()
			}
		}
	}()
	return nil
}
