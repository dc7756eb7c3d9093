// Package protocol holds symroute's protocol to that of the CNI project's own package
// for plugins: both get the same environment and standard input, and have to give
// the same answers. What may differ is in the package comment of pkg/cni.
package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/cni"
	"github.com/symroute/symroute/pkg/jsontext"
)

const about = "CNI plugin test"

func versions() []string { return []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} }

// invocation is what a runtime hands over, and how the verb fails then.
type invocation struct {
	env     map[string]string
	stdin   []byte
	failure failure
}

// failure is the error of a verb: none without msg, an ordinary one without code.
type failure struct {
	code         uint
	msg, details string
}

// of is the error in the form of the given package.
func (f failure) of(inForm func(code uint, msg, details string) error) error {
	switch {
	case f.msg == "":
		return nil
	case f.code == 0:
		return errors.New(f.msg)
	}
	return fmt.Errorf("wrapped: %w", inForm(f.code, f.msg, f.details))
}

// answer is what the runtime sees, and what the verb was called with.
type answer struct {
	ExitCode       int
	Stdout, Stderr string
	Verb           string
	Args           cni.Args
}

func ours(i invocation) (got answer) {
	verb := func(name string) func(*cni.Args) error {
		return func(args *cni.Args) error {
			got.Verb, got.Args = name, *args
			return i.failure.of(func(code uint, msg, details string) error { return cni.NewError(code, msg, details) })
		}
	}
	plugin := cni.Plugin{
		About: about, Versions: versions(),
		Add: verb("ADD"), Del: verb("DEL"), Check: verb("CHECK"), GC: verb("GC"), Status: verb("STATUS"),
	}
	var stdout, stderr bytes.Buffer
	got.ExitCode = plugin.Serve(cni.Process{
		Getenv: func(name string) string { return i.env[name] },
		Stdin:  bytes.NewReader(i.stdin), Stdout: &stdout, Stderr: &stderr,
	})
	got.Stdout, got.Stderr = stdout.String(), stderr.String()
	return got
}

// theirs asks skel, which takes the environment and the streams of the process. It
// does what skel.PluginMainFuncs does, and returns instead of exiting.
func theirs(t *testing.T, i invocation) (got answer) {
	t.Helper()
	setEnvironment(t, i.env)
	verb := func(name string) func(*skel.CmdArgs) error {
		return func(args *skel.CmdArgs) error {
			got.Verb = name
			got.Args = cni.Args{ContainerID: args.ContainerID, Netns: args.Netns, IfName: args.IfName, StdinData: args.StdinData}
			return i.failure.of(func(code uint, msg, details string) error { return types.NewError(code, msg, details) })
		}
	}
	got.Stdout, got.Stderr = withStreams(t, i.stdin, func() {
		failure := skel.PluginMainFuncsWithError(skel.CNIFuncs{
			Add: verb("ADD"), Del: verb("DEL"), Check: verb("CHECK"), GC: verb("GC"), Status: verb("STATUS"),
		}, version.PluginSupports(versions()...), about)
		if failure == nil {
			return
		}
		got.ExitCode = 1
		if err := failure.Print(); err != nil {
			t.Error(err)
		}
	})
	return got
}

