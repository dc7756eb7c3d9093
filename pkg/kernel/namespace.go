// Package kernel is the one place that talks to the kernel: it enters the pod's
// network namespace, observes it, applies changes to it one by one and asks it
// how it would route a packet.
package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

var (
	// ErrGone is returned for a namespace path that is empty, or has no network
	// namespace any more.
	ErrGone = errors.New("no network namespace there")
	// ErrHost is returned for the namespace of the node, which is never touched.
	ErrHost = errors.New("this is the node's own network namespace")
	// ErrUnsteady is returned where others change the pod's network all the time, so
	// that no whole picture of it can be had.
	ErrUnsteady = errors.New("the pod's network did not stand still")
)

// Namespace is a network namespace that the calling thread has entered. Close
// leaves it.
type Namespace struct {
	ns.NetNS
	home    netns.NsHandle // where the thread came from
	entered bool           // it has left home
	sock    *socket
}

// Enter opens the network namespace at a path and moves the calling goroutine's thread into
// it. It returns ErrGone or ErrHost, or an error of the system.
func Enter(path string) (*Namespace, error) {
	pod, err := open(path)
	if err != nil {
		return nil, err
	}
	n := &Namespace{NetNS: pod}
	if n.home, err = netns.Get(); err != nil {
		return nil, errors.Join(fmt.Errorf("open our own network namespace: %w", err), pod.Close())
	}
	if err = n.notHost(); err == nil {
		err = n.enter()
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open opens a path that must be a network namespace. It never creates
// anything there.
func open(path string) (ns.NetNS, error) {
	pod, err := ns.GetNS(path)
	_, absent := errors.AsType[ns.NSPathNotExistErr](err)
	_, other := errors.AsType[ns.NSPathNotNSErr](err)
	switch {
	case path == "" || absent || other || err != nil && belowFile(path):
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	case err != nil:
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	kind, err := unix.IoctlRetInt(int(pod.Fd()), unix.NS_GET_NSTYPE)
	switch {
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL), err == nil && kind != unix.CLONE_NEWNET:
		return nil, errors.Join(fmt.Errorf("%w: %s is something else", ErrGone, path), pod.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("look what %s is: %w", path, err), pod.Close())
	}
	return pod, nil
}

// belowFile reports whether a path leads through what is no directory, which package ns does
// not tell from other failures.
func belowFile(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, unix.ENOTDIR)
}

func (n *Namespace) handle() netns.NsHandle { return netns.NsHandle(n.Fd()) }

// notHost compares a namespace with our own and with that of process 1, by
// device and inode, for a path says nothing.
func (n *Namespace) notHost() error {
	if n.home.Equal(n.handle()) {
		return fmt.Errorf("%w: %s is that of this process", ErrHost, n.Path())
	}
	init, err := netns.GetFromPid(1)
	if err != nil {
		return nil // process 1 may be hidden from us; then it is not our host
	}
	defer init.Close() //nolint:errcheck // it was only looked at
	if init.Equal(n.handle()) {
		return fmt.Errorf("%w: %s is that of process 1", ErrHost, n.Path())
	}
	return nil
}

func (n *Namespace) enter() (err error) {
	runtime.LockOSThread()
	if err := netns.Set(n.handle()); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	n.entered = true
	n.sock, err = openSocket(patience)
	return err
}

// Close leaves the namespace. Should the way back fail,
// the thread stays locked to its goroutine and ends with it.
func (n *Namespace) Close() error {
	var errs []error
	if n.sock != nil {
		n.sock.close()
	}
	if n.entered {
		err := netns.Set(n.home)
		if err == nil {
			runtime.UnlockOSThread()
		} else {
			err = fmt.Errorf("leave the network namespace: %w", err)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, n.home.Close(), n.NetNS.Close())...)
}

// Identity names the namespace for as long as the machine runs. A cookie is
// never given twice (SO_NETNS_COOKIE, Linux 5.14). Kernels without one only
// have the inode, which is; there the container ID keeps them apart.
func (n *Namespace) Identity(containerID string) (string, error) {
	boot, err := bootID()
	if err != nil {
		return "", err
	}
	// The kernel writes 64 bits; of the getters of that size this one is exact.
	cookie, err := unix.GetsockoptLinger(n.sock.fd(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err == nil {
		return fmt.Sprintf("%s-%08x%08x", boot, uint32(cookie.Linger), uint32(cookie.Onoff)), nil
	}
	if !errors.Is(err, unix.ENOPROTOOPT) { // what kernels without cookies say
		return "", fmt.Errorf("ask for the network namespace's cookie: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(n.Fd()), &st); err != nil {
		return "", fmt.Errorf("stat the network namespace: %w", err)
	}
	return boot + inodeMark + strconv.FormatUint(st.Ino, 10) + "-" + containerID, nil
}

// Ambiguous returns what begins the identities of all namespaces that had the same
// inode, if that is all the kernel tells of them.
func Ambiguous(identity string) (prefix string, ok bool) {
	boot, rest, ok := strings.Cut(identity, inodeMark)
	if !ok {
		return "", false
	}
	ino, _, _ := strings.Cut(rest, "-")
	return boot + inodeMark + ino + "-", true
}

// LockName names the namespace of an identity for those who lock it, which all containers
// that share it have to do under one name.
func LockName(identity string) string {
	if prefix, ok := Ambiguous(identity); ok {
		return strings.TrimSuffix(prefix, "-")
	}
	return identity
}

const inodeMark = "-inode-"

// bootID tells one run of the machine from the next, in eight hex digits.
func bootID() (string, error) {
	text, err := sysctl.Sysctl("kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	id, _, _ := strings.Cut(text, "-")
	if id == "" {
		return "", errors.New("read the boot id: it is empty")
	}
	return id, nil
}

// Holds reports whether a sandbox path of a result is this namespace, or may
// be: a path that resolves to nothing cannot be told.
func (n *Namespace) Holds(sandbox string) bool {
	if sandbox == "" {
		return false // the node's side
	}
	if sandbox == n.Path() {
		return true
	}
	other, err := netns.GetFromPath(sandbox)
	if err != nil {
		return true
	}
	defer other.Close() //nolint:errcheck // it was only looked at
	return other.Equal(n.handle())
}

// Alive reports whether a network namespace stands at a path, and is the one
// with the identity that an attachment of the container was remembered under.
func Alive(path, identity, containerID string) bool {
	n, err := Enter(path)
	if errors.Is(err, ErrGone) || errors.Is(err, ErrHost) {
		return false
	}
	if err != nil {
		return true // it cannot be told, and what is in doubt is kept
	}
	defer n.Close() //nolint:errcheck // it was only looked at
	now, err := n.Identity(containerID)
	return err != nil || now == identity
}
