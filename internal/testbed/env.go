package testbed

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// EnvNumber returns the number that a variable of the environment says, or otherwise when it is
// empty. What is no number fails the test.
func EnvNumber(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(tb, err, name)
	return n
}
