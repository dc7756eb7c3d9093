package state_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/state"
)

func TestDeviations(t *testing.T) {
	asymmetric := state.Deviation{Kind: state.Asymmetric, What: "packets", Want: "this way", Got: "that way", Decides: "a rule"}
	setting := state.Deviation{Kind: state.Setting, What: "a number", Want: "1", Got: "2"}
	foreign := state.Deviation{Kind: state.Foreign, What: "a table", Want: "ours", Got: "theirs"}
	missing := state.Deviation{Kind: state.Missing, What: "a route", Want: "present", Got: "none"}
	missing2 := state.Deviation{Kind: state.Missing, What: "another route", Want: "present", Got: "none"}
	for _, tc := range []struct {
		name    string
		list    state.Deviations
		first   state.Deviation
		message string
		details string
	}{
		{
			"one", state.Deviations{asymmetric}, asymmetric,
			"packets: want this way, got that way; decided by a rule",
			"packets: want this way, got that way; decided by a rule",
		},
		{
			"the most telling kind first", state.Deviations{asymmetric, setting, foreign, missing, missing2}, missing,
			"5 deviations; the first: a route: want present, got none",
			"packets: want this way, got that way; decided by a rule\na number: want 1, got 2\na table: want ours, got theirs\n" +
				"a route: want present, got none\nanother route: want present, got none",
		},
		{
			"then foreign ones", state.Deviations{asymmetric, setting, foreign}, foreign,
			"3 deviations; the first: a table: want ours, got theirs",
			"packets: want this way, got that way; decided by a rule\na number: want 1, got 2\na table: want ours, got theirs",
		},
		{
			"then settings", state.Deviations{asymmetric, setting}, setting,
			"2 deviations; the first: a number: want 1, got 2",
			"packets: want this way, got that way; decided by a rule\na number: want 1, got 2",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.first, tc.list.First()); diff != "" {
				t.Errorf("first (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.message, tc.list.Error()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.details, tc.list.Details()); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}
