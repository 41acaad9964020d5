package segment

// Batch is the new files of one checkpoint. They count together: a manifest that
// names them makes them all part of the shard, or Discard removes them all. It
// belongs to one goroutine.
type Batch struct {
	// Dir is where they are.
	Dir   *Dir
	files []FileInfo
}

// Write creates a file, lets fill write its sections, and finishes it. After an
// error the file is gone; those written before stay.
func (b *Batch) Write(prefix string, kind Kind, version uint16, fill func(w *Writer) error) (FileInfo, error) {
	w, err := b.Dir.Create(prefix, kind, version)
	if err != nil {
		return FileInfo{}, err
	}
	defer w.Abort()
	if err := fill(w); err != nil {
		return FileInfo{}, err
	}
	info, err := w.Finish()
	if err != nil {
		return FileInfo{}, err
	}
	b.files = append(b.files, info)
	return info, nil
}

// Len returns the number of files.
func (b *Batch) Len() int { return len(b.files) }

// Discard removes the files, because no manifest will name them. What can't be
// removed now is an orphan, which Load removes when the shard is next opened. The
// zero Batch has nothing to remove.
func (b *Batch) Discard() {
	if len(b.files) > 0 {
		_ = b.Dir.Discard(b.files...)
	}
	b.files = nil
}
