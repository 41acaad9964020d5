package vectorindex

import "github.com/sextantdb/sextant/engine/segment"

// graphFile is the file that holds the graph.
type graphFile struct {
	info segment.FileInfo
	rows int // for how many rows it stands
	of   *graph
}

func (ix *Index) load() (*view, error) { return nil, nil }

// Freeze marks everything applied so far as belonging to a checkpoint.
func (ix *Index) Freeze() segment.Checkpoint { return nil }
