package segment

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
// the shard is new, and the first thing to do is to Store one.
func (d *Dir) Load() (*Manifest, error) { return nil, errTodo }

// Store makes m the manifest, atomically and durably. The files it names must
// be finished. After an error the old or the new one may be in force; files of
// both are kept until a Store succeeds.
func (d *Dir) Store(m *Manifest) error { return errTodo }

// RemoveDead removes the files that an earlier manifest named and the one stored
// last doesn't.
func (d *Dir) RemoveDead() error { return errTodo }
