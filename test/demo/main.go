// demo is what the script of the same name cannot do by itself: it is the
// container runtime, the server in the pod, and the client far away.
//
//	demo add|check|repair|del CONFLIST NETNS INTERFACE
//	demo serve PORT
//	demo connect ADDRESS:PORT
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

// cacheDir is where libcni remembers results between ADD and DEL.
const cacheDir = "/run/cni/cache"

// patience is how long the client waits for an answer.
const patience = 2 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, describe(err))
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4:
		return attachment(args[0], args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 2 && args[0] == "connect":
		return connect(args[1])
	}
	return errors.New("usage: demo add|check|repair|del CONFLIST NETNS INTERFACE | serve PORT | connect ADDRESS:PORT")
}

// attachment runs a verb of a conflist as a container runtime does, with the
// plugins that lie beside this executable.
func attachment(verb, file, netns, nic string) error {
	list, err := libcni.NetworkConfFromFile(file)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{filepath.Dir(self)}, cacheDir, nil)
	conf := &libcni.RuntimeConf{ContainerID: "demo", NetNS: netns, IfName: nic}
	ctx := context.Background()
	switch verb {
	case "add":
		_, err = cni.AddNetworkList(ctx, list, conf)
	case "check":
		err = cni.CheckNetworkList(ctx, list, conf)
	case "repair":
		err = repair(ctx, cni, list, conf)
	case "del":
		err = cni.DelNetworkList(ctx, list, conf)
	default:
		err = fmt.Errorf("unknown verb %q", verb)
	}
	return err
}

// repair runs ADD of the last plugin once more, with the result of those before
// it that the runtime remembers.
func repair(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList, conf *libcni.RuntimeConf) error {
	result, err := cni.GetNetworkListCachedResult(list, conf)
	if err != nil {
		return err
	}
	last := list.Plugins[len(list.Plugins)-1]
	stdin := map[string]any{}
	if err := json.Unmarshal(last.Bytes, &stdin); err != nil {
		return err
	}
	stdin["name"], stdin["cniVersion"], stdin["prevResult"] = list.Name, list.CNIVersion, result
	input, err := json.Marshal(stdin)
	if err != nil {
		return err
	}
	plugin, err := invoke.FindInPath(last.Network.Type, cni.Path)
	if err != nil {
		return err
	}
	args := &invoke.Args{Command: "ADD", ContainerID: conf.ContainerID, NetNS: conf.NetNS, IfName: conf.IfName, Path: filepath.Dir(plugin)}
	_, err = invoke.ExecPluginWithResult(ctx, plugin, input, args, nil)
	return err
}

// describe prints a plugin's error with its code, and its details line by line.
func describe(err error) string {
	failure, ok := errors.AsType[*types.Error](err)
	if !ok {
		return "demo: " + err.Error()
	}
	text := fmt.Sprintf("code %d: %s", failure.Code, failure.Msg)
	for _, line := range strings.Split(failure.Details, "\n") {
		if line != "" {
			text += "\n  " + line
		}
	}
	return text
}

// serve greets everybody who connects, until standard input ends. It says when
// it is ready.
func serve(port string) error {
	listener, err := net.Listen("tcp4", ":"+port)
	if err != nil {
		return err
	}
	go greet(listener)
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func greet(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "hello")
		conn.Close()
	}
}

// connect waits for the greeting of a server.
func connect(server string) error {
	conn, err := net.DialTimeout("tcp4", server, patience)
	if err != nil {
		return silence(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.ReadAll(conn); err != nil {
		return silence(err)
	}
	fmt.Println("answered")
	return nil
}

// silence tells a server that does not answer from other faults.
func silence(err error) error {
	if failure, ok := errors.AsType[net.Error](err); ok && failure.Timeout() {
		fmt.Printf("no answer within %s\n", patience)
		os.Exit(2)
	}
	return err
}
