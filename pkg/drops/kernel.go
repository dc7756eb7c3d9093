package drops

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// What a kernel may lack. Counters says what it has instead.
var (
	// ErrNoBTF is returned where the kernel does not describe its types (CONFIG_DEBUG_INFO_BTF).
	ErrNoBTF = errors.New("this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
	// ErrNoReasons is returned by a kernel whose tracepoint has no reasons.
	ErrNoReasons = errors.New("this kernel gives no reasons for drops, which needs Linux 5.17")
	// ErrNotAllowed is returned where this process may not load the program.
	ErrNotAllowed = errors.New("loading the program needs CAP_BPF and CAP_PERFMON, or root")
)

// layout is where the kernel keeps what the program reads, in bytes from the beginning of each struct.
type layout struct {
	skbDev, skbSock, skbHead, skbNetwork, skbProtocol int32
	devNet, devIndex                                  int32
	sockNet                                           int32
	netInode                                          int32
	reasons                                           map[uint32]string // without SKB_DROP_REASON_
}

// readLayout reads it from the kernel's BTF: between releases it changes, and so do the numbers of the reasons.
func readLayout() (layout, error) {
	spec, err := btf.LoadKernelSpec()
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, btf.ErrNotSupported):
		return layout{}, ErrNoBTF
	case err != nil:
		return layout{}, fmt.Errorf("read the kernel's BTF: %w", err)
	}
	var l layout
	var reasons *btf.Enum
	if err := spec.TypeByName("skb_drop_reason", &reasons); errors.Is(err, btf.ErrNotFound) {
		return layout{}, ErrNoReasons
	} else if err != nil {
		return layout{}, fmt.Errorf("read the kernel's BTF: %w", err)
	}
	l.reasons = map[uint32]string{}
	for _, v := range reasons.Values {
		l.reasons[uint32(v.Value)] = strings.TrimPrefix(strings.TrimPrefix(v.Name, "SKB_DROP_REASON_"), "SKB_")
	}
	for _, at := range []struct {
		offset *int32
		of     string
		path   []string
	}{
		{&l.skbDev, "sk_buff", []string{"dev"}},
		{&l.skbSock, "sk_buff", []string{"sk"}},
		{&l.skbHead, "sk_buff", []string{"head"}},
		{&l.skbNetwork, "sk_buff", []string{"network_header"}},
		{&l.skbProtocol, "sk_buff", []string{"protocol"}},
		{&l.devNet, "net_device", []string{"nd_net", "net"}},
		{&l.devIndex, "net_device", []string{"ifindex"}},
		{&l.sockNet, "sock", []string{"__sk_common", "skc_net", "net"}},
		{&l.netInode, "net", []string{"ns", "inum"}},
	} {
		var s *btf.Struct
		if err := spec.TypeByName(at.of, &s); err != nil {
			return layout{}, fmt.Errorf("read the kernel's BTF: struct %s: %w", at.of, err)
		}
		bits, ok := member(s, at.path)
		if !ok {
			return layout{}, fmt.Errorf("read the kernel's BTF: struct %s has no %s", at.of, strings.Join(at.path, "."))
		}
		*at.offset = int32(bits / 8)
	}
	return l, nil
}

// member finds a member of a struct, in bits from its beginning: also one of a struct or union without a name in it.
func member(of btf.Type, path []string) (btf.Bits, bool) {
	members, ok := membersOf(of)
	if !ok {
		return 0, false
	}
	for _, m := range members {
		switch {
		case m.Name == path[0] && len(path) == 1:
			return m.Offset, true
		case m.Name == path[0]:
			inner, ok := member(m.Type, path[1:])
			return m.Offset + inner, ok
		case m.Name == "":
			if inner, ok := member(m.Type, path); ok {
				return m.Offset + inner, true
			}
		}
	}
	return 0, false
}

func membersOf(t btf.Type) ([]btf.Member, bool) {
	switch x := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return x.Members, true
	case *btf.Union:
		return x.Members, true
	}
	return nil, false
}
