package vectorindex

func (f *fixture) checkpoint() {}
func (f *fixture) reopen()     {}
