package record

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// Remembered is an attachment with the namespace that it was remembered in.
type Remembered struct {
	Attachment
	// Namespace is the identity of the network namespace (kernel.Namespace.Identity).
	Namespace string
}

// Namespaces are the identities of the namespaces that anything is remembered of. Its error is the system's.
func (s Store) Namespaces() ([]string, error) { return s.namespaces() }

// List reads the records of all namespaces, in the order of their names. Of what is not usable it
// returns why (ErrNotUsable, joined), beside all others; any other error is the system's.
func (s Store) List() ([]Remembered, error) {
	namespaces, err := s.namespaces()
	if err != nil {
		return nil, err
	}
	slices.Sort(namespaces)
	loaded := make([]loading, len(namespaces))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for i, ns := range namespaces { // a node has hundreds
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			loaded[i].attachments, loaded[i].err = s.In(ns)
		})
	}
	workers.Wait()
	var all []Remembered
	var faults []error
	for i := range namespaces {
		attachments, err := loaded[i].attachments, loaded[i].err
		if err != nil && !errors.Is(err, ErrNotUsable) {
			return nil, err
		}
		faults = append(faults, err)
		all = append(all, attachments...)
	}
	return all, errors.Join(faults...)
}

// loading is what In returned.
type loading struct {
	attachments []Remembered
	err         error
}

// In reads the records of one namespace, in the order of their names. Its error is that of Load.
func (s Store) In(namespace string) ([]Remembered, error) {
	attachments, err := s.Load(namespace)
	slices.SortFunc(attachments, func(a, b Attachment) int {
		return cmp.Or(cmp.Compare(a.IfName, b.IfName), cmp.Compare(a.Network, b.Network), cmp.Compare(a.ContainerID, b.ContainerID))
	})
	var all []Remembered
	for _, a := range attachments {
		all = append(all, Remembered{a, namespace})
	}
	return all, err
}
