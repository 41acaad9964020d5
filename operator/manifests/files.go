package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// The variables of configurations that mean something to the operator itself.
const (
	// VariableKey is the API key. It goes into a Secret, not into the files.
	VariableKey = "service_api_key"
	// VariableFactor is the replication factor of collections that name none.
	VariableFactor = "default_replication_factor"
)

// DefaultFactor is the replication factor of a component that is created with so many replicas.
func DefaultFactor(replicas int32) int {
	if replicas > 1 {
		return 2
	}
	return 1
}

// fileTemplates are the templates whose files the operator makes.
func (s *Source) fileTemplates() []appsv1.FileTemplate {
	all := slices.Concat(s.Definition.Spec.Configs, s.Definition.Spec.Scripts)
	return slices.DeleteFunc(all, func(t appsv1.FileTemplate) bool { return t.ExternalManaged != nil && *t.ExternalManaged })
}

// FilesConfigMaps has the rendered files of each template.
func (s *Source) FilesConfigMaps() ([]*corev1.ConfigMap, error) {
	if err := s.checkConfigs(); err != nil {
		return nil, err
	}
	var all []*corev1.ConfigMap
	for _, t := range s.fileTemplates() {
		files, err := s.render(&t)
		if err != nil {
			return nil, err
		}
		cm := &corev1.ConfigMap{ObjectMeta: s.meta(s.filesConfigMap(t.Name)), Data: files}
		cm.Annotations = map[string]string{naming.AnnotationFactor: strconv.Itoa(s.ReplicationFactor)}
		all = append(all, cm)
	}
	return all, nil
}

// revisions are the hashes of the files by template, and one of all that pods must be replaced for.
func (s *Source) revisions() ([]workloadsv1.ConfigRevision, string, error) {
	maps, err := s.FilesConfigMaps()
	if err != nil {
		return nil, "", err
	}
	var revisions []workloadsv1.ConfigRevision
	decisive := []string{s.KeyRevision}
	for i, t := range s.fileTemplates() {
		restart := t.RestartOnFileChange != nil && *t.RestartOnFileChange
		hash := hashOf(maps[i].Data)
		if restart {
			decisive = append(decisive, t.Name, hash)
		}
		revisions = append(revisions, workloadsv1.ConfigRevision{Name: t.Name, ConfigHash: hash, RestartOnFileChange: restart})
	}
	return revisions, hashOf(decisive), nil
}

