package segment

import "io"

// Writer writes one file, section after section, without holding a section in
// memory. It belongs to one goroutine.
type Writer struct{}

// Section ends the section before it and begins the one with this id, which must
// be new in the file. Bytes given to the returned writer land at a 64-byte
// aligned start, contiguous. Errors stick: Finish returns the first one.
func (w *Writer) Section(id uint16) io.Writer { return io.Discard }

// Finish ends the file, makes it and its name durable and closes it. After an
// error the file is gone.
func (w *Writer) Finish() (FileInfo, error) { return FileInfo{}, errTodo }

// Abort gives the file up and removes it. After Finish it does nothing.
func (w *Writer) Abort() {}
