package clusterbed

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dialler tells which of the nodes is at the other end of a connection over the loopback,
// -1 when none is: the system's table of connections has the socket, and the processes that
// run in a node's directory have it among their files.
func dialler(in net.Conn, nodes []endpoint) int {
	own, ok1 := in.LocalAddr().(*net.TCPAddr)
	other, ok2 := in.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return -1
	}
	socket := socketBetween(other.Port, own.Port)
	if socket == "" {
		return -1
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return -1
	}
	for _, p := range processes {
		dir, err := os.Readlink(p)
		if err != nil {
			continue // it ended, or isn't ours
		}
		at := slices.IndexFunc(nodes, func(n endpoint) bool { return n.dir == dir })
		if at >= 0 && has(filepath.Join(filepath.Dir(p), "fd"), socket) {
			return at
		}
	}
	return -1
}

// socketBetween returns the name of the socket that connects two ports of the loopback.
func socketBetween(local, remote int) string {
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return ""
	}
	const loopback = "0100007F"
	want := []string{fmt.Sprintf("%s:%04X", loopback, local), fmt.Sprintf("%s:%04X", loopback, remote)}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && slices.Equal(f[1:3], want) {
			return "socket:[" + f[9] + "]"
		}
	}
	return ""
}

// has tells whether a directory of links has one to a target.
func has(dir, target string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		return err == nil && to == target
	})
}
