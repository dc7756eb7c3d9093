package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLoad reads files of any content. One that is loaded is the attachment's of its
// name, can be saved and is then the same. One that is not is named.
func FuzzLoad(f *testing.F) {
	a := golden()
	a.Key = full().Key
	valid, err := json.Marshal(a)
	if err != nil {
		f.Fatal(err)
	}
	const head = `{"version":1,"network":"net","containerID":"c1","ifname":"net1"`
	f.Add(valid)
	for _, seed := range []string{
		head + `}`, head, head + `}}`, head + `} `, "", "null", "[]", "1", "\x00", "{}", "\xef\xbb\xbf" + head + `}`,
		head + `,"state":{"rules":["-4 5: from all lookup 9"],"nics":[{"tables":[{"number":-1}]}]}}`, head + `,"state":{"rules":[""]}}`,
		head + `,"state":{"settings":{"rp_filter":{"all":0,"originals":[{"index":-1}]},"":{}},"lvs":{"vips":[{}]},"main":{}}}`,
		head + `,"earlier":[{},{"nics":[{}]}],"input":{"a":[ ]}}`, head + `,"version":2}`, head + `,"VERSION":1.0}`, head + `,"ifname":"net2"}`,
		`{"version":2,"state":[]}`, `{"version":"1"}`, `{"version":1e0}`,
	} {
		f.Add([]byte(seed))
	}
	s, dir := newStore(f)
	if err := os.MkdirAll(filepath.Join(dir, netns), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path(dir, full().Key), data, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := s.Load(netns)
		switch {
		case err != nil && !errors.Is(err, ErrNotUsable):
			t.Errorf("%v is not ErrNotUsable", err)
		case err == nil && (len(all) != 1 || all[0].Key != full().Key || all[0].Version != Version):
			t.Errorf("loaded %v", all)
		case err != nil && len(all) > 0:
			t.Errorf("loaded %v, with %v", all, err)
		case err == nil:
			saved := all[0]
			mustSave(t, s, netns, saved)
			saved.Input = spaceless(saved.Input)
			if diff := cmp.Diff(again(t, saved), mustLoad(t, s, netns)[0], remembered); diff != "" {
				t.Errorf("saved and loaded, it is another:\n%s", diff)
			}
			if states := saved.States(); len(states) != len(saved.Earlier)+1 {
				t.Errorf("of %d earlier states and one become %d", len(saved.Earlier), len(states))
			}
		}
		if err := s.Remove(netns, full().Key); err != nil {
			t.Errorf("it cannot be removed: %v", err)
		}
		must(t, os.MkdirAll(filepath.Join(dir, netns), 0o700)) // of which it was the last
	})
}

// A record that was cut off anywhere is refused, also where zeros stand for the rest,
// as some file systems have it after a crash.
func TestTornAnywhere(t *testing.T) {
	a := golden()
	a.Key = full().Key
	valid, err := json.Marshal(a)
	must(t, err)
	s, dir := newStore(t)
	must(t, os.MkdirAll(filepath.Join(dir, netns), 0o700))
	for size := range valid {
		must(t, os.WriteFile(path(dir, full().Key), valid[:size], 0o600))
		if all, err := s.Load(netns); !errors.Is(err, ErrNotUsable) || len(all) > 0 {
			t.Errorf("the first %d bytes: loaded %v (%v)", size, all, err)
		}
		if size%50 != 0 {
			continue
		}
		zeros := append(bytes.Clone(valid[:size]), make([]byte, len(valid)-size)...)
		must(t, os.WriteFile(path(dir, full().Key), zeros, 0o600))
		if all, err := s.Load(netns); !errors.Is(err, ErrNotUsable) || len(all) > 0 {
			t.Errorf("zeros behind %d bytes: loaded %v (%v)", size, all, err)
		}
	}
}
