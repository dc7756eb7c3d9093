package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/fsnotify/fsnotify"

	"github.com/symroute/symroute/pkg/kernel"
)

// heard is what listen has heard.
type heard struct {
	changes []kernel.Change // in pods
	missed  bool            // there were more
	records bool            // something has changed among the records
}

// listen has changes sent, in pods and among the records, until the function that it returns is called. A pod that is
// new has no number yet: it is found by its records.
func (a *Agent) listen(ctx context.Context, to chan<- heard) (end func(), err error) {
	records, err := watchRecords(a.Node.DataDirs)
	if err != nil {
		return nil, err
	}
	changes, err := kernel.WatchChanges()
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	if a.asker, err = kernel.OpenNumbers(); err != nil {
		return nil, errors.Join(err, records.Close(), changes.Close())
	}
	tell := func(h heard) {
		select {
		case to <- h:
		case <-ctx.Done():
		}
	}
	var listeners sync.WaitGroup
	listeners.Go(func() {
		for {
			all, err := changes.Next()
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil && !errors.Is(err, kernel.ErrMissed) {
				a.Log.Error("changes in pods are not heard any more, pods are checked at intervals only", "error", err)
				return
			}
			tell(heard{changes: all, missed: err != nil})
		}
	})
	listeners.Go(func() {
		for {
			var open bool
			select {
			case _, open = <-records.Events:
			case _, open = <-records.Errors: // too many at once
			}
			if !open {
				return
			}
			tell(heard{records: true})
		}
	})
	return func() {
		_, _ = changes.Close(), records.Close() // nothing is lost
		listeners.Wait()
		a.asker.Close()
	}, nil
}

// watchRecords watches the directories of the records, which it makes as the plugin does where they are missing: a
// directory that is not there cannot be watched.
func watchRecords(dirs []string) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch records: %w", err)
	}
	for _, dir := range dirs {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = w.Add(dir)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("watch records: %w", err), w.Close())
		}
	}
	return w, nil
}
