package dataset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// maxFileDim bounds the dimension that a file may claim.
const maxFileDim = 1 << 20

// ReadMatrix reads float32 rows from a file: .fvecs (each row behind its length),
// .npy (two dimensions, float32, C order) or .f32 (raw little-endian rows; dim
// says how long, as `h5dump -b LE` writes them).
func ReadMatrix(name string, dim int) (m Matrix, err error) {
	f, err := os.Open(name)
	if err != nil {
		return Matrix{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 1<<20)
	switch ext := filepath.Ext(name); ext {
	case ".fvecs":
		m, err = readFvecs(r)
	case ".npy":
		m, err = readNpy(r)
	case ".f32":
		m, err = readRaw(r, dim)
	default:
		err = fmt.Errorf("unknown kind of file %q: .fvecs, .npy or .f32", ext)
	}
	if err != nil {
		return Matrix{}, fmt.Errorf("read %s: %w", name, err)
	}
	return m, nil
}

func readFvecs(r io.Reader) (Matrix, error) {
	var m Matrix
	for {
		var dim uint32
		if err := binary.Read(r, binary.LittleEndian, &dim); errors.Is(err, io.EOF) {
			return m, nil
		} else if err != nil {
			return m, err
		}
		if dim == 0 || dim > maxFileDim || (m.Dim != 0 && int(dim) != m.Dim) {
			return m, fmt.Errorf("row %d has length %d", m.Rows(), dim)
		}
		m.Dim = int(dim)
		row := make([]float32, dim)
		if err := binary.Read(r, binary.LittleEndian, row); err != nil {
			return m, fmt.Errorf("row %d: %w", m.Rows(), err)
		}
		m.Data = append(m.Data, row...)
	}
}

func readRaw(r io.Reader, dim int) (Matrix, error) {
	if dim < 1 || dim > maxFileDim {
		return Matrix{}, fmt.Errorf("raw rows need a dimension, got %d", dim)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return Matrix{}, err
	}
	if len(raw) == 0 || len(raw)%(dim*4) != 0 {
		return Matrix{}, fmt.Errorf("%d bytes are not rows of %d float32", len(raw), dim)
	}
	m := Matrix{Dim: dim, Data: make([]float32, len(raw)/4)}
	for i := range m.Data {
		m.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[i*4:]))
	}
	return m, nil
}

// npyShape finds the shape in the header of a .npy file, which is the text of a
// Python dictionary.
var npyShape = regexp.MustCompile(`'shape':\s*\((\d+),\s*(\d+)\)`)

func readNpy(r io.Reader) (Matrix, error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Matrix{}, err
	}
	if !bytes.HasPrefix(head[:], []byte("\x93NUMPY")) || head[6] != 1 {
		return Matrix{}, errors.New("not a version 1 .npy file")
	}
	text := make([]byte, binary.LittleEndian.Uint16(head[8:]))
	if _, err := io.ReadFull(r, text); err != nil {
		return Matrix{}, err
	}
	if !strings.Contains(string(text), "'<f4'") || strings.Contains(string(text), "'fortran_order': True") {
		return Matrix{}, fmt.Errorf("only little-endian float32 in C order is read: %s", text)
	}
	shape := npyShape.FindSubmatch(text)
	if shape == nil {
		return Matrix{}, fmt.Errorf("not two-dimensional: %s", text)
	}
	rows, err := strconv.Atoi(string(shape[1]))
	if err != nil {
		return Matrix{}, err
	}
	dim, err := strconv.Atoi(string(shape[2]))
	if err != nil {
		return Matrix{}, err
	}
	m, err := readRaw(r, dim)
	if err == nil && m.Rows() != rows {
		err = fmt.Errorf("%d rows, the header says %d", m.Rows(), rows)
	}
	return m, err
}

// WriteMatrix writes rows as .fvecs.
func WriteMatrix(name string, m Matrix) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range m.Rows() {
		if err := binary.Write(w, binary.LittleEndian, uint32(m.Dim)); err != nil {
			return err
		}
		if err := binary.Write(w, binary.LittleEndian, m.Row(i)); err != nil {
			return err
		}
	}
	return w.Flush()
}
