package config

import "strings"

// maxDeviceName is the kernel's IFNAMSIZ less the terminating zero.
const maxDeviceName = 15

// deviceNameProblem says why no device of the kernel has this name
// (dev_valid_name and sysctl_dev_name_is_allowed); it returns "" where one
// could. Control characters, which the kernel allows, are refused: they would
// garble every message about the device.
func deviceNameProblem(name string) string {
	switch {
	case name == "":
		return "a device name must not be empty"
	case len(name) > maxDeviceName:
		return quote(name) + " is too long for a device name; the kernel allows 15 bytes"
	case name == "." || name == "..":
		return quote(name) + " is not a device name; the kernel reserves it"
	case name == "all":
		return `"all" is the kernel's key for all devices at once; name each device`
	case name == "default":
		return `"default" is the kernel's key for devices to come; name each device`
	case strings.ContainsAny(name, "/:"):
		return quote(name) + " is not a device name; the kernel allows no '/' and no ':' in it"
	case strings.ContainsFunc(name, blank):
		return quote(name) + " is not a device name; white space and control characters have no place in it"
	}
	return ""
}

// blank reports whether r is white space or a control character, or stands for
// bytes that are no UTF-8.
func blank(r rune) bool {
	return control(r) || r == ' ' || r == '\u00a0' || r == '\ufffd'
}

// control reports whether r is a control character.
func control(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0
}
