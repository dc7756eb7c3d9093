package pod

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/kernel"
)

// What is taken back is taken back in order, and no further than to the first
// step that may be tried again: DEL needs what was done before it.
func TestUndoing(t *testing.T) {
	tests := []struct {
		name  string
		steps []error
		order []int
		want  error
	}{
		{"nothing", nil, nil, nil},
		{"all", []error{nil, nil, nil}, []int{2, 1, 0}, nil},
		{"up to a failure", []error{nil, unix.EIO, nil}, []int{2, 1}, unix.EIO},
		{"what cannot come back is let go", []error{nil, fmt.Errorf("%w: x", kernel.ErrNoReturn), nil}, []int{2, 1, 0}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var order []int
			var u undoing
			for i, err := range tt.steps {
				u.push(func() error { order = append(order, i); return err })
			}
			if err := u.all(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(tt.order, order); diff != "" {
				t.Errorf("the order of undoing (-want +got):\n%s", diff)
			}
		})
	}
}
