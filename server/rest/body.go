package rest

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sextantdb/sextant/internal/apierror"
)

// plainError is a refusal of the door itself, whose text has no kind's prefix.
type plainError struct {
	code int
	text string
}

func (e *plainError) Error() string { return e.text }

func (s *server) tooLarge() error {
	return &plainError{
		http.StatusRequestEntityTooLarge,
		fmt.Sprintf("JSON payload is larger than allowed (limit: %d bytes).", s.MaxBodyBytes),
	}
}

// body reads the request's body, which must be released with putBuffer once
// nothing refers to it.
func (s *server) body(x *exchange) (*bytes.Buffer, error) {
	if x.r.ContentLength > s.MaxBodyBytes {
		return nil, s.tooLarge()
	}
	src, err := decompressed(x.r)
	if err != nil {
		return nil, err
	}
	buf := getBuffer()
	if n := x.r.ContentLength; n > 0 {
		// MinRead beyond the length lets ReadFrom see the end without growing.
		// What a client only says to send is not believed beyond a measure.
		buf.Grow(int(min(n, maxTrusted)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(src, s.MaxBodyBytes+1))
	if err == nil && n > s.MaxBodyBytes {
		err = s.tooLarge()
	}
	if cerr := src.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		putBuffer(buf)
		return nil, bodyError(x.r, err)
	}
	return buf, nil
}

// drain reads the rest of a refused request, within reason: most clients read no
// answer before they have sent everything, and would only see that the connection
// broke. A client that asked whether to send at all is told not to.
func (s *server) drain(r *http.Request) {
	const factor = 8 // times the size that would have been read
	if r.Header.Get("Expect") == "" {
		// Whatever ends this, the answer is the same.
		_, _ = io.CopyN(io.Discard, r.Body, factor*s.MaxBodyBytes)
	}
}

// maxTrusted is how much memory a body gets before any of it has come.
const maxTrusted = 2 << 20

// bodyError tells a client that stopped sending from one that sent nonsense.
func bodyError(r *http.Request, err error) error {
	if _, ok := errors.AsType[*plainError](err); ok {
		return err
	}
	if r.Context().Err() != nil {
		return fmt.Errorf("read body: %w", r.Context().Err())
	}
	return apierror.New(apierror.Format, "can't read the body: %w", err)
}

// decompressed returns the body as it was before Content-Encoding.
func decompressed(r *http.Request) (io.ReadCloser, error) {
	var src io.ReadCloser
	var err error
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return io.NopCloser(r.Body), nil
	case "gzip", "x-gzip":
		src, err = gzip.NewReader(r.Body)
	case "deflate":
		src, err = zlib.NewReader(r.Body)
	case "zstd":
		var dec *zstd.Decoder
		if dec, err = zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow)); err == nil {
			src = dec.IOReadCloser()
		}
	default:
		return nil, apierror.New(apierror.BadRequest, "unknown content encoding %q", encoding)
	}
	if err != nil {
		return nil, bodyError(r, err)
	}
	return src, nil
}

// maxWindow bounds what a zstd stream may make us hold.
const maxWindow = 64 << 20

// buffers are reused between requests, but not those that one huge request
// made large.
const maxPooled = 4 << 20

//nolint:gochecknoglobals // a free list has no state that anyone could see
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
}

// minCompressed is from which length an answer is worth compressing.
const minCompressed = 1 << 10

// answer writes a JSON answer, compressed when the client likes that.
func (s *server) answer(x *exchange, code int, body []byte) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Add("Vary", "Accept-Encoding")
	x.status = code
	if len(body) < minCompressed || !acceptsGzip(x.r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		x.w.WriteHeader(code)
		s.note(x, write(x.w, body))
		return
	}
	h.Set("Content-Encoding", "gzip")
	x.w.WriteHeader(code)
	zw := compressors.Get().(*gzip.Writer)
	zw.Reset(x.w)
	err := write(zw, body)
	if cerr := zw.Close(); err == nil {
		err = cerr
	}
	compressors.Put(zw)
	s.note(x, err)
}

//nolint:gochecknoglobals // a free list has no state that anyone could see
var compressors = sync.Pool{New: func() any {
	zw, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
	return zw
}}

func write(w io.Writer, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	return nil
}

// acceptsGzip reports whether an Accept-Encoding header names gzip with a
// quality above 0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) != "gzip" {
			continue
		}
		key, q, _ := strings.Cut(strings.TrimSpace(params), "=")
		quality, err := strconv.ParseFloat(q, 64)
		return key != "q" || err == nil && quality > 0
	}
	return false
}
