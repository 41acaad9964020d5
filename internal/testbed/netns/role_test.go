package netns_test

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// The tests run this test binary inside of namespaces; what the variable says is what it
// does.
const role = "SEXTANT_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "hears":
		must(hear())
	case "says":
		must(say())
	default:
		m.Run()
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// hear waits for a datagram until the standard input ends; one that was sent before that
// is there.
func hear() error {
	c, err := net.ListenPacket("udp", os.Getenv("ADDRESS"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(os.Getenv("MARKER"), nil, 0o600); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return err
	}
	_, _, err = c.ReadFrom(make([]byte, 1))
	if err != nil {
		os.Exit(1) //nolint:forbidigo // this is a command
	}
	return nil
}

// say says something as soon as somebody hears.
func say() error {
	tick := time.NewTicker(time.Millisecond)
	for range tick.C {
		if _, err := os.Stat(os.Getenv("MARKER")); err == nil {
			break
		}
	}
	c, err := net.Dial("udp", os.Getenv("ADDRESS"))
	if err != nil {
		return err
	}
	_, err = c.Write([]byte{1})
	return err
}
