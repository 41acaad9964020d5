package segment

import (
	"fmt"
	"runtime/debug"
)

// guardFault runs a function that reads mapped bytes. When the disk can't deliver
// a page, or the file was cut under the mapping, the processor faults: here that
// becomes an error about the file instead of the end of the process.
func guardFault(file string, read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if fault, ok := p.(interface{ Addr() uintptr }); ok {
				err = &CorruptedError{File: file, Why: fmt.Sprintf("page fault at address %x: the disk can't read it", fault.Addr())}
				return
			}
			panic(p)
		}
	}()
	return read()
}
