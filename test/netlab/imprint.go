package netlab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Imprint is all that a Snapshot shows, in the kernel's own bytes. It costs a tenth
// of one, for tests that look thousands of times: where two are equal, so are the
// Snapshots; where they are not, those tell what differs, if anything does.
type Imprint string

// Imprint looks at the namespace.
func (n *NS) Imprint(t testing.TB) Imprint {
	t.Helper()
	var imprint strings.Builder
	n.Must(t, func() error {
		for _, dump := range []struct{ kind, family int }{
			{unix.RTM_GETLINK, unix.AF_UNSPEC},
			{unix.RTM_GETADDR, unix.AF_UNSPEC},
			{unix.RTM_GETRULE, unix.AF_INET},
			{unix.RTM_GETRULE, unix.AF_INET6},
			{unix.RTM_GETROUTE, unix.AF_INET},
			{unix.RTM_GETROUTE, unix.AF_INET6},
		} {
			if err := writeDump(&imprint, dump.kind, dump.family); err != nil {
				return err
			}
		}
		for _, dir := range sysctlDirs {
			if err := writeSettings(&imprint, sysctlPath(dir)); err != nil {
				return err
			}
		}
		return nil
	})
	return Imprint(imprint.String())
}

// writeDump appends what the kernel answers to a request for everything of a kind.
func writeDump(imprint *strings.Builder, kind, family int) error {
	dump, err := syscall.NetlinkRIB(kind, family)
	if err != nil {
		return fmt.Errorf("dump %d of family %d: %w", kind, family, err)
	}
	messages, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return err
	}
	var parts [][]byte
	alike := 0 // so many of the last parts may stand in any order
	var metric uint32
	for _, message := range messages {
		lasting, err := lasting(message)
		if err != nil {
			return err
		}
		switch next, ok, err := metricInMain(message); {
		case err != nil:
			return err
		case !ok:
			alike = 0
		case alike > 0 && next == metric:
			alike++
		default:
			alike, metric = 1, next
		}
		parts = append(parts, lasting)
		slices.SortFunc(parts[len(parts)-alike:], bytes.Compare)
	}
	for _, part := range parts {
		fmt.Fprintf(imprint, "%d %d:", kind, len(part))
		imprint.Write(part)
	}
	return nil
}

// metricInMain is the metric of an IPv4 default of main: those of one metric stand in any
// order (settled).
func metricInMain(message syscall.NetlinkMessage) (metric uint32, ok bool, err error) {
	if !isMainDefault(message, unix.AF_INET) {
		return 0, false, nil
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&message)
	if err != nil {
		return 0, false, err
	}
	for _, attribute := range attributes {
		if attribute.Attr.Type == unix.RTA_PRIORITY {
			metric = binary.NativeEndian.Uint32(attribute.Value)
		}
	}
	return metric, true, nil
}

// isMainDefault reports whether a message is a default route of main (struct rtmsg: family,
// lengths of destination and source, TOS, table).
func isMainDefault(message syscall.NetlinkMessage, family byte) bool {
	if message.Header.Type != unix.RTM_NEWROUTE || len(message.Data) < unix.SizeofRtMsg {
		return false
	}
	return bytes.Equal(message.Data[:5], []byte{family, 0, 0, 0, unix.RT_TABLE_MAIN})
}

// settledHops is an IPv6 default of main with its hops in one order (settled).
func settledHops(message syscall.NetlinkMessage) ([]byte, error) {
	data := slices.Clone(message.Data)
	message.Data = data
	attributes, err := syscall.ParseNetlinkRouteAttr(&message)
	if err != nil {
		return nil, err
	}
	for _, attribute := range attributes {
		if attribute.Attr.Type != unix.RTA_MULTIPATH {
			continue
		}
		var hops [][]byte
		for rest := attribute.Value; len(rest) >= unix.SizeofRtNexthop; { // a length of two bytes, aligned, comes first
			size := min((int(binary.NativeEndian.Uint16(rest))+3)&^3, len(rest))
			if size < unix.SizeofRtNexthop {
				break
			}
			hops = append(hops, slices.Clone(rest[:size]))
			rest = rest[size:]
		}
		slices.SortFunc(hops, bytes.Compare)
		copy(attribute.Value, bytes.Join(hops, nil)) // which is a part of data
	}
	return data, nil
}

// lasting is a message without what changes in the kernel's own time (the counters of links,
// and when an address came) and without the order of hops that does not matter.
func lasting(message syscall.NetlinkMessage) ([]byte, error) {
	var header int
	var part func(attribute syscall.NetlinkRouteAttr) []byte
	switch message.Header.Type {
	case unix.RTM_NEWLINK:
		header, part = unix.SizeofIfInfomsg, lastingOfLink
	case unix.RTM_NEWADDR:
		header, part = unix.SizeofIfAddrmsg, lastingOfAddress
	default:
		if isMainDefault(message, unix.AF_INET6) {
			return settledHops(message)
		}
		return message.Data, nil
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&message)
	if err != nil {
		return nil, err
	}
	kept := message.Data[:header:header]
	for _, attribute := range attributes {
		if value := part(attribute); value != nil {
			kept = append(kept, byte(attribute.Attr.Type))
			kept = append(kept, value...)
		}
	}
	return kept, nil
}

func lastingOfLink(attribute syscall.NetlinkRouteAttr) []byte {
	switch attribute.Attr.Type {
	case unix.IFLA_IFNAME, unix.IFLA_ADDRESS, unix.IFLA_MTU, unix.IFLA_LINK, unix.IFLA_MASTER, unix.IFLA_OPERSTATE:
		return attribute.Value
	}
	return nil
}

func lastingOfAddress(attribute syscall.NetlinkRouteAttr) []byte {
	if attribute.Attr.Type == unix.IFA_CACHEINFO { // two lifetimes, then two times
		return attribute.Value[:8]
	}
	return attribute.Value
}

// writeSettings appends every setting below a folder of /proc/sys. The system calls
// are plain ones: a thousand files make a difference.
func writeSettings(imprint *strings.Builder, root string) error {
	var value [256]byte
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EACCES) {
			return nil // write only
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		size, err := unix.Read(fd, value[:])
		if err != nil && filepath.Base(path) != "stable_secret" { // an error until it is set
			return err
		}
		imprint.WriteString(path)
		imprint.Write(value[:max(size, 0)])
		return nil
	})
}
