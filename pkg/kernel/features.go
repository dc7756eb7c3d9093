package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

// HasRules reports whether the kernel has policy routing for a family, in whichever namespace the caller is. For
// IPv6 that is an option of its own (CONFIG_IPV6_MULTIPLE_TABLES).
func HasRules(family fib.Family) error {
	s, err := openSocket(patience)
	if err != nil {
		return err
	}
	defer s.close()
	rules, err := dump(s, unix.RTM_GETRULE, wire.EncodeRuleDump(family), wire.DecodeRule)
	if err == nil && len(rules) == 0 {
		err = errors.New("the kernel has none")
	}
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	return nil
}

// HasCookies reports whether the kernel gives network namespaces cookies (SO_NETNS_COOKIE, Linux 5.14).
func HasCookies() (bool, error) {
	s, err := openSocket(patience)
	if err != nil {
		return false, err
	}
	defer s.close()
	_, err = unix.GetsockoptLinger(s.fd(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE) // as Identity asks for it
	if errors.Is(err, unix.ENOPROTOOPT) {
		return false, nil
	}
	return err == nil, err
}
