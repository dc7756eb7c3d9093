package fib

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{{nil, false}, {unix.ENETUNREACH, true}, {errors.New("no answer"), false}} {
		if got := (Answer{Err: tt.err}).Refused(); got != tt.want {
			t.Errorf("%v: refused %t", tt.err, got)
		}
	}
}
