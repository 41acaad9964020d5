package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/sextantdb/sextant/client"
)

// Word says in one word what is wrong with a call. The words are part of the protocol.
type Word string

// The words.
const (
	NotDefined         Word = "notDefined"
	NotImplemented     Word = "notImplemented"
	PreconditionFailed Word = "preconditionFailed"
	BadRequest         Word = "badRequest"
	InProgress         Word = "inProgress"
	Busy               Word = "busy"
	TimedOut           Word = "timedOut"
	Failed             Word = "failed"
	InternalError      Word = "internalError"
)

// Fault is a word and a sentence.
type Fault struct {
	Word Word
	Text string
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

func fault(w Word, format string, args ...any) error {
	return &Fault{Word: w, Text: fmt.Sprintf(format, args...)}
}

// wordOf finds the word for an error.
func wordOf(err error) Word {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Word
	}
	if errors.Is(err, context.DeadlineExceeded) && !client.IsUnreachable(err) {
		return TimedOut
	}
	return Failed
}
