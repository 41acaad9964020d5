// Package observe sets up what a process says about itself: the structured log.
// The commands call New once and hand the logger down; nothing below uses
// slog's default logger.
//
// A part of the program names itself with Component; a Filter decides per
// component from which level on its records are kept.
package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// ComponentKey is the attribute under which a logger carries its component.
const ComponentKey = "component"

// Options says how to log. The zero Options logs text from level info on to
// standard output, in colour if that is a terminal.
type Options struct {
	// Out receives the log; nil is standard output.
	Out io.Writer
	// Level is a level or a filter expression, see ParseFilter.
	Level string
	// Format is "text" or "json"; "" is text.
	Format string
	// Color forces colour on or off; nil asks whether Out is a terminal.
	Color *bool
	// File also writes the log to this file when not empty; it is appended to.
	File string
	// FileLevel and FileFormat are Level and Format of the file.
	FileLevel, FileFormat string
}

// New makes the process's logger. close closes the log file, if there is one.
// What was not understood of the filter expressions is logged as a warning.
func New(o Options) (logger *slog.Logger, closeLog func() error, err error) {
	if o.Out == nil {
		o.Out = os.Stdout
	}
	closeLog = func() error { return nil }
	color := isTerminal(o.Out)
	if o.Color != nil {
		color = *o.Color
	}
	handler, ignored, err := newHandler(o.Out, o.Level, o.Format, color)
	if err != nil {
		return nil, nil, err
	}
	if o.File != "" {
		if err := os.MkdirAll(filepath.Dir(o.File), 0o755); err != nil {
			return nil, nil, fmt.Errorf("make log directory: %w", err)
		}
		f, err := os.OpenFile(o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("open log file: %w", err)
		}
		fileHandler, more, err := newHandler(f, o.FileLevel, o.FileFormat, false)
		if err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
		ignored = append(ignored, more...)
		handler, closeLog = slog.NewMultiHandler(handler, fileHandler), f.Close
	}
	logger = slog.New(handler)
	if len(ignored) > 0 {
		logger.Warn("ignoring parts of the log level expression", "parts", strings.Join(ignored, ","))
	}
	return logger, closeLog, nil
}

// Component returns a logger for one part of the program. Names have slashes
// where a part has parts: "oplog", "rest", "shard/optimizer".
func Component(l *slog.Logger, name string) *slog.Logger { return l.With(ComponentKey, name) }

func newHandler(w io.Writer, level, format string, color bool) (slog.Handler, []string, error) {
	filter, ignored := ParseFilter(level)
	lowest := filter.min()
	var inner slog.Handler
	switch strings.ToLower(format) {
	case "", "text":
		inner = tint.NewTextHandler(w, &tint.Options{
			Level: lowest, NoColor: !color, TimeFormat: "2006-01-02T15:04:05.000Z07:00", ReplaceAttr: nameTrace,
		})
	case "json":
		inner = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: lowest, ReplaceAttr: nameTrace})
	default:
		return nil, nil, fmt.Errorf("log format %q is not one of text, json", format)
	}
	return &filtered{Handler: inner, filter: &filter, level: filter.Level("")}, ignored, nil
}

// nameTrace spells LevelTrace, which slog would print as DEBUG-4.
func nameTrace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if lvl, ok := a.Value.Any().(slog.Level); ok && lvl <= LevelTrace {
			a.Value = slog.StringValue("TRACE")
		}
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// filtered asks the filter for the level of the component that a logger was
// given; the component is looked up once per logger, not per record.
type filtered struct {
	slog.Handler
	filter *Filter
	level  slog.Level
}

// Enabled implements slog.Handler.
func (h *filtered) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// WithAttrs implements slog.Handler.
func (h *filtered) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := &filtered{Handler: h.Handler.WithAttrs(attrs), filter: h.filter, level: h.level}
	for _, a := range attrs {
		if a.Key == ComponentKey {
			next.level = h.filter.Level(a.Value.String())
		}
	}
	return next
}

// WithGroup implements slog.Handler.
func (h *filtered) WithGroup(name string) slog.Handler {
	return &filtered{Handler: h.Handler.WithGroup(name), filter: h.filter, level: h.level}
}
