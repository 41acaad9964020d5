package observe_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/observe"
)

func TestParseFilter(t *testing.T) {
	f := func(expr, component string, want slog.Level, ignored ...string) {
		t.Helper()
		filter, got := observe.ParseFilter(expr)
		require.Equal(t, want, filter.Level(component), "%q for %q", expr, component)
		require.Equal(t, ignored, got, expr)
	}
	f("", "", slog.LevelInfo)
	f("debug", "x", slog.LevelDebug)
	f("WARN", "", slog.LevelWarn)
	f("TRACE,raft::raft=info", "", observe.LevelTrace)
	f("TRACE,raft::raft=info", "raft/raft", slog.LevelInfo)
	f("TRACE,raft::raft=info", "raft/raft/log", slog.LevelInfo)
	f("TRACE,raft::raft=info", "raft/rafter", observe.LevelTrace)
	f("info,shard=debug,shard/optimizer=error", "shard/optimizer", slog.LevelError)
	f("info,shard/optimizer=error,shard=debug", "shard/optimizer", slog.LevelError)
	f("info,shard=debug,shard=warn", "shard", slog.LevelWarn)
	f("warn,rest", "rest", observe.LevelTrace)
	f("warn,[span{a=1,b=2}]=debug", "rest", slog.LevelWarn, "[span{a=1,b=2}]=debug")
	f("warn,rest=loud,,", "rest", slog.LevelWarn, "rest=loud")
	f("=debug", "", slog.LevelInfo, "=debug")
}

func TestFilterIsAskedPerComponent(t *testing.T) {
	var out bytes.Buffer
	logger, closeLog, err := observe.New(observe.Options{Out: &out, Level: "warn,shard=debug", Format: "json"})
	require.NoError(t, err)
	shard := observe.Component(logger, "shard")
	logger.Info("not kept")
	shard.WithGroup("g").Debug("kept", "a", 1)
	shard.Log(t.Context(), observe.LevelTrace, "not kept")
	require.NoError(t, closeLog())

	var record map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &record), out.String())
	require.Equal(t, "kept", record["msg"])
	require.Equal(t, "shard", record["component"])
}

func TestTextToFileAndTerminal(t *testing.T) {
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "logs", "node.log")
	logger, closeLog, err := observe.New(observe.Options{
		Out: &out, Level: "trace,[x]=1", File: file, FileLevel: "error", FileFormat: "json",
	})
	require.NoError(t, err)
	logger.Log(t.Context(), observe.LevelTrace, "fine grain")
	logger.Error("went wrong", "why", "disk")
	require.NoError(t, closeLog())

	require.Contains(t, out.String(), "ignoring parts of the log level expression")
	require.Contains(t, out.String(), "TRACE fine grain")
	require.NotContains(t, out.String(), "\x1b[", "no colour outside a terminal")
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(kept, []byte("\n")))
	require.Contains(t, string(kept), `"why":"disk"`)
}

func TestUnknownFormat(t *testing.T) {
	_, _, err := observe.New(observe.Options{Format: "xml"})
	require.EqualError(t, err, `log format "xml" is not one of text, json`)
}
