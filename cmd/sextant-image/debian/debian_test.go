package debian

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatAptPrints(t *testing.T) {
	require.Equal(t, []string{"curl", "libc6", "zlib1g"}, parse("curl\n  Depends: libc6\n  PreDepends: <x>\nzlib1g\n<x>\n    y\nlibc6\nlibc6\n"))
	require.Equal(t, []string{"a_1%3a2_amd64.deb"}, fileNames("'http://h/a_1%253a2_amd64.deb' a_1%3a2_amd64.deb 12 SHA256:00\nsomething else\n"))
}

func TestWhereFilesGo(t *testing.T) {
	f := func(name, want string, kept bool) {
		t.Helper()
		got, keep := Place(name)
		require.Equal(t, want, got)
		require.Equal(t, kept, keep)
	}
	f("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6", true)
	f("lib64/ld.so", "usr/lib64/ld.so", true)
	f("usr/bin/curl", "usr/bin/curl", true)
	f("library/x", "library/x", true)
	f("usr/share/doc/curl/copyright", "usr/share/doc/curl/copyright", false)
	f("usr/share/ca-certificates/mozilla/a.crt", "usr/share/ca-certificates/mozilla/a.crt", true)
}
