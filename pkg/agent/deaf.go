package agent

import (
	"time"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/install"
	"github.com/symroute/symroute/pkg/node"
)

// Deaf is an observer that takes no notice of anything: one that is made of it has only the methods that it needs.
type Deaf struct{}

// Met does nothing.
func (Deaf) Met(node.Pod) {}

// Left does nothing.
func (Deaf) Left(string) {}

// Checked does nothing.
func (Deaf) Checked(audit.Item) {}

// PodChecked does nothing.
func (Deaf) PodChecked(time.Duration) {}

// Audited does nothing.
func (Deaf) Audited(time.Duration, time.Time) {}

// Known does nothing.
func (Deaf) Known([]audit.Item, int) {}

// Repaired does nothing.
func (Deaf) Repaired(audit.RepairItem, string) {}

// LinkFlapped does nothing.
func (Deaf) LinkFlapped(audit.Subject) {}

// Deviates does nothing.
func (Deaf) Deviates(audit.Item, string) {}

// Installed does nothing.
func (Deaf) Installed(install.Result, error) {}

// Vain does nothing.
func (Deaf) Vain(audit.Item, int) {}
