package state

import "testing"

func TestCode(t *testing.T) {
	for kind, want := range map[Kind]uint{Asymmetric: 100, Setting: 101, Missing: 102, Foreign: 103} {
		if got := Code(kind); got != want {
			t.Errorf("kind %d has code %d, want %d", kind, got, want)
		}
	}
}
