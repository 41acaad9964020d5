// Package catalog knows what can run: which ComponentDefinition, version and images a
// component of a cluster has, and whether the definitions are right.
//
// Resolve and Images are pure. The controllers of this package write the status of the three
// kinds of definitions, an annotation that says which definitions a ComponentVersion fits, and one
// that tells whether a definition has been changed.
//
// Callers: cluster and ops resolve, component looks images up.
package catalog

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// Pattern says which ComponentDefinitions are meant: by name, by the beginning of names, or as a
// regular expression.
type Pattern struct {
	text string
	re   *regexp.Regexp // nil for names and their beginnings
}

// ParsePattern reads a pattern. What consists of letters that names may have is a name or the
// beginning of one, all else a regular expression.
func ParsePattern(text string) (Pattern, error) {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" {
		return Pattern{text: text}, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return Pattern{}, failf(ReasonInvalidPattern, "%q is neither the name of a ComponentDefinition nor a regular expression: %w", text, err)
	}
	return Pattern{text: text, re: re}, nil
}

// Match tells whether a name is meant. The beginning of a name doesn't end within a number:
// qdrant-1.0.2 isn't the beginning of qdrant-1.0.20.
func (p Pattern) Match(name string) bool {
	if p.re != nil {
		return p.re.MatchString(name)
	}
	rest, ok := strings.CutPrefix(name, p.text)
	switch {
	case !ok || p.text == "":
		return false
	case rest == "":
		return true
	default:
		return !digit(rest[0]) || !digit(p.text[len(p.text)-1])
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// matchAny tells whether one of the patterns means a name.
func matchAny(patterns []string, name string) (bool, error) {
	for _, text := range patterns {
		p, err := ParsePattern(text)
		if err != nil {
			return false, err
		}
		if p.Match(name) {
			return true, nil
		}
	}
	return false, nil
}

// atEnd is the version at the end of a name: qdrant-1.2.0-alpha.1.
var atEnd = regexp.MustCompile(`(?:^|[-.])v?([0-9]+(?:\.[0-9]+)*(?:-[0-9A-Za-z.-]+)?)$`)

// CompareVersions orders versions, the older one first. What isn't a version comes before all
// versions.
func CompareVersions(a, b string) int {
	va, errA := parseVersion(a)
	vb, errB := parseVersion(b)
	switch {
	case errA == nil && errB == nil:
		if va.LessThan(vb) {
			return -1
		}
		if vb.LessThan(va) {
			return 1
		}
		return cmp.Compare(a, b)
	case errA == nil:
		return 1
	case errB == nil:
		return -1
	default:
		return cmp.Compare(a, b)
	}
}

// compareNames orders names by the versions at their ends.
func compareNames(a, b string) int {
	if c := CompareVersions(versionOf(a), versionOf(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

func versionOf(name string) string {
	if m := atEnd.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

func parseVersion(text string) (*version.Version, error) {
	if text != "" && strings.Trim(text, "0123456789") == "" {
		text += ".0" // one number alone
	}
	v, err := version.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the version %q: %w", text, err)
	}
	return v, nil
}

// stable tells whether a version is no pre-release.
func stable(text string) bool {
	v, err := parseVersion(text)
	return err == nil && v.PreRelease() == ""
}
