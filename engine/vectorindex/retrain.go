package vectorindex

// retraining is a new codec whose codes are being made while the old ones serve.
// The graph stays: its links depend on the vectors, not on the codec.
type retraining struct {
	codes *codes
	gen   *generation
}

// stepRetraining trains a codec, and if it differs from the one there is encodes a piece, or swaps when all is encoded.
func (ix *Index) stepRetraining(v *view) error {
	if r := ix.retrain; r != nil && (r.gen != v.gen || r.codes.config != ix.config.Load().Quantization) {
		ix.dropRetraining() // overtaken by a vacuum or the user
	}
	if ix.retrain == nil {
		c, err := ix.train(v)
		if err != nil {
			return err
		}
		if c == nil {
			ix.publish(func(v *view) *view { v.setCodes(nil); return v })
			return nil
		}
		if !ix.mustRetrain(v) && v.codes.codec.Alike(c.codec) {
			v.codes.suits.Store(int64(c.trained))
			c.release()
			return nil
		}
		ix.retrain = &retraining{codes: c, gen: v.gen}
		return nil
	}
	r := ix.retrain
	from := r.codes.rows.Load()
	to := min(v.rows(), from+encodeStep)
	if int(to) > r.codes.capacity {
		bigger, err := r.codes.grow(ix.capacityFor(int(to)), ix.opts.Account)
		if err != nil {
			return err
		}
		r.codes.release()
		r.codes = bigger
	}
	fit, err := ix.encode(v, r.codes, from, to)
	if err != nil {
		return err
	}
	if from == 0 {
		ix.fit = fit
	} else {
		ix.fit.Add(fit)
	}
	r.codes.rows.Store(to)
	if int(to) < v.graphRows() || to < v.rows() {
		return nil
	}
	ix.retrain = nil
	ix.drifted.Store(false)
	ix.publish(func(v *view) *view { v.setCodes(r.codes); return v })
	return nil
}

// dropRetraining gives up a codec in the making.
func (ix *Index) dropRetraining() {
	if ix.retrain != nil {
		ix.retrain.codes.release()
		ix.retrain = nil
	}
}
