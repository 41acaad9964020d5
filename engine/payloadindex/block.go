package payloadindex

// A block is a set of documents in a form that is quickly united with others:
// for each chunk of 2^16 documents in which there are some, in order,
//
//	a word: the chunk's number, and the number of documents in it << 32
//	sparse chunks: their low 16 bits, sorted, four in a word
//	dense chunks:  1024 words, bit d of which is document d
//
// It isn't a roaring bitmap because uniting dozens of those, container by
// container, costs ten times as much as setting bits in one array.

const (
	chunkDocs  = 1 << 16
	chunkWords = chunkDocs / 64
	// denseFrom is the number of documents from which a chunk is dense: beyond, a
	// list is slower to unite and little smaller.
	denseFrom = 2048
)

// appendBlock appends the block of sorted documents, each once.
func appendBlock(dst []uint64, docs []uint32) []uint64 {
	for len(docs) > 0 {
		chunk := docs[0] / chunkDocs
		n := 1
		for n < len(docs) && docs[n]/chunkDocs == chunk {
			n++
		}
		dst = append(dst, uint64(chunk)|uint64(n)<<32)
		at := len(dst)
		dst = append(dst, make([]uint64, bodyWords(n))...)
		body := dst[at:]
		for i, d := range docs[:n] {
			low := uint64(d % chunkDocs)
			if n >= denseFrom {
				body[low/64] |= 1 << (low % 64)
			} else {
				body[i/4] |= low << (16 * (i % 4))
			}
		}
		docs = docs[n:]
	}
	return dst
}

// bodyWords returns how many words follow the first one of a chunk.
func bodyWords(n int) int {
	if n >= denseFrom {
		return chunkWords
	}
	return (n + 3) / 4
}

// uniteBlock sets the bits of the block's documents in words, which must reach
// to the end of the last chunk.
func uniteBlock(words, block []uint64) {
	for len(block) > 0 {
		chunk, n := int(uint32(block[0])), int(block[0]>>32)
		size := bodyWords(n)
		body, target := block[1:1+size], words[chunk*chunkWords:(chunk+1)*chunkWords]
		block = block[1+size:]
		if n >= denseFrom {
			for i, w := range body {
				target[i] |= w
			}
			continue
		}
		for i, w := range body {
			for range min(4, n-4*i) {
				low := w & (chunkDocs - 1)
				target[low/64] |= 1 << (low % 64)
				w >>= 16
			}
		}
	}
}

// blockValid reports whether uniteBlock keeps within a number of chunks.
func blockValid(block []uint64, chunks int) bool {
	for len(block) > 0 {
		n := block[0] >> 32
		if int64(uint32(block[0])) >= int64(chunks) || n == 0 || n > chunkDocs {
			return false
		}
		size := bodyWords(int(n))
		if len(block) < 1+size {
			return false
		}
		block = block[1+size:]
	}
	return true
}
