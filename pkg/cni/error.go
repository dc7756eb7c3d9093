package cni

import (
	"strconv"

	"github.com/symroute/symroute/pkg/jsontext"
)

// The codes of the specification (section 5, Error) that a plugin of ours has a use for. It
// leaves those from 100 on to plugins. Two are not in its table, but in the CNI
// project's package types: ErrInvalidNetNS and ErrInternal.
const (
	ErrIncompatibleCNIVersion      uint = 1
	ErrInvalidEnvironmentVariables uint = 4
	ErrIOFailure                   uint = 5
	ErrDecodingFailure             uint = 6
	ErrInvalidNetworkConfig        uint = 7
	ErrInvalidNetNS                uint = 8
	ErrTryAgainLater               uint = 11
	ErrPluginNotAvailable          uint = 50
	ErrInternal                    uint = 999
)

// Error is what a plugin tells the runtime when a verb fails (section 5, Error).
type Error struct {
	Code    uint
	Msg     string // short, one line
	Details string // may be empty
}

// NewError returns an error in the runtime's form.
func NewError(code uint, msg, details string) *Error {
	return &Error{Code: code, Msg: msg, Details: details}
}

// Error returns the message and the details.
func (e *Error) Error() string {
	if e.Details == "" {
		return e.Msg
	}
	return e.Msg + "; " + e.Details
}

// json is the error as the runtime reads it. There is no cniVersion in it: an error
// can be about what stood in its place.
func (e *Error) json() []byte {
	b := append([]byte(nil), "{\n    \"code\": "...)
	b = strconv.AppendUint(b, uint64(e.Code), 10)
	b = append(b, ",\n    \"msg\": "...)
	b = jsontext.AppendString(b, e.Msg)
	if e.Details != "" {
		b = append(b, ",\n    \"details\": "...)
		b = jsontext.AppendString(b, e.Details)
	}
	return append(b, "\n}"...)
}
