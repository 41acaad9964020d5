package distance

import "math"

// Near is a row and its distance.
type Near struct {
	Distance float32
	Row      uint32
}

// InsertNear puts rows, one after the other, into a list of at most limit entries, nearest first. Each
// goes behind those that are not farther. Once the list is full, what isn't nearer than its last is left
// out, and for what is, the last falls out. A distance that is not a number counts as infinite. There must be
// room behind the list for the rows, or up to limit. It returns the list, and the lowest position that changed: the length
// from before when none did.
func (k *Kernels) InsertNear(list []Near, limit int, rows []uint32, distances []float32) (longer []Near, low int) {
	low = len(list)
	for len(rows) > 0 && limit > 0 {
		n := min(len(rows), insertedAtOnce)
		var at int
		list, at = k.insertNear(list, limit, rows[:n], distances[:n])
		low = min(low, at)
		rows, distances = rows[n:], distances[n:]
	}
	return list, low
}

// insertedAtOnce is how many rows a kernel of InsertNear takes: as many as a register has distances.
const insertedAtOnce = 8

func (k *Kernels) insertNear(list []Near, limit int, rows []uint32, distances []float32) (longer []Near, low int) {
	room := list[:min(limit, len(list)+len(rows))]
	if n, low, ok := k.insertNearNative(room, len(list), limit, rows, distances); ok {
		return room[:n], low
	}
	low = len(list)
	for i, d := range distances {
		end := len(list)
		switch {
		case end < limit:
			if d != d { // not a number
				d = float32(math.Inf(1))
			}
			list = list[:end+1]
		case d < list[end-1].Distance:
			end--
		default:
			continue
		}
		at := rank(list[:end], d)
		copy(list[at+1:end+1], list[at:end])
		list[at] = Near{d, rows[i]}
		low = min(low, at)
	}
	return list, low
}

const (
	// halved is the number of entries above which rank goes by halves.
	halved = 128
	// stride is how far apart the entries are that rank compares first.
	stride = 8
)

// rank returns how many of a list, nearest first, are not farther than d. It counts
// every eighth, then those between two of them: a branch on a distance, such as Go makes
// of a halving, is mispredicted every other time, which takes longer than a dozen
// comparisons that don't wait for each other.
func rank(list []Near, d float32) int {
	from := 0
	for len(list) > halved {
		if half := len(list) / 2; list[half-1].Distance <= d {
			from += half
			list = list[half:]
		} else {
			list = list[:half]
		}
	}
	strides := 0
	for i := stride - 1; i < len(list); i += stride {
		strides += notFarther(list[i].Distance, d)
	}
	list = list[strides*stride:]
	n := 0
	for _, c := range list[:min(stride, len(list))] {
		n += notFarther(c.Distance, d)
	}
	return from + strides*stride + n
}

// notFarther returns 1 or 0 without a branch.
func notFarther(a, d float32) int {
	if a <= d {
		return 1
	}
	return 0
}
