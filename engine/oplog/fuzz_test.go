package oplog_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// seedLog writes a log in one file and returns the bytes. Every record's data says
// which record of which stream it is.
func seedLog(f *testing.F, story func(l *oplog.Log)) []byte {
	f.Helper()
	mem := fsx.NewMem()
	l := openLog(f, mem, 0)
	story(l)
	require.NoError(f, l.Close())
	b, err := fsx.ReadFile(mem, logFiles(f, mem)[0])
	require.NoError(f, err)
	return b
}

// recordData is what record seq of a stream holds.
func recordData(id string, seq uint64) string {
	return strings.Repeat(fmt.Sprintf("record %d of %s;", seq, id), 1+int(seq%5))
}

// FuzzLogRecord takes bytes for the only file of a log. They must never panic, and
// no record may come back that wasn't written whole. With mend, the checksums are
// made right first, so that the code behind them is reached as well; then the
// numbers of the records must still be without gap.
func FuzzLogRecord(f *testing.F) {
	put := func(l *oplog.Log, id string, upTo uint64) {
		for s := l.Stream(id); s.Last().Seq < upTo; {
			seq := s.Last().Seq + 1
			require.NoError(f, s.Append(seq/3, seq, []byte(recordData(id, seq))).Wait(f.Context()))
		}
	}
	for _, story := range []func(l *oplog.Log){
		func(l *oplog.Log) { put(l, "a", 1) },
		func(l *oplog.Log) { put(l, "a", 4); put(l, "b", 3); put(l, "a", 6) },
		func(l *oplog.Log) {
			put(l, "a", 5)
			require.NoError(f, l.Stream("a").TruncateAfter(f.Context(), 2))
			put(l, "a", 4)
			put(l, "b", 2)
			require.NoError(f, l.Stream("b").Drop(f.Context()))
			put(l, "b", 1)
		},
	} {
		b := seedLog(f, story)
		f.Add(b, false)
		f.Add(b, true)
		f.Add(b[:len(b)-20], false)
	}
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			b = bytes.Clone(b) // inputs belong to the fuzzer
			mendChecksums(b)
		}
		mem := fsx.NewMem()
		require.NoError(t, mem.MkdirAll("/log"))
		require.NoError(t, fsx.WriteAtomic(mem, fmt.Sprintf("/log/%016x.log", 1), b))
		l, err := oplog.Open(oplog.Options{FS: mem, Dir: "/log"})
		if err != nil {
			return
		}
		for _, id := range l.Streams() {
			s := l.Stream(id)
			next := s.First()
			err := s.Read(t.Context(), next, func(r oplog.Record) error {
				require.Equal(t, next, r.Seq)
				if !mend {
					require.Equal(t, recordData(id, r.Seq), string(r.Data))
				}
				next++
				return nil
			})
			if err == nil {
				require.Equal(t, s.Durable().Seq+1, next)
			}
			s.Append(s.Last().Epoch, s.Last().Seq+1, []byte("more"))
		}
		_ = l.Close()
	})
}

// mendChecksums makes the checksums of the file's header and of its batches right,
// as docs/format/oplog.md has them, as far as the lengths lead.
func mendChecksums(b []byte) {
	le, table := binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli)
	if len(b) < 128 {
		return
	}
	copy(b, "SXTOPLG\n\x02\x00")
	le.PutUint64(b[24:], 1)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], table))
	copy(b[64:128], b[:64])
	prev, number := le.Uint32(b[40:]), le.Uint64(b[32:])
	for off := 128; len(b)-off >= 36; {
		h := b[off:]
		n := int(le.Uint32(h[16:]))
		if n > len(h)-36 {
			return
		}
		le.PutUint32(h, 0x54425853)
		le.PutUint64(h[8:], number)
		le.PutUint32(h[24:], prev)
		var at [24]byte
		copy(at[:8], b[16:24])
		le.PutUint64(at[8:], 1)
		le.PutUint64(at[16:], uint64(off))
		records := h[36 : 36+n]
		if kind := le.Uint32(h[4:]); (kind == 1 || kind == 2) && n >= 8 {
			if d := int(le.Uint32(records[n-8:])); d >= 8 && d <= n {
				sum := crc32.Update(crc32.Checksum(at[:], table), table, records[n-d:n-4])
				le.PutUint32(records[n-4:], sum)
				records = records[:n-d]
			}
		}
		le.PutUint32(h[20:], crc32.Checksum(records, table))
		prev = crc32.Update(crc32.Checksum(at[:], table), table, h[:32])
		le.PutUint32(h[32:], prev)
		off += 36 + n
		number++
	}
}