func hashOf(content any) string {
	raw, err := json.Marshal(content) // keys are sorted
	if err != nil {
		panic(err) // strings, lists and maps of strings
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// checkConfigs refuses variables of configurations that there aren't.
func (s *Source) checkConfigs() error {
	for _, c := range s.Component.Spec.Configs {
		var names []string
		for _, t := range s.Definition.Spec.Configs {
			names = append(names, t.Name)
		}
		if !slices.Contains(names, c.Name) {
			return fmt.Errorf("configs[%s]: definition %s has no such configuration, but %s", c.Name, s.Definition.Name, naming.List(names))
		}
		if factor, ok := c.Variables[VariableFactor]; ok {
			if n, err := strconv.Atoi(factor); err != nil || n < 1 {
				return fmt.Errorf("configs[%s].variables.%s is %q: it must be a number from 1 on", c.Name, VariableFactor, factor)
			}
		}
	}
	return nil
}

// Key returns the API key that the variables of the configurations give, or "".
func Key(settings *appsv1.Settings) string {
	for _, c := range settings.Configs {
		if key := c.Variables[VariableKey]; key != "" {
			return key
		}
	}
	return ""
}

// variables are those of a template: the user's, without the key, and the replication factor.
func (s *Source) variables(name string) map[string]string {
	out := map[string]string{VariableFactor: strconv.Itoa(s.ReplicationFactor)}
	for _, c := range s.Component.Spec.Configs {
		if c.Name == name {
			maps.Copy(out, c.Variables)
		}
	}
	delete(out, VariableKey)
	return out
}

// values are what a template sees (docs/kubernetes.md lists them).
func (s *Source) values(variables map[string]string) map[string]any {
	factor, err := strconv.Atoi(variables[VariableFactor])
	if err != nil {
		factor = s.ReplicationFactor
	}
	values := map[string]any{"variables": variables, "defaultReplicationFactor": factor, "tls": nil}
	if s.TLS {
		values["tls"] = map[string]string{
			"ca": s.tlsPath(naming.AuthorityEntry), "cert": s.tlsPath(corev1.TLSCertKey), "key": s.tlsPath(corev1.TLSPrivateKeyKey),
		}
	}
	return values
}

// render makes the files of a template.
func (s *Source) render(t *appsv1.FileTemplate) (map[string]string, error) {
	texts, ok := s.Templates[t.Name]
	if !ok {
		return nil, fmt.Errorf("template %s: its ConfigMap %s isn't there", t.Name, t.Template)
	}
	variables := s.variables(t.Name)
	known := map[string]bool{VariableFactor: true, VariableKey: true}
	files := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		where := fmt.Sprintf("template %s, file %s", t.Name, name)
		parsed, err := template.New(name).Option("missingkey=error").Funcs(functions()).Parse(texts[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		variablesOf(parsed.Root, known)
		var out strings.Builder
		if err := parsed.Execute(&out, s.values(variables)); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
			var content any
			if err := yaml.Unmarshal([]byte(out.String()), &content); err != nil {
				return nil, fmt.Errorf("%s: with these variables it is no YAML: %w", where, err)
			}
		}
		files[name] = out.String()
	}
	for name := range variables {
		if !known[name] {
			return nil, fmt.Errorf("configs[%s].variables.%s: the template has no such variable, but %s", t.Name, name,
				naming.List(slices.Sorted(maps.Keys(known))))
		}
	}
	return files, nil
}

// functions are what templates can call beside what Go's templates have.
func functions() template.FuncMap {
	return template.FuncMap{
		// default: {{ index .variables "x" | default "y" }}
		"default": func(otherwise, value string) string {
			if value == "" {
				return otherwise
			}
			return value
		},
		// quote makes a string of YAML and JSON.
		"quote": func(value string) (string, error) {
			raw, err := json.Marshal(value)
			return string(raw), err
		},
	}
}

// variablesOf finds the variables that a template asks for: .variables.x and index .variables "x".
func variablesOf(node parse.Node, known map[string]bool) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			variablesOf(child, known)
		}
	case *parse.ActionNode:
		variablesOf(n.Pipe, known)
	case *parse.IfNode:
		variablesOfBranch(&n.BranchNode, known)
	case *parse.WithNode:
		variablesOfBranch(&n.BranchNode, known)
	case *parse.RangeNode:
		variablesOfBranch(&n.BranchNode, known)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, command := range n.Cmds {
			variablesOfCommand(command, known)
		}
	case *parse.FieldNode:
		variablesOfPath(n.Ident, known)
	case *parse.VariableNode: // $.variables.x
		variablesOfPath(n.Ident[1:], known)
	}
}

func variablesOfBranch(n *parse.BranchNode, known map[string]bool) {
	variablesOf(n.Pipe, known)
	variablesOf(n.List, known)
	variablesOf(n.ElseList, known)
}

func variablesOfPath(path []string, known map[string]bool) {
	if len(path) > 1 && path[0] == "variables" {
		known[path[1]] = true
	}
}

func variablesOfCommand(n *parse.CommandNode, known map[string]bool) {
	for i, arg := range n.Args {
		variablesOf(arg, known)
		if name, ok := arg.(*parse.StringNode); ok && i == 2 && n.Args[0].String() == "index" &&
			strings.HasSuffix(n.Args[1].String(), ".variables") {
			known[name.Text] = true
		}
	}
}
