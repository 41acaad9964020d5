package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/sextantdb/sextant/internal/fsx"
)

const (
	manifestName    = "MANIFEST"
	manifestMagic   = "SXTMANI\n"
	manifestVersion = 1
	// manifestHead is magic, version, reserved and the length of the body.
	manifestHead = 16
	// manifestTail is the checksum.
	manifestTail = 4
)

// Manifest is the durable state of a shard: which files hold it, and from where
// the log goes on.
type Manifest struct {
	// Epoch and Seq name the last operation that the files contain.
	Epoch, Seq uint64
	// Chain is the log's chain value at Seq.
	Chain uint64
	// NextDoc is the next document number to be given.
	NextDoc uint32
	// Config is the shard's configuration, opaque here.
	Config []byte
	// Files has, for each component's name, its live files in the component's
	// order.
	Files map[string][]FileInfo
}

// Load reads the manifest and removes the files that it doesn't name, left by a
// crash. In a directory without manifest and files it fails with fs.ErrNotExist:
// the shard is new, and the first thing to do is to Store a manifest, before any
// Create. So files without a manifest are a damaged shard, ErrCorrupted, and
// nothing is removed.
func (d *Dir) Load() (*Manifest, error) {
	entries, err := d.FS.ReadDir(d.Path)
	if err != nil {
		return nil, fmt.Errorf("load manifest: %w", err)
	}
	name := d.file(manifestName)
	b, err := fsx.ReadFile(d.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), suffix) }) {
			return nil, &CorruptedError{File: name, Why: "manifest is missing, but there are segment files"}
		}
		return nil, fmt.Errorf("load manifest: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load manifest: %w", err)
	}
	m, nextFile, err := decodeManifest(b, name)
	if err != nil {
		return nil, err
	}
	live, err := d.present(m, nil)
	if err != nil {
		return nil, err
	}
	// The process before may have been killed between renaming the manifest and
	// syncing the directory. Before files of the old one go, the new one must stay.
	if err := d.FS.SyncDir(d.Path); err != nil {
		return nil, fmt.Errorf("load manifest: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live, d.dead, d.next, d.scanned = live, nil, nextFile, false
	return m, d.sweep(entries)
}

// sweep removes what no manifest names. d.mu is held.
func (d *Dir) sweep(entries []fs.DirEntry) error {
	if err := d.scan(); err != nil {
		return fmt.Errorf("load manifest: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		_, live := d.live[name]
		if live || name != manifestName+".tmp" && !strings.HasSuffix(name, suffix) {
			continue
		}
		if err := d.FS.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove orphan: %w", err))
		}
	}
	return errors.Join(errs...)
}

// present returns m's files by name after making sure that each one is there in
// full length; those that known has are taken for granted.
func (d *Dir) present(m *Manifest, known map[string]FileInfo) (map[string]FileInfo, error) {
	files := map[string]FileInfo{}
	for component, list := range m.Files {
		for _, f := range list {
			if err := checkName(f.Name); err != nil {
				return nil, fmt.Errorf("manifest, component %q: %w", component, err)
			}
			files[f.Name] = f
			if known[f.Name] == f {
				continue
			}
			st, err := d.FS.Stat(d.file(f.Name))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil, &CorruptedError{File: d.file(f.Name), Why: "file named by the manifest is missing"}
			case err != nil:
				return nil, fmt.Errorf("manifest, component %q: %w", component, err)
			case st.Size() != f.Size:
				why := fmt.Sprintf("length %d, but %d in the manifest", st.Size(), f.Size)
				return nil, &CorruptedError{File: d.file(f.Name), Offset: min(st.Size(), f.Size), Why: why}
			}
		}
	}
	return files, nil
}

// Store makes m the manifest, atomically and durably. The files it names must
// be finished. After an error the old or the new one may be in force; files of
// both are kept until a Store succeeds. m is not kept.
func (d *Dir) Store(m *Manifest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	files, err := d.present(m, d.live)
	if err != nil {
		return fmt.Errorf("store manifest: %w", err)
	}
	if err := d.scan(); err != nil {
		return fmt.Errorf("store manifest: %w", err)
	}
	if err := fsx.WriteAtomic(d.FS, d.file(manifestName), encodeManifest(m, d.next)); err != nil {
		both := maps.Clone(files)
		maps.Copy(both, d.live)
		d.live = both
		d.bury(nil)
		return fmt.Errorf("store manifest: %w", err)
	}
	before := d.live
	d.live = files
	d.bury(before)
	return nil
}

