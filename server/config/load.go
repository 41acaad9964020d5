package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

//go:embed defaults.yaml
var defaults []byte

// envPrefix begins the environment variables that are configuration keys.
const envPrefix = "QDRANT__"

// Options says where to look. The zero Options looks where a started program
// does: the working directory and the process's environment.
type Options struct {
	// Dir is the directory that holds config/; "" is the working directory.
	Dir string
	// Path is the file given on the command line; "" is none.
	Path string
	// Environ is the environment as os.Environ gives it; nil asks the process.
	Environ []string
	// Flags are values set on the command line, dotted key → value.
	Flags map[string]any
}

// Note is something worth a line in the log that doesn't stop the node.
type Note struct {
	// Warn tells a likely mistake from mere information.
	Warn bool
	// Text is a sentence.
	Text string
}

// layer is one source of values, kept apart so that an error can name the place
// a value came from.
type layer struct {
	name   string // "config/config.yaml", "the environment"
	values *koanf.Koanf
	env    bool
	// base marks the compiled-in defaults.
	base bool
}

// Load reads all sources, later ones winning, and checks the values. The error
// lists everything that is wrong. Load does not touch the network and creates
// no file.
func Load(o Options) (*Config, []Note, error) {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	layers, notes, err := collect(o)
	if err != nil {
		return nil, nil, err
	}
	merged := koanf.New(".")
	for _, l := range layers {
		dropEmptyGroups(merged, l.values)
		if err := merged.Merge(l.values); err != nil {
			return nil, nil, fmt.Errorf("merge %s into the configuration: %w", l.name, err)
		}
	}
	cfg := new(Config)
	d := decoder{layers: layers, named: map[string]string{}}
	d.decode(merged.Raw(), cfg)
	if len(d.faults) == 0 { // a check of unread values would only add noise
		cfg.validate(&d)
	}
	if err := d.err(); err != nil {
		return nil, nil, err
	}
	return cfg, append(notes, d.notes...), nil
}

// dropEmptyGroups takes keys without a value out of a source where earlier
// sources have a group: "storage:" with everything below it commented out means
// the defaults, not their absence.
func dropEmptyGroups(earlier, source *koanf.Koanf) {
	for key, value := range source.All() {
		if _, isGroup := earlier.Get(key).(map[string]any); isGroup && isNull(value) {
			source.Delete(key)
		}
	}
}

// collect opens every source.
func collect(o Options) (layers []layer, notes []Note, err error) {
	base, err := parseYAML(defaults)
	if err != nil {
		return nil, nil, fmt.Errorf("read compiled-in defaults: %w", err)
	}
	layers = append(layers, layer{name: "compiled-in defaults", values: base, base: true})

	var faults []error
	mode := lookup(o.Environ, "RUN_MODE")
	if mode == "" {
		mode = "development"
	}
	for _, name := range []string{"config", mode, "local"} {
		l, note, err := findFile(o.Dir, filepath.Join("config", name))
		faults = append(faults, err)
		layers, notes = appendFound(layers, notes, l, note)
	}
	if o.Path != "" {
		l, note, err := findFile("", o.Path)
		if l == nil && err == nil {
			note = &Note{Warn: true, Text: "configuration file " + o.Path + " was not found"}
		}
		faults = append(faults, err)
		layers, notes = appendFound(layers, notes, l, note)
	}
	environ, err := fromEnvironment(o.Environ)
	faults = append(faults, err)
	layers = append(layers, environ)
	if len(o.Flags) > 0 {
		flags := koanf.New(".")
		faults = append(faults, flags.Load(confmap.Provider(o.Flags, "."), nil))
		layers = append(layers, layer{name: "the command line", values: flags})
	}
	return layers, notes, errors.Join(faults...)
}

func appendFound(layers []layer, notes []Note, l *layer, note *Note) ([]layer, []Note) {
	if l != nil {
		layers = append(layers, *l)
	}
	if note != nil {
		notes = append(notes, *note)
	}
	return layers, notes
}

// findFile looks for name as it is and with the endings that can be read. A
// missing file gives nothing at all.
func findFile(dir, name string) (*layer, *Note, error) {
	for _, ending := range []string{"", ".yaml", ".yml", ".json"} {
		path := filepath.Join(dir, name+ending)
		if st, err := os.Stat(path); err != nil || st.IsDir() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("read configuration: %w", err)
		}
		values, err := parseYAML(text)
		if err != nil {
			return nil, nil, fmt.Errorf("read configuration file %s: %w", name+ending, err)
		}
		return &layer{name: name + ending, values: values}, nil, nil
	}
	for _, ending := range []string{".toml", ".ron", ".ini", ".json5"} {
		if _, err := os.Stat(filepath.Join(dir, name+ending)); !errors.Is(err, fs.ErrNotExist) {
			return nil, &Note{Warn: true, Text: name + ending + " is ignored: configuration files are YAML or JSON"}, nil
		}
	}
	return nil, nil, nil
}

// parseYAML reads YAML, of which JSON is a part.
func parseYAML(text []byte) (*koanf.Koanf, error) {
	var m map[string]any
	if err := yaml.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	maps.IntfaceKeysToStrings(m)
	k := koanf.New(".")
	return k, k.Load(confmap.Provider(m, ""), nil)
}

// fromEnvironment makes QDRANT__A__B_C the key a.b_c. An empty value counts as
// not set: that is how compose files and charts leave a variable out.
func fromEnvironment(environ []string) (layer, error) {
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix: envPrefix,
		TransformFunc: func(name, value string) (string, any) {
			if strings.TrimSpace(value) == "" {
				return "", nil
			}
			return envKey(name), value
		},
		EnvironFunc: func() []string { return environ },
	}), nil)
	if err != nil {
		return layer{}, fmt.Errorf("read environment: %w", err)
	}
	return layer{name: "the environment", values: k, env: true}, nil
}

func envKey(name string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "__", "."))
}

// envName is the inverse of envKey.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// lookup finds a variable in an environment; the last one wins.
func lookup(environ []string, name string) (value string) {
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			value = v
		}
	}
	return value
}
