package drops

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Add has the drops of one more namespace counted, which its inode names.
func (w *Watcher) Add(namespace uint32) error {
	if err := w.collection.Maps[mapNamespaces].Put(namespace, uint32(1)); err != nil {
		return fmt.Errorf("watch the kernel's drops of one more namespace: %w", err)
	}
	return nil
}

// Remove has the drops of a namespace counted no more, and returns those that there were: Counts has them no more,
// and their place is free.
func (w *Watcher) Remove(namespace uint32) ([]Count, error) {
	if err := w.collection.Maps[mapNamespaces].Delete(namespace); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("watch the kernel's drops of one namespace less: %w", err)
	}
	var key [keyLen]byte
	var count uint64
	var last []Count
	var keys [][keyLen]byte
	all := w.collection.Maps[mapCounts].Iterate()
	for all.Next(&key, &count) {
		if k := w.key(key[:]); k.Namespace == namespace {
			last, keys = append(last, Count{k, count}), append(keys, key)
		}
	}
	faults := []error{all.Err()}
	for _, key := range keys {
		if err := w.collection.Maps[mapCounts].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			faults = append(faults, err)
		}
	}
	return last, errors.Join(faults...)
}
