package cni

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/symroute/symroute/pkg/jsontext"
)

// configuration holds the members of the configuration, of which the protocol reads
// two (section 1, Plugin configuration objects). The rest is the verbs' business.
type configuration []jsontext.Member

func readConfiguration(data []byte) (configuration, error) {
	if err := jsontext.Check(data); err != nil {
		return nil, undecodable(err)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, undecodable(errors.New("it is not a JSON object"))
	}
	return jsontext.Members(data), nil
}

func undecodable(err error) error {
	return NewError(ErrDecodingFailure, fmt.Sprintf("error unmarshall network config: %v", err), "")
}

// validateName demands the name of the network.
func (c configuration) validateName() error {
	name, err := c.text("name")
	switch {
	case err != nil:
		return undecodable(err)
	case name == "":
		return NewError(ErrInvalidNetworkConfig, "missing network name", "")
	case !validName(name):
		return NewError(ErrInvalidNetworkConfig, "invalid characters found in network name", name)
	}
	return nil
}

// version is the version of the specification that the configuration is written in:
// the first one, which had no such key, where it names none.
func (c configuration) version() (string, error) {
	version, err := c.text("cniVersion")
	if err != nil {
		return "", NewError(ErrDecodingFailure, fmt.Sprintf("decoding version from network config: %v", err), "")
	}
	if version == "" {
		return "0.1.0", nil
	}
	return version, nil
}

// text is the string of a key: "" where it is absent or null, and the last one
// where it is repeated.
func (c configuration) text(key string) (string, error) {
	for _, m := range slices.Backward(c) {
		if m.Key != key {
			continue
		}
		if string(m.Value) == "null" {
			return "", nil
		}
		if s, ok := jsontext.Text(m.Value); ok {
			return s, nil
		}
		return "", errors.New(key + " must be a string")
	}
	return "", nil
}

// release is a version of the specification in its three numbers, by which versions
// are ordered.
type release [3]int

func (r release) before(other release) bool { return slices.Compare(r[:], other[:]) < 0 }

// parseRelease reads "1.1.0"; what is left out counts as 0.
func parseRelease(version string) (r release, err error) {
	parts := strings.Split(version, ".")
	if len(parts) > len(r) {
		return release{}, fmt.Errorf("invalid version %q: too many parts", version)
	}
	for i, part := range parts {
		if r[i], err = strconv.Atoi(part); err != nil {
			name := [...]string{"major", "minor", "micro"}[i]
			return release{}, fmt.Errorf("failed to convert %s version part %q: %w", name, part, err)
		}
	}
	return r, nil
}
