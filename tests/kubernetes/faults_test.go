package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
)

func isNoMatch(err error) bool { return meta.IsNoMatchError(err) }

// faults are what can be done to machines. Clusters in general have none of it.
type faults interface {
	// kill takes the power from a machine, cut the network; boot and heal bring them back.
	kill(machine string) error
	cut(machine string) error
	heal(machine string) error
	boot(machine string) error
	// crash kills the node's process in a pod, which has no chance to say anything.
	crash(pod types.UID) error
	// runs tells whether that process is there, whoever knows of its pod.
	runs(pod types.UID) (bool, error)
}

// faultsOf finds out what can be done: the scripts of a lab do it, else nothing can.
func faultsOf(dir string) faults {
	if dir == "" {
		return nil
	}
	return lab(dir)
}

// needFaults skips a test where machines can't be treated badly.
func needFaults(t *testing.T) faults {
	t.Helper()
	if place.faults == nil {
		t.Skip("machines of this cluster can't be killed: " + envLab + " names no lab")
	}
	return place.faults
}

// lab is a folder with scripts whose machines are called kn1, kn2 and so on.
type lab string

var labMachine = regexp.MustCompile(`^kn([0-9]+)$`)

// script runs a script of the lab on a machine, where the lab itself runs: tests run in the
// network, and with the name service, of its pods, but who started them doesn't.
func (l lab) script(name, machine string, args ...string) error {
	number := labMachine.FindStringSubmatch(machine)
	if number == nil {
		return fmt.Errorf("%s is no machine of the lab", machine)
	}
	path, err := filepath.Abs(filepath.Join(string(l), name))
	if err != nil {
		return fmt.Errorf("find the lab's script: %w", err)
	}
	command := append([]string{"--target", strconv.Itoa(os.Getppid()), "--mount", "--net", path, number[1]}, args...)
	out, err := exec.Command("nsenter", command...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s %v: %w: %s", name, machine, args, err, out)
	}
	return nil
}

func (l lab) kill(machine string) error { return l.script("node-down.sh", machine, "kill") }
func (l lab) cut(machine string) error  { return l.script("node-down.sh", machine, "cut") }
func (l lab) heal(machine string) error { return l.script("node-down.sh", machine, "heal") }
func (l lab) boot(machine string) error { return l.script("node-up.sh", machine) }

func (l lab) crash(pod types.UID) error {
	pid, err := process(pod)
	switch {
	case err != nil:
		return err
	case pid == 0:
		return fmt.Errorf("the process of pod %s isn't found", pod)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

func (l lab) runs(pod types.UID) (bool, error) {
	pid, err := process(pod)
	return pid != 0, err
}

// process finds the node's process in a pod, 0 for none: the machines of a lab share the kernel with the tests.
func process(pod types.UID) (pid int, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, dir := range processes {
		// What ends meanwhile can't be read, and isn't the one that is looked for.
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		args := strings.Split(strings.TrimRight(string(command), "\x00"), "\x00")
		beside := len(args) > 1 && (args[1] == "agent" || args[1] == "exporter")
		if !strings.Contains(string(groups), string(pod)) || !strings.HasSuffix(args[0], "sextant") || beside {
			continue
		}
		return strconv.Atoi(filepath.Base(dir))
	}
	return 0, nil
}

// killed takes the power from a machine, and gives it back when the test is over.
func killed(t *testing.T, machine string) {
	t.Helper()
	f := needFaults(t)
	require.NoError(t, f.kill(machine))
	t.Cleanup(func() { require.NoError(t, f.boot(machine)) })
}
