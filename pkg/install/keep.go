package install

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

const (
	// look is how often executables are looked at though nothing was told of them: a directory that was missing at
	// first is not watched, and not every file system tells.
	look = time.Minute
	// again is how soon after a failure it is tried again.
	again = 10 * time.Second
	// burst is how many installations may follow one another, and then one each minute: somebody else who keeps other
	// executables there is not fought with.
	burst = 5
)

// Keep installs the executables, and again whenever they are not as they were installed, until ctx ends. Told is
// called with what each installation returned, but not for looks that found nothing to do.
func Keep(ctx context.Context, from, to string, told func(Result, error)) {
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	watched := Watch(ctx, to, notify) == nil
	limit := rate.NewLimiter(rate.Every(look), burst)
	for first := true; ; first = false {
		if !watched {
			watched = Watch(ctx, to, notify) == nil
		}
		result, err := Install(from, to)
		if first || err != nil || result == Installed {
			told(result, err)
		}
		if result == Installed && limit.Wait(ctx) != nil {
			return
		}
		wait := look
		if err != nil {
			wait = again
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-changed:
		}
	}
}