// setEnvironment makes env the variables of CNI. The look at CNI_NETNS that skel takes
// after the verb is left out.
func setEnvironment(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"} {
		if err := os.Setenv(name, env[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Setenv("CNI_NETNS_OVERRIDE", "1"); err != nil {
		t.Fatal(err)
	}
}

// withStreams runs do with the standard streams in memory.
func withStreams(t *testing.T, stdin []byte, do func()) (stdout, stderr string) {
	t.Helper()
	files := [3]*os.File{memory(t, "stdin"), memory(t, "stdout"), memory(t, "stderr")}
	for _, f := range files {
		defer f.Close()
	}
	if _, err := files[0].WriteAt(stdin, 0); err != nil {
		t.Fatal(err)
	}
	before := [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	defer func() { os.Stdin, os.Stdout, os.Stderr = before[0], before[1], before[2] }()
	os.Stdin, os.Stdout, os.Stderr = files[0], files[1], files[2]
	do()
	return content(t, files[1]), content(t, files[2])
}

func memory(t *testing.T, name string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), name)
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func assertAlike(t *testing.T, i invocation) {
	t.Helper()
	want, got := theirs(t, i), ours(i)
	want.Stdout, got.Stdout = leveled(t, want.Stdout, got.Stdout)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q with %q (-skel +ours):\n%s", i.env, i.stdin, diff)
	}
}

// The texts that differ on purpose. That of a syntax error is package jsontext's, which
// is compared with encoding/json by itself; here it is told by the place at its end.
var (
	undecodable = regexp.MustCompile(`^(error unmarshall|decoding version from) network config: `)
	goTypes     = regexp.MustCompile(`: json: cannot unmarshal .*$`)
	plainWords  = regexp.MustCompile(`: (it is not a JSON object|(name|cniVersion) must be a string)$`)
	place       = regexp.MustCompile(`^error unmarshall network config: .* \(at (byte \d+|line \d+, column \d+)\)$`)
)

// escaped are characters that encoding/json escapes in another way, or needlessly.
const escaped = "<>&\u2028\u2029\ufffd\r\t\b\f"

// leveled takes out of two errors what may differ, and leaves all others as they
// are, to the byte.
func leveled(t *testing.T, theirs, ours string) (string, string) {
	t.Helper()
	a, b := decode(theirs), decode(ours)
	switch {
	case theirs == ours || a == nil || b == nil:
		return theirs, ours
	case plainWords.MatchString(b.Msg) && goTypes.MatchString(a.Msg), place.MatchString(b.Msg):
		a.Msg, b.Msg = undecodable.FindString(a.Msg), undecodable.FindString(b.Msg)
	case !strings.ContainsAny(a.Msg+a.Details, escaped):
		return theirs, ours
	}
	return printed(t, a), printed(t, b)
}

// decode is the error that was printed, nil where it is none.
func decode(stdout string) *types.Error {
	var e types.Error
	if json.Unmarshal([]byte(stdout), &e) == nil && e.Code != 0 {
		return &e
	}
	return nil
}

func printed(t *testing.T, e *types.Error) string {
	t.Helper()
	b, err := json.MarshalIndent(e, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// apart reports whether the two read different things out of a configuration: null
// instead of it all, a key in another case, a repeated one that is not always a string.
func apart(stdin []byte) bool {
	if string(bytes.TrimSpace(stdin)) == "null" {
		return true
	}
	if !json.Valid(stdin) {
		return false
	}
	for _, key := range []string{"name", "cniVersion"} {
		seen, strange := 0, false
		for _, m := range jsontext.Members(stdin) {
			if strings.EqualFold(m.Key, key) && m.Key != key {
				return true
			}
			if m.Key == key {
				seen++
				strange = strange || m.Value[0] != '"'
			}
		}
		if seen > 1 && strange {
			return true
		}
	}
	return false
}

func everything(command string) map[string]string {
	return map[string]string{
		"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1", "CNI_IFNAME": "net1", "CNI_PATH": "/opt/cni/bin",
	}
}

func commands() []string {
	return []string{"ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "EXPLODE", "add", "ADD ", "<", "\xff", ""}
}

const valid = `{"cniVersion":"1.1.0","name":"net","type":"symroute"}`

func TestEveryVerbIsAnsweredAsBySkel(t *testing.T) {
	for _, command := range commands() {
		assertAlike(t, invocation{env: everything(command), stdin: []byte(valid)})
		assertAlike(t, invocation{env: map[string]string{"CNI_COMMAND": command}})
	}
}

func TestEveryEnvironmentIsJudgedAsBySkel(t *testing.T) {
	values := map[string][]string{
		"CNI_CONTAINERID": {"", ".", "-a", "a-", "a_b.c", "a b", "a\n", "ä", "\xff", "../x", strings.Repeat("i", 5000)},
		"CNI_NETNS":       {"", " ", "../x", "\xff"},
		"CNI_IFNAME": {
			"", ".", "..", "...", "a/b", "a:b", "a b", "a\tb", "a\u0085b", "a\u00a0b", "a\u2003b", "\x85", "\xff", "%d",
			strings.Repeat("n", 15), strings.Repeat("n", 16), strings.Repeat("ä", 8), " " + strings.Repeat("n", 15),
		},
		"CNI_PATH": {"", "relative"},
	}
	for _, command := range commands() {
		for name := range values {
			for _, value := range values[name] {
				env := everything(command)
				env[name] = value
				assertAlike(t, invocation{env: env, stdin: []byte(valid)})
				// What is wrong, and what is missing: one is told first.
				for other := range values {
					less := maps.Clone(env)
					delete(less, other)
					assertAlike(t, invocation{env: less, stdin: []byte(valid)})
				}
			}
		}
	}
}

func TestEveryConfigurationIsJudgedAsBySkel(t *testing.T) {
	configurations := []string{
		"", " ", "{", "}", "{}", "[]", "7", `"net"`, "true", "nul", valid + valid, valid + "\n", "\ufeff" + valid, "{\n\"name\": \n\"net\",\n}",
		`{"name":7}`, `{"name":{}}`, `{"name":["net"]}`, `{"name":true}`, `{"name":""}`, `{"name":"a b"}`, `{"name":"<&>"}`,
		`{"name":"\u006eet","cniVersion":"1.1.0"}`, `{"name":"n\ud800"}`, "{\"name\":\"n\xff\"}", `{"name":"a","name":"b","cniVersion":"1.1.0"}`,
		`{"name":"a","name":7}`, `{"name":"` + strings.Repeat("n", 5000) + `","cniVersion":"1.1.0"}`,
		`{"n\u0061me":"net","cniVersion":"1.1.0"}`, `{"name":"net","cniVersion":7}`, `{"name":"net","cniVersion":{}}`, `{"name":7,"cniVersion":7}`,
		strings.Repeat(`{"a":`, 20000), `{"name":"net","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}",
	}
	for _, version := range []string{
		"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.3.9", "0.4.0", "0.4.1", "1", "1.0", "1.0.0", "1.0.1", "1.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0", "01.1.0",
		"+1.1.0", "-1.0.0", "1.-1.0", "1.1.0.0", "1..0", ".", "x", "1.x", "1.1.x", " 1.1.0", "v1.1.0", "99999999999999999999", "1.1.0<", "\u2028",
	} {
		configurations = append(configurations, fmt.Sprintf(`{"name":"net","cniVersion":%q}`, version))
	}
	for _, command := range commands() {
		for _, configuration := range configurations {
			assertAlike(t, invocation{env: everything(command), stdin: []byte(configuration)})
		}
	}
}

func TestEveryFailureIsPrintedAsBySkel(t *testing.T) {
	for _, f := range []failure{
		{0, "plain", ""}, {7, "own", ""}, {102, "own", "one\ntwo"}, {999, `"quoted" \ and ` + "\x00\x1f\x7f ä €", "<&>\u2028\xff\t"},
	} {
		for _, command := range commands() {
			assertAlike(t, invocation{env: everything(command), stdin: []byte(valid), failure: f})
		}
	}
}

// FuzzLikeSkel looks for what the tables above have not thought of.
func FuzzLikeSkel(f *testing.F) {
	for _, command := range commands() {
		f.Add(command, "c1", "/run/netns/c1", "net1", "/opt", []byte(valid), uint(0), "", "")
	}
	f.Add("CHECK", "a b", "", "a:b", "", []byte(`{"name":"a b","cniVersion":"0.3.1"}`), uint(7), "msg", "details")
	f.Add("GC", "", "", "", "/opt", []byte(`{"name":"a","name":7,"cniVersion":"1.1"}`), uint(0), "msg", "")
	f.Fuzz(func(t *testing.T, command, id, netns, ifName, path string, stdin []byte, code uint, msg, details string) {
		env := map[string]string{"CNI_COMMAND": command, "CNI_CONTAINERID": id, "CNI_NETNS": netns, "CNI_IFNAME": ifName, "CNI_PATH": path}
		if slices.ContainsFunc(slices.Collect(maps.Values(env)), func(s string) bool { return strings.Contains(s, "\x00") }) {
			t.Skip("no variable of an environment holds a zero byte")
		}
		if apart(stdin) {
			t.Skip("differs on purpose")
		}
		assertAlike(t, invocation{env: env, stdin: stdin, failure: failure{code, msg, details}})
	})
}
