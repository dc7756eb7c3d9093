package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const stdin = `{"cniVersion": "1.1.0", "name": "net", "type": "test"}`

// environment is one in which every verb has what it needs.
func environment(command string) map[string]string {
	return map[string]string{
		"CNI_COMMAND":     command,
		"CNI_CONTAINERID": "c1",
		"CNI_NETNS":       "/run/netns/c1",
		"CNI_IFNAME":      "net1",
		"CNI_PATH":        "/opt/cni/bin",
	}
}

// with is the environment with one more variable, or another value of one.
func with(env map[string]string, name, value string) map[string]string {
	env[name] = value
	return env
}

// An outcome is what a runtime sees of one invocation, and what reached the verb.
type outcome struct {
	ExitCode       int
	Stdout, Stderr string
	Verb           string
	Args           *Args
}

// serve runs a plugin whose verbs all return err.
func serve(env map[string]string, stdin io.Reader, err error) (got outcome) {
	verb := func(name string) func(*Args) error {
		return func(args *Args) error {
			got.Verb, got.Args = name, args
			return err
		}
	}
	p := Plugin{
		About:    "CNI plugin test",
		Versions: []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"},
		Add:      verb("ADD"), Del: verb("DEL"), Check: verb("CHECK"), GC: verb("GC"), Status: verb("STATUS"),
	}
	var stdout, stderr bytes.Buffer
	getenv := func(name string) string { return env[name] }
	got.ExitCode = p.Serve(Process{Getenv: getenv, Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	got.Stdout, got.Stderr = stdout.String(), stderr.String()
	return got
}

func assertOutcome(t *testing.T, want, got outcome) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVerbsGetWhatTheRuntimeHandsOver(t *testing.T) {
	for _, command := range []string{"ADD", "DEL", "CHECK", "GC", "STATUS"} {
		t.Run(command, func(t *testing.T) {
			args := &Args{ContainerID: "c1", Netns: "/run/netns/c1", IfName: "net1", StdinData: []byte(stdin)}
			assertOutcome(t, outcome{Verb: command, Args: args}, serve(environment(command), strings.NewReader(stdin), nil))
		})
	}
	t.Run("DEL without a namespace", func(t *testing.T) {
		args := &Args{ContainerID: "c1", IfName: "net1", StdinData: []byte(stdin)}
		assertOutcome(t, outcome{Verb: "DEL", Args: args},
			serve(with(environment("DEL"), "CNI_NETNS", ""), strings.NewReader(stdin), nil))
	})
	t.Run("CHECK of the first version that has it", func(t *testing.T) {
		oldest := `{"cniVersion": "0.4.0", "name": "net"}`
		args := &Args{ContainerID: "c1", Netns: "/run/netns/c1", IfName: "net1", StdinData: []byte(oldest)}
		assertOutcome(t, outcome{Verb: "CHECK", Args: args}, serve(environment("CHECK"), strings.NewReader(oldest), nil))
	})
	t.Run("GC of a network, with nothing of a container", func(t *testing.T) {
		env := map[string]string{"CNI_COMMAND": "GC", "CNI_PATH": "/opt/cni/bin"}
		assertOutcome(t, outcome{Verb: "GC", Args: &Args{StdinData: []byte(stdin)}}, serve(env, strings.NewReader(stdin), nil))
	})
}

func TestVersionIsAnsweredWithoutInput(t *testing.T) {
	want := outcome{Stdout: `{"cniVersion":"1.1.0","supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}` + "\n"}
	assertOutcome(t, want, serve(map[string]string{"CNI_COMMAND": "VERSION"}, iotest.ErrReader(io.ErrClosedPipe), nil))
}

func TestRunByHandItSaysWhatItIs(t *testing.T) {
	want := outcome{Stderr: "CNI plugin test\nCNI protocol versions supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"}
	assertOutcome(t, want, serve(nil, iotest.ErrReader(io.ErrClosedPipe), nil))
}

func TestErrorsAreObjectsOnStandardOutput(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"with details", NewError(102, "a rule is missing", "one\ntwo"), `{
    "code": 102,
    "msg": "a rule is missing",
    "details": "one\ntwo"
}`},
		{"without", NewError(11, `"a" <b>`, ""), `{
    "code": 11,
    "msg": "\"a\" <b>"
}`},
		{"wrapped", fmt.Errorf("wrapped: %w", NewError(7, "own", "")), `{
    "code": 7,
    "msg": "own"
}`},
		{"of any other kind", errors.New("something"), `{
    "code": 999,
    "msg": "something"
}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := serve(environment("ADD"), strings.NewReader(stdin), tt.err)
			got.Verb, got.Args = "", nil
			assertOutcome(t, outcome{ExitCode: 1, Stdout: tt.want}, got)
		})
	}
}

// What a runtime must not do never reaches a verb.
func TestInvalidInvocationsAreRefused(t *testing.T) {
	configured := func(version string) string { return `{"cniVersion":"` + version + `","name":"net"}` }
	tests := []struct {
		name  string
		env   map[string]string
		stdin string
		want  Error
	}{
		{
			"every variable that is missing is named", map[string]string{"CNI_COMMAND": "ADD"}, stdin,
			Error{4, "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing", ""},
		},
		{"what STATUS needs, too", map[string]string{"CNI_COMMAND": "STATUS"}, stdin, Error{4, "required env variables [CNI_PATH] missing", ""}},
		{"container ID", with(environment("ADD"), "CNI_CONTAINERID", "../x"), stdin, Error{4, "invalid characters in containerID", "../x"}},
		{"container ID that looks like an option", with(environment("ADD"), "CNI_CONTAINERID", "-rf"), stdin, Error{4, "invalid characters in containerID", "-rf"}},
		{"container ID of two lines", with(environment("ADD"), "CNI_CONTAINERID", "x\n"), stdin, Error{4, "invalid characters in containerID", "x\n"}},
		{
			"interface of 16 bytes", with(environment("DEL"), "CNI_IFNAME", strings.Repeat("n", 16)), stdin,
			Error{4, "interface name is too long", "interface name should be less than 16 characters"},
		},
		{"interface ..", with(environment("CHECK"), "CNI_IFNAME", ".."), stdin, Error{4, "interface name is . or ..", ""}},
		{
			"interface with a slash", with(environment("ADD"), "CNI_IFNAME", "a/b"), stdin,
			Error{4, "interface name contains / or : or whitespace characters", ""},
		},
		{"an unknown verb", environment("EXPLODE"), stdin, Error{4, "unknown CNI_COMMAND: EXPLODE", ""}},
		{"a verb in lower case", environment("add"), stdin, Error{4, "unknown CNI_COMMAND: add", ""}},
		{"no input", environment("ADD"), "", Error{6, "error unmarshall network config: unexpected end of JSON input (at byte 0)", ""}},
		{"no object", environment("ADD"), " []", Error{6, "error unmarshall network config: it is not a JSON object", ""}},
		{"null", environment("ADD"), "null", Error{6, "error unmarshall network config: it is not a JSON object", ""}},
		{"no name", environment("DEL"), "{}", Error{7, "missing network name", ""}},
		{"a name that is null after all", environment("DEL"), `{"name":"net","name":null}`, Error{7, "missing network name", ""}},
		{"a name in another case", environment("DEL"), `{"Name":"net"}`, Error{7, "missing network name", ""}},
		{"a name that is a number", environment("GC"), `{"name":7}`, Error{6, "error unmarshall network config: name must be a string", ""}},
		{"a name that is a path", environment("GC"), `{"name":"../net"}`, Error{7, "invalid characters found in network name", "../net"}},
		{
			"no version", environment("ADD"), `{"name":"net"}`,
			Error{1, "incompatible CNI versions", `config is "0.1.0", plugin supports ["0.3.1" "0.4.0" "1.0.0" "1.1.0"]`},
		},
		{
			"a version that is a number", environment("ADD"), `{"name":"net","cniVersion":1}`,
			Error{6, "decoding version from network config: cniVersion must be a string", ""},
		},
		{
			"an unknown version", environment("ADD"), configured("1.0"),
			Error{1, "incompatible CNI versions", `config is "1.0", plugin supports ["0.3.1" "0.4.0" "1.0.0" "1.1.0"]`},
		},
		{"CHECK before 0.4.0", environment("CHECK"), configured("0.3.1"), Error{1, "config version does not allow CHECK", ""}},
		{"GC before 1.1.0", environment("GC"), configured("1.0.0"), Error{1, "config version does not allow GC", ""}},
		{"STATUS before 1.1.0", environment("STATUS"), configured("1.0.0"), Error{1, "config version does not allow STATUS", ""}},
		{"CHECK of a version to come", environment("CHECK"), configured("2.0.0"), Error{1, "plugin version does not allow CHECK", ""}},
		{"CHECK of four numbers", environment("CHECK"), configured("1.1.0.0"), Error{6, `invalid version "1.1.0.0": too many parts`, ""}},
		{
			"CHECK of a word", environment("CHECK"), configured("1.x"),
			Error{6, `failed to convert minor version part "x": strconv.Atoi: parsing "x": invalid syntax`, ""},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := serve(tt.env, strings.NewReader(tt.stdin), nil)
			assertOutcome(t, outcome{ExitCode: 1, Stdout: string(tt.want.json())}, got)
		})
	}
}

func TestBrokenStreams(t *testing.T) {
	t.Run("standard input", func(t *testing.T) {
		want := NewError(ErrIOFailure, "error reading from stdin: timeout", "")
		assertOutcome(t, outcome{ExitCode: 1, Stdout: string(want.json())}, serve(environment("ADD"), iotest.ErrReader(iotest.ErrTimeout), nil))
	})
	t.Run("standard output", func(t *testing.T) {
		var stderr strings.Builder
		read, stdout := io.Pipe()
		if err := read.Close(); err != nil {
			t.Fatal(err)
		}
		p := Plugin{Versions: []string{"1.1.0"}}
		getenv := func(name string) string { return map[string]string{"CNI_COMMAND": "VERSION"}[name] }
		if code := p.Serve(Process{Getenv: getenv, Stdout: stdout, Stderr: &stderr}); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if !strings.Contains(stderr.String(), io.ErrClosedPipe.Error()) {
			t.Errorf("standard error is %q, want it to say why", stderr.String())
		}
	})
}

// FuzzServe: whatever comes, either a verb ran with valid arguments or standard output
// is one error of the specification.
func FuzzServe(f *testing.F) {
	f.Add("ADD", "c1", "/run/netns/c1", "net1", []byte(stdin))
	f.Add("GC", "", "", "", []byte(stdin))
	f.Add("CHECK", "\xff", "\x00", "a b", []byte(`{"name":7`))
	f.Add("\u2028<", "c", "n", "i", []byte(`{"name":"a"}`))
	f.Fuzz(func(t *testing.T, command, id, netns, ifName string, stdin []byte) {
		env := map[string]string{"CNI_COMMAND": command, "CNI_CONTAINERID": id, "CNI_NETNS": netns, "CNI_IFNAME": ifName, "CNI_PATH": "/opt"}
		got := serve(env, bytes.NewReader(stdin), nil)
		if got.Verb != "" {
			if got.Verb != command || got.ExitCode != 0 || got.Stdout != "" || !json.Valid(got.Args.StdinData) {
				t.Errorf("%s: %+v", command, got)
			}
			return
		}
		if command == "" || command == "VERSION" {
			return
		}
		var failure struct {
			Code uint
			Msg  string
		}
		if err := json.Unmarshal([]byte(got.Stdout), &failure); err != nil || got.ExitCode != 1 || failure.Code == 0 || failure.Msg == "" {
			t.Errorf("%+v: %v", got, err)
		}
	})
}
