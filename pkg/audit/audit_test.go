package audit

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/state"
)

// item is one of pod shop/NAME.
func item(name, nic, state string, found ...Deviation) Item {
	return Item{
		Subject: Subject{Namespace: "shop", Pod: name, ContainerID: "c-" + name, Interface: nic, Network: "red"},
		State:   state, Deviations: append([]Deviation{}, found...),
	}
}

func reportOf(items ...Item) Report {
	r := Report{Items: items}
	pods := map[string]bool{}
	for _, i := range items {
		pods[i.Pod] = true
		r.Summary.Attachments++
		switch i.State {
		case "symmetric":
			r.Summary.Symmetric++
		case "deviating":
			r.Summary.Deviating++
		case "gone":
			r.Summary.Gone++
		case "unknown":
			r.Summary.Unknown++
		}
	}
	r.Summary.Pods = len(pods)
	return r
}

func TestHeadline(t *testing.T) {
	fine := func(name string) Item { return item(name, "net1", "symmetric") }
	long := strings.Repeat("x", 60)
	unread := reportOf(fine("a"))
	unread.Unread = "a record"
	for want, r := range map[string]Report{
		"OK: symroute has no attachments here":                                             reportOf(),
		"OK: 1 attachment of 1 pod is symmetric":                                           reportOf(fine("a")),
		"OK: 3 attachments of 2 pods are symmetric":                                        reportOf(fine("a"), fine("a"), fine("b")),
		"OK: 1 attachment is gone":                                                         reportOf(item("a", "net1", "gone")),
		"OK: 1 attachment is symmetric, 1 is gone":                                         reportOf(fine("a"), item("a", "net1", "gone")),
		"OK: 2 attachments are symmetric, 2 are gone":                                      reportOf(fine("a"), fine("b"), item("c", "a", "gone"), item("c", "b", "gone")),
		"PROBLEM: 1 of 2 attachments deviates: shop/b net1":                                reportOf(fine("a"), item("b", "net1", "deviating")),
		"PROBLEM: 2 of 3 attachments deviate: shop/b net1, shop/c net2":                    reportOf(fine("a"), item("b", "net1", "deviating"), item("c", "net2", "deviating")),
		"PROBLEM: 1 of 1 attachment deviates":                                              reportOf(item(long, "net1", "deviating")),
		"UNKNOWN: 1 of 1 attachment could not be checked: shop/a net1":                     reportOf(item("a", "net1", "unknown")),
		"PROBLEM: 1 of 2 attachments deviates: shop/b net1 ":                               reportOf(item("a", "net1", "unknown"), item("b", "net1", "deviating")),
		"UNKNOWN: not all records could be read; of the others 1 is symmetric":             unread,
		"PROBLEM: 5 of 5 attachments deviate: shop/cart-0 net1, shop/cart-1 net1, ...":     reportOf(many(5)...),
		"PROBLEM: 11 of 11 attachments deviate: shop/cart-0 net1, shop/cart-1 net1, ...":   reportOf(many(11)...),
		"PROBLEM: 111 of 111 attachments deviate: shop/cart-0 net1, shop/cart-1 net1, ...": reportOf(many(111)...),
	} {
		got := r.Headline()
		if got != strings.TrimSpace(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if len(got) > 80 {
			t.Errorf("%q has %d characters", got, len(got))
		}
	}
}

func many(n int) []Item {
	var out []Item
	for i := range n {
		out = append(out, item("cart-"+string(rune('0'+i%10)), "net1", "deviating"))
	}
	return out
}

func TestStates(t *testing.T) {
	for verdict, want := range map[pod.Verdict]string{
		pod.Symmetric: StateSymmetric, pod.Deviating: StateDeviating, pod.Gone: StateGone, pod.Unknown: StateUnknown,
	} {
		if verdict.String() != want {
			t.Errorf("%q, want %q", verdict, want)
		}
	}
}

// Programs read these keys: none is ever renamed.
func TestKeys(t *testing.T) {
	r := reportOf(item("a", "net1", "deviating", Deviation{102, "the rule", "present", "none", "5: from all lookup 9", state.Missing}))
	r.Items[0].Notes = []string{"look"}
	r.Items[0].Reason, r.Unread = "why", "a record"
	const want = `{"summary":{"attachments":1,"pods":1,"symmetric":0,"deviating":1,"gone":0,"unknown":0},` +
		`"items":[{"namespace":"shop","pod":"a","containerID":"c-a","interface":"net1","network":"red","state":"deviating",` +
		`"deviations":[{"code":102,"what":"the rule","want":"present","got":"none","decides":"5: from all lookup 9"}],` +
		`"reason":"why","notes":["look"]}],"unread":"a record"}`
	sameJSON(t, want, r)
	sameJSON(t, `{"summary":{"attachments":0,"pods":0,"symmetric":0,"deviating":0,"gone":0,"unknown":0},"items":[]}`,
		Check(t.Context(), nil, nil))
	sameJSON(t, `{"checked":0,"items":[]}`, Repair(t.Context(), nil, "v1", false, nil))
	sameJSON(t, `{"namespace":"","pod":"","containerID":"","interface":"","network":"","state":"repaired","was":[],"deviations":[]}`,
		RepairItem{State: StateRepaired, Was: []Deviation{}, Deviations: []Deviation{}})
}

func sameJSON(t *testing.T, want string, value any) {
	t.Helper()
	got, err := json.Marshal(value)
	if err != nil || string(got) != want {
		t.Errorf("(%v)\n got %s\nwant %s", err, got, want)
	}
}

// The deviation that gives CHECK's error its code stands first.
func TestOrderOfDeviations(t *testing.T) {
	got := deviations(state.Deviations{
		{Kind: state.Asymmetric, What: "a"}, {Kind: state.Missing, What: "b"}, {Kind: state.Setting, What: "c"}, {Kind: state.Missing, What: "d"},
	})
	want := []Deviation{
		{Code: 102, What: "b", Kind: state.Missing}, {Code: 102, What: "d", Kind: state.Missing},
		{Code: 101, What: "c", Kind: state.Setting}, {Code: 100, What: "a", Kind: state.Asymmetric},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSince(t *testing.T) {
	rule, setting := Deviation{Code: 102, What: "a rule"}, Deviation{Code: 101, What: "a setting"}
	before := reportOf(item("same", "net1", "symmetric"), item("breaks", "net1", "symmetric"), item("worse", "net1", "deviating", rule),
		item("still", "net1", "deviating", rule), item("left", "net1", "symmetric"), item("was gone", "net1", "gone"))
	now := reportOf(item("same", "net1", "symmetric"), item("breaks", "net1", "deviating", rule), item("worse", "net1", "deviating", rule, setting),
		item("still", "net1", "deviating", rule), item("new", "net1", "symmetric"))
	var got []string
	for _, c := range now.Since(before) {
		got = append(got, c.Pod+": "+c.Was+" -> "+c.State+" "+c.First())
	}
	want := []string{
		"breaks: symmetric -> deviating a rule: want , got ",
		"worse: deviating -> deviating a rule: want , got  (and 1 more)",
		"new:  -> symmetric ",
		"left: symmetric -> gone nothing is remembered of it any more",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := now.Since(now); again != nil {
		t.Errorf("nothing has changed: %v", again)
	}
}
