package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/server/config"
)

// TestScripts plays testdata/*.txt. Commands:
//
//	file PATH       the input becomes the content of a file below the directory
//	rm PATH         removes it
//	env             the input lines become the environment
//	load [path=F] [flags=(k=v,…)] show=(key,…)
//	                loads and prints notes, then the named values or the error
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, script string) {
		t.Helper()
		dir := t.TempDir()
		environ := []string{}
		datadriven.RunTest(t, script, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			switch d.Cmd {
			case "file":
				name := filepath.Join(dir, d.CmdArgs[0].Key)
				require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
				require.NoError(t, os.WriteFile(name, []byte(d.Input), 0o600))
				return ""
			case "rm":
				require.NoError(t, os.Remove(filepath.Join(dir, d.CmdArgs[0].Key)))
				return ""
			case "env":
				environ = strings.Split(strings.TrimSpace(d.Input), "\n")
				return ""
			case "load":
				return load(t, d, dir, environ)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func load(t *testing.T, d *datadriven.TestData, dir string, environ []string) string {
	t.Helper()
	o := config.Options{Dir: dir, Environ: environ, Flags: map[string]any{}}
	var show []string
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "path":
			o.Path = filepath.Join(dir, arg.Vals[0])
		case "flags":
			for _, v := range arg.Vals {
				key, value, _ := strings.Cut(v, ":")
				o.Flags[key] = value
			}
		case "show":
			show = arg.Vals
		}
	}
	var out strings.Builder
	cfg, notes, err := config.Load(o)
	for _, n := range notes {
		fmt.Fprintf(&out, "note (warn=%t): %s\n", n.Warn, strings.ReplaceAll(n.Text, dir+"/", ""))
	}
	if err != nil {
		out.WriteString("error: " + strings.ReplaceAll(err.Error(), dir+"/", "") + "\n")
		return out.String()
	}
	for _, key := range show {
		fmt.Fprintf(&out, "%s = %s\n", key, value(t, reflect.ValueOf(*cfg), key))
	}
	return out.String()
}

// value finds a key in a Config by its tags and prints it.
func value(t *testing.T, v reflect.Value, key string) string {
	t.Helper()
	head, rest, deeper := strings.Cut(key, ".")
	for i := range v.NumField() {
		names, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("cfg"), ",")
		for name := range strings.SplitSeq(names, "|") {
			if name != head {
				continue
			}
			if deeper {
				return value(t, v.Field(i), rest)
			}
			f := v.Field(i)
			if f.Kind() == reflect.Pointer {
				if f.IsNil() {
					return "null"
				}
				f = f.Elem()
			}
			return fmt.Sprintf("%v", f.Interface())
		}
	}
	require.Fail(t, "no such key", key)
	return ""
}

func TestDocumentedFileEqualsDefaults(t *testing.T) {
	want, notes, err := config.Load(config.Options{Dir: t.TempDir(), Environ: []string{}})
	require.NoError(t, err)
	require.Empty(t, notes)
	got, notes, err := config.Load(config.Options{Dir: filepath.Join("..", ".."), Environ: []string{"RUN_MODE=none"}})
	require.NoError(t, err)
	require.Empty(t, notes, "every key in config/config.yaml is known and takes effect")
	require.Equal(t, want, got)
}

func TestSecretsDoNotPrint(t *testing.T) {
	cfg, _, err := config.Load(config.Options{Dir: t.TempDir(), Environ: []string{"QDRANT__SERVICE__API_KEY=sesame"}})
	require.NoError(t, err)
	require.Equal(t, "sesame", string(cfg.Service.APIKey))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, *cfg), "sesame", verb)
	}
}

// TestAnyEnvironmentIsAnsweredWithoutPanic throws arbitrary values at real keys.
func TestAnyEnvironmentIsAnsweredWithoutPanic(t *testing.T) {
	keys := []string{
		"SERVICE", "SERVICE__HTTP_PORT", "SERVICE__HTTP_PORT__X", "SERVICE__API_KEY", "STORAGE__OPTIMIZERS",
		"STORAGE__OPTIMIZERS__MAX_OPTIMIZATION_THREADS", "LOGGER__COLOR", "__", "", "A____B", "FEATURE_FLAGS__ALL",
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var environ []string
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			val := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"true", "8", "-1", "1e400", "null", "auto"})).Draw(t, "value")
			environ = append(environ, "QDRANT__"+key+"="+val)
		}
		cfg, _, err := config.Load(config.Options{Dir: dir, Environ: append(environ, "RUN_MODE=none")})
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
	})
}
