package fib

import (
	"os"
	"testing"
)

func TestSettingPath(t *testing.T) {
	for _, tt := range []struct{ device, key, want string }{
		{"net1", RPFilter, "net/ipv4/conf/net1/rp_filter"},
		{"all", ARPIgnore, "net/ipv4/conf/all/arp_ignore"},
		{"default", ARPAnnounce, "net/ipv4/conf/default/arp_announce"},
		{"eth0.5", ARPFilter, "net/ipv4/conf/eth0.5/arp_filter"},
		{"net1", KeepAddrOnDown, "net/ipv6/conf/net1/keep_addr_on_down"},
	} {
		if got := SettingPath(tt.device, tt.key); got != tt.want {
			t.Errorf("%s of %s is at %s, want %s", tt.key, tt.device, got, tt.want)
		}
		if _, err := os.Stat("/proc/sys/" + SettingPath("lo", tt.key)); err != nil {
			t.Errorf("the kernel has another name for it: %v", err)
		}
	}
}

func TestSettings(t *testing.T) {
	var s Settings
	for i, key := range []string{RPFilter, ARPIgnore, ARPAnnounce, ARPFilter, KeepAddrOnDown} {
		*s.At(key) = i + 1
	}
	if want := (Settings{RPFilter: 1, ARPIgnore: 2, ARPAnnounce: 3, ARPFilter: 4, KeepAddrOnDown: 5}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if got := s.Of(KeepAddrOnDown); got != 5 {
		t.Errorf("keep_addr_on_down is %d, want 5", got)
	}
	if s.At("accept_ra") != nil || s.Of("accept_ra") != 0 {
		t.Error("there is a place for a key that is none")
	}
}
