package main

import (
	"runtime"
	"strconv"
	"syscall"
	_ "unsafe" // for go:linkname
)

// exitHooks are what the runtime runs before the process ends, whether main returns or
// somebody calls os.Exit.
//
//go:linkname exitHooks internal/runtime/exithook.hooks
var exitHooks []exitHook

type exitHook struct {
	F            func()
	RunOnFailure bool
}

func init() { exitHooks = append(exitHooks, exitHook{F: reportAllocations}) }

// reportAllocations writes to descriptor 3 what this process has allocated since it
// began: objects, and their bytes.
func reportAllocations() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	report := strconv.FormatUint(m.Mallocs, 10) + " " + strconv.FormatUint(m.TotalAlloc, 10) + "\n"
	if _, err := syscall.Write(3, []byte(report)); err != nil {
		panic(err)
	}
}
