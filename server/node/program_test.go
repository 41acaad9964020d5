package node

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyWhatTheFileStillHoldsIsDropped(t *testing.T) {
	const smaps = `00400000-0213f000 r-xp 00000000 fe:00 9977904                            /opt/my sextant
Size:              30000 kB
Rss:               24444 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
0213f000-04248000 r--p 01d3f000 fe:00 9977904                            /opt/my sextant
Rss:               31844 kB
Anonymous:             4 kB
AnonHugePages:         0 kB
04248000-0485f000 rw-p 03e48000 fe:00 9977904                            /opt/my sextant
Anonymous:             0 kB
0485f000-04860000 r--p 03e48000 fe:00 9977904                            /opt/my sextant
Anonymous:             0 kB
27f6c400000-27f72000000 r--p 00000000 00:00 0 
Anonymous:             0 kB
7f067ee1c000-7f067efbe000 r-xp 00000000 fe:00 44                         /opt/sextant
Anonymous:             0 kB
`
	require.Equal(t, []mapping{{0x400000, 0x213f000}, {0x485f000, 0x4860000}}, cleanMappings(smaps, "/opt/my sextant"))
	require.Empty(t, cleanMappings("", "/opt/sextant"))
	require.Empty(t, cleanMappings("nonsense\nAnonymous: 0 kB\n", ""))
}

func TestAProgramWithoutItsPagesGoesOn(t *testing.T) {
	require.NoError(t, dropProgram())
	if runtime.GOOS != "linux" {
		return
	}
	file, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	smaps, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	require.NotEmpty(t, cleanMappings(string(smaps), file), "the program's own mappings are found")
}
