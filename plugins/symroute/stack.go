package main

// reserveStack has the stack of the calling goroutine grown in one go to what a verb
// needs. Left alone it doubles again and again, and each time everything on it is walked
// and copied: 0.1 ms of a run of 2.5 ms.
//
//go:noinline
func reserveStack(use bool) (sum byte) {
	if use { // never: a frame counts whether its variables are touched or not
		var frame [48 << 10]byte
		for i := range frame {
			frame[i] = byte(i)
		}
		for _, b := range frame {
			sum += b
		}
	}
	return sum
}
