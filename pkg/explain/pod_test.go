package explain

import (
	"net/netip"
	"testing"
)

func TestProcAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000:0035":                         "0.0.0.0:53",
		"B80D0120000000000000000001000000:0050": "[2001:db8::1]:80",
	} {
		if got, ok := procAddress(text); !ok || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s: got %v, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", ":", "0100007F", "0100007F:", "0100007F:1F9000", "0100007:1F90", "GG00007F:1F90", "0100007F01:0050"} {
		if got, ok := procAddress(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// FuzzProcAddress: whatever the file says, nothing breaks.
func FuzzProcAddress(f *testing.F) {
	f.Add("0100007F:1F90")
	f.Fuzz(func(t *testing.T, text string) {
		if a, ok := procAddress(text); ok && !a.IsValid() {
			t.Errorf("%q is read as an address that is none", text)
		}
	})
}
