package pod

import (
	"errors"
	"fmt"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/record"
)

// ErrUnavailable is wrapped by the error of Status: no policy routing, no right to change it, or
// dataDir cannot be written.
var ErrUnavailable = errors.New("symroute cannot work on this node")

// Status says whether Add could work on this node, with the records in dataDir. Its error wraps
// ErrUnavailable.
func Status(dataDir string) error {
	if err := kernel.PolicyRouting(); err != nil {
		return fmt.Errorf("%w: policy routing: %w", ErrUnavailable, err)
	}
	if err := kernel.Capable(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := record.NewStore(dataDir).Usable(); err != nil {
		return fmt.Errorf("%w: dataDir: %w", ErrUnavailable, err)
	}
	return nil
}