// bury adds files to the dead ones and takes those away that are live. d.mu is
// held.
func (d *Dir) bury(files map[string]FileInfo) {
	if d.dead == nil {
		d.dead = map[string]FileInfo{}
	}
	maps.Copy(d.dead, files)
	maps.DeleteFunc(d.dead, func(name string, _ FileInfo) bool { _, live := d.live[name]; return live })
}

func encodeManifest(m *Manifest, nextFile uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, manifestHead, 1024)
	b = le.AppendUint64(b, m.Epoch)
	b = le.AppendUint64(b, m.Seq)
	b = le.AppendUint64(b, m.Chain)
	b = le.AppendUint64(b, nextFile)
	b = le.AppendUint32(b, m.NextDoc)
	b = appendBytes(b, m.Config)
	b = binary.AppendUvarint(b, uint64(len(m.Files)))
	for _, component := range slices.Sorted(maps.Keys(m.Files)) {
		b = appendBytes(b, []byte(component))
		b = binary.AppendUvarint(b, uint64(len(m.Files[component])))
		for _, f := range m.Files[component] {
			b = appendBytes(b, []byte(f.Name))
			b = binary.AppendUvarint(b, uint64(f.Size))
			b = le.AppendUint32(b, f.Sum)
		}
	}
	copy(b, manifestMagic)
	le.PutUint16(b[8:], manifestVersion)
	le.PutUint32(b[12:], uint32(len(b)-manifestHead))
	return le.AppendUint32(b, checksum(b))
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// decodeManifest reads what encodeManifest wrote.
func decodeManifest(b []byte, name string) (*Manifest, uint64, error) {
	le := binary.LittleEndian
	bad := func(off int, why string) (*Manifest, uint64, error) {
		return nil, 0, &CorruptedError{File: name, Offset: int64(off), Why: why}
	}
	if len(b) < manifestHead+manifestTail {
		return bad(len(b), "manifest is cut off")
	}
	if string(b[:8]) != manifestMagic {
		return bad(0, "manifest without the magic bytes")
	}
	end := len(b) - manifestTail
	if checksum(b[:end]) != le.Uint32(b[end:]) {
		return bad(end, "manifest checksum")
	}
	if v := le.Uint16(b[8:]); v != manifestVersion {
		return nil, 0, fmt.Errorf("load %s: %w: version %d, newest known is %d", name, ErrNewer, v, manifestVersion)
	}
	if int(le.Uint32(b[12:])) != end-manifestHead {
		return bad(12, "manifest length")
	}
	r := manifestReader{rest: b[manifestHead:end]}
	m := &Manifest{Epoch: r.uint64(), Seq: r.uint64(), Chain: r.uint64()}
	nextFile := r.uint64()
	m.NextDoc = r.uint32()
	m.Config = slices.Clone(r.bytes())
	m.Files = map[string][]FileInfo{}
	for range r.count() {
		component := string(r.bytes())
		list := make([]FileInfo, 0, min(64, len(r.rest)))
		for range r.count() {
			f := FileInfo{Name: string(r.bytes()), Size: int64(r.uvarint()), Sum: r.uint32()}
			list = append(list, f)
		}
		m.Files[component] = list
	}
	if r.failed || len(r.rest) != 0 {
		return bad(end-len(r.rest), "manifest fields don't fill its body")
	}
	return m, nextFile, nil
}

// manifestReader takes fields off the body. After the first one that isn't there
// it gives zeros and counts of zero.
type manifestReader struct {
	rest   []byte
	failed bool
}

func (r *manifestReader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *manifestReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *manifestReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *manifestReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *manifestReader) bytes() []byte { return r.take(r.uvarint()) }

// count is a number of things of at least one byte each.
func (r *manifestReader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.failed = true
		return 0
	}
	return n
}
