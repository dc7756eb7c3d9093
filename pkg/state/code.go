package state

// Codes of deviations: those that CHECK's errors have (docs/errors.md). The CNI specification leaves
// those from 100 on to plugins.
const (
	CodeAsymmetric = 100
	CodeSetting    = 101
	CodeMissing    = 102
	CodeForeign    = 103
)

// Code is the code of a deviation of a kind.
func Code(k Kind) uint {
	switch k {
	case Down, Missing, Lost:
		return CodeMissing
	case Foreign:
		return CodeForeign
	case Setting:
		return CodeSetting
	case Asymmetric:
	}
	return CodeAsymmetric
}
