package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder fills a Config from the merged values. It goes on after a fault, so
// that all of them are found in one run.
type decoder struct {
	layers []layer
	faults []string
	notes  []Note
	// named maps a key to the other name of it that was used.
	named map[string]string
}

// err returns all faults as one error, or nil.
func (d *decoder) err() error {
	switch len(d.faults) {
	case 0:
		return nil
	case 1:
		return errors.New("configuration: " + d.faults[0])
	}
	return fmt.Errorf("configuration has %d faults:\n  %s", len(d.faults), strings.Join(d.faults, "\n  "))
}

// fault notes what is wrong with a key and where its value came from.
func (d *decoder) fault(key, format string, args ...any) {
	if used, ok := d.named[key]; ok {
		key = used
	}
	d.faults = append(d.faults, key+": "+fmt.Sprintf(format, args...)+d.origin(key))
}

// origin names the last source that set a key.
func (d *decoder) origin(key string) string {
	for _, l := range slices.Backward(d.layers) {
		if !l.values.Exists(key) {
			continue
		}
		if l.env {
			return " (from " + envName(key) + ")"
		}
		return " (from " + l.name + ")"
	}
	return ""
}

// setByUser tells whether a source other than the defaults has the key.
func (d *decoder) setByUser(key string) bool {
	return slices.ContainsFunc(d.layers, func(l layer) bool { return !l.base && l.values.Exists(key) })
}

// decode fills cfg from the root of the merged values.
func (d *decoder) decode(values map[string]any, cfg *Config) {
	d.group("", values, reflect.ValueOf(cfg).Elem())
}

// group fills one struct from one map.
func (d *decoder) group(prefix string, values map[string]any, into reflect.Value) {
	known := make(map[string]bool, into.NumField())
	for i := range into.NumField() {
		tag := into.Type().Field(i).Tag.Get("cfg")
		names, flag, _ := strings.Cut(tag, ",")
		for name := range strings.SplitSeq(names, "|") {
			known[name] = true
		}
		key, value, ok := d.pick(prefix, names, values)
		if !ok {
			continue
		}
		if flag == "inert" && d.setByUser(key) {
			d.notes = append(d.notes, Note{Text: key + " has no effect in this version"})
		}
		d.value(key, value, into.Field(i))
	}
	for _, name := range sortedKeys(values) {
		if !known[name] {
			d.notes = append(d.notes, Note{Text: "unknown key " + prefix + name + " is ignored" + d.origin(prefix+name)})
		}
	}
}

// pick finds the value of a key that may have two names. The name set by the
// later source wins; in the same source, the first name.
func (d *decoder) pick(prefix, names string, values map[string]any) (key string, value any, ok bool) {
	best := -1
	for name := range strings.SplitSeq(names, "|") {
		v, has := values[name]
		if !has {
			continue
		}
		if at := d.lastLayer(prefix + name); at > best {
			best, key, value, ok = at, prefix+name, v, true
		}
	}
	if first, _, _ := strings.Cut(names, "|"); ok && key != prefix+first {
		d.named[prefix+first] = key
	}
	return key, value, ok
}

func (d *decoder) lastLayer(key string) int {
	for i, l := range slices.Backward(d.layers) {
		if l.values.Exists(key) {
			return i
		}
	}
	return 0
}

// value fills one field.
func (d *decoder) value(key string, v any, into reflect.Value) {
	if sub, ok := reflect.TypeAssert[*Subtree](into.Addr()); ok {
		sub.Value = v
		return
	}
	if into.Kind() == reflect.Struct {
		switch m := v.(type) {
		case map[string]any:
			d.group(key+".", m, into)
		case nil: // "service:" with nothing below it
		default:
			d.fault(key, "%s is not a group of keys", show(v))
		}
		return
	}
	if isNull(v) {
		if into.Kind() == reflect.Pointer || into.Kind() == reflect.String {
			into.SetZero()
		} else if d.setByUser(key) {
			d.fault(key, "must have a value")
		}
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	d.scalar(key, v, into)
}

// scalar fills one field of a plain kind, accepting the text forms that an
// environment variable or a quoted value has.
func (d *decoder) scalar(key string, v any, into reflect.Value) {
	if into.Type() == reflect.TypeFor[Threads]() && strings.EqualFold(text(v), "auto") {
		into.SetInt(int64(AutoThreads))
		return
	}
	switch into.Kind() {
	case reflect.String:
		if _, ok := v.(map[string]any); ok {
			d.fault(key, "%s is not a text", show(v))
			return
		}
		into.SetString(text(v))
	case reflect.Bool:
		b, ok := parseBool(text(v))
		if !ok {
			d.fault(key, "%s is neither true nor false", show(v))
			return
		}
		into.SetBool(b)
	case reflect.Int:
		n, ok := parseInt(v)
		if !ok {
			d.fault(key, "%s is not a whole number", show(v))
			return
		}
		into.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.TrimSpace(text(v)), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			d.fault(key, "%s is not a number", show(v))
			return
		}
		into.SetFloat(f)
	default:
		d.fault(key, "can't be set")
	}
}

// isNull tells values that mean "not set".
func isNull(v any) bool {
	s, ok := v.(string)
	return v == nil || ok && (strings.EqualFold(s, "null") || s == "~")
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off":
		return false, true
	}
	return false, false
}

// parseInt accepts whole numbers however they are written: 8, "8", 8.0, 1_000.
func parseInt(v any) (int64, bool) {
	s := strings.ReplaceAll(strings.TrimSpace(text(v)), "_", "")
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// text is a scalar as it was written.
func text(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// show prints a value in an error message, cut when it is long.
func show(v any) string {
	s := text(v)
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
