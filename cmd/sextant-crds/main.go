// Command sextant-crds finishes custom resource definitions: it reads those of one
// directory and writes them to another one, where nothing else is left.
// `make generate` runs it; it is not part of what is installed.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sextantdb/sextant/operator/crd"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sextant-crds <generated> <finished>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "finish the definitions:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, fmt.Errorf("there are no definitions in %s", from))
	}
	if err := errors.Join(os.RemoveAll(to), os.MkdirAll(to, 0o755)); err != nil {
		return err
	}
	for _, file := range files {
		generated, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		finished, err := crd.Finish(generated)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), finished, 0o644); err != nil {
			return err
		}
	}
	return nil
}
