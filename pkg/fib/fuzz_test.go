package fib

import "testing"

// FuzzRuleLine reads any text as a rule. What is read can be written, and is then the same.
func FuzzRuleLine(f *testing.F) {
	for _, r := range manyRules() {
		text, _ := r.MarshalText() // TestRuleLine has the error
		f.Add(string(text))
	}
	for text := range badRuleLines() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r Rule
		if r.UnmarshalText([]byte(text)) == nil {
			_ = r.String()
			sameRule(t, r)
		}
	})
}

// FuzzRouteLine is FuzzRuleLine, of routes and hops.
func FuzzRouteLine(f *testing.F) {
	for _, r := range manyRoutes() {
		text, _ := r.MarshalText() // TestRouteLine has the error
		f.Add(string(text))
	}
	for text := range badRouteLines() {
		f.Add(text)
	}
	f.Add("via 192.0.2.1 dev net1 index 5 weight 256 onlink encap 00ff")
	f.Fuzz(func(t *testing.T, text string) {
		var r Route
		if r.UnmarshalText([]byte(text)) == nil {
			_ = r.String()
			sameRoute(t, r)
		}
		var h Hop
		if h.UnmarshalText([]byte(text)) == nil {
			sameHopLine(t, h)
		}
	})
}
