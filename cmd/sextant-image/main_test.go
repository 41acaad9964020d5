package main

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAProgramForAnotherMachine has this test's own program checked, and what is none.
func TestAProgramForAnotherMachine(t *testing.T) {
	path, err := os.Executable()
	require.NoError(t, err)
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, name := range []string{"amd64", "arm64"} {
		arch, err := architectureOf(name)
		require.NoError(t, err)
		if err := arch.check(program); name == runtime.GOARCH {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "not for EM_")
		}
		require.ErrorContains(t, arch.check([]byte("#!/bin/sh")), "no program for Linux")
	}
	_, err = architectureOf("mips")
	require.ErrorContains(t, err, `not for "mips"`)
}
