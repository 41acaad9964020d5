package clusterbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ballast is the file that fills a disk.
const ballast = "ballast"

// mountDisk makes a directory a disk in memory of a size.
func mountDisk(dir string, size int64) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	return nil
}

func unmountDisk(dir string) error {
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount a small disk: %w", err)
	}
	return nil
}

// CanMount tells whether nodes can have disks of their own.
func CanMount() bool { return os.Geteuid() == 0 }

// FillDisk fills the disk of a node that has one of its own, but for so many bytes.
func (n *Node) FillDisk(leave int64) error {
	if !n.disk {
		return errors.New("the node has no disk of its own")
	}
	f, err := os.Create(filepath.Join(n.Dir, ballast))
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Truncate(max(size-leave, 0)), f.Close())
}

// FreeDisk takes back what FillDisk took.
func (n *Node) FreeDisk() error { return os.Remove(filepath.Join(n.Dir, ballast)) }
