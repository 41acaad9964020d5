package topology

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
)

const (
	reserveSuffix = ".reserve"
	// reserveStep is what the reserve's length is a multiple of. The smallest
	// collection that is deleted gives up as much for the next reserve.
	reserveStep = 16 << 10
)

// KeepReserve makes the reserve if it is missing. Every Save does so as well.
func (st Store) KeepReserve() {
	if info, err := st.FS.Stat(st.Path); err == nil {
		st.keepReserve(int(info.Size()))
	}
}

// keepReserve makes the reserve, for a file of so many bytes, if it isn't there. A
// disk that has no room for it now may have at the next change, so a failure is none
// of the caller's.
func (st Store) keepReserve(size int) {
	// A deletion makes the content shorter, if the names aren't many bytes: there is
	// room for it to grow all the same.
	want := (size/reserveStep + 1) * reserveStep
	name := st.Path + reserveSuffix
	if info, err := st.FS.Stat(name); err == nil && info.Size() >= int64(want) {
		return
	}
	if err := st.writeReserve(name, want); err != nil {
		// A part of it takes room and is no use.
		_ = st.FS.Remove(name)
	}
}

func (st Store) writeReserve(name string, size int) error {
	// Not zeros: a file system that compresses would give them no blocks.
	content, random := make([]byte, size), rand.NewChaCha8([32]byte{})
	_, _ = random.Read(content)
	f, err := st.FS.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// useReserve makes the content durable without a new block: it overwrites the
// reserve, cuts it, and gives it the name of the file. Giving the blocks back and
// taking others would leave a moment in which another writer takes them.
func (st Store) useReserve(content []byte) error {
	name := st.Path + reserveSuffix
	f, err := st.FS.OpenWrite(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Truncate(int64(len(content))), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := st.FS.Rename(name, st.Path); err != nil {
		return fmt.Errorf("replace %s: %w", st.Path, err)
	}
	return st.FS.SyncDir(path.Dir(st.Path))
}
