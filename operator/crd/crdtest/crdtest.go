// Package crdtest does in a test what the API server does with an object of our
// kinds before it stores it: refuse unknown and duplicate fields, fill in defaults,
// check the schema, and evaluate the CEL rules, also those between the old and the
// new object. It needs no server, so manifests and the objects that the operator
// builds are checked in every test run.
package crdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// ErrUnknownKind is what Create and Update return for kinds that have no definition.
var ErrUnknownKind = errors.New("no definition of this kind")

// Server stands for an API server that knows a set of definitions. It stores
// nothing.
type Server struct {
	definitions []apiextensionsv1.CustomResourceDefinition
	kinds       map[schema.GroupVersionKind]*kind
}

type kind struct {
	namespaced, status bool
	structural         *structuralschema.Structural
	schema             validation.SchemaValidator
	rules              *cel.Validator
}

// Load reads the definitions of a directory. Like the API server it refuses those
// that aren't valid, such as rules whose cost it can't bound.
func Load(dir string) (*Server, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("there are no definitions in %s", dir))
	}
	scheme := runtime.NewScheme()
	apiextensionsinstall.Install(scheme)
	s := &Server{kinds: map[schema.GroupVersionKind]*kind{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := s.add(scheme, definition); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return s, nil
}

func (s *Server) add(scheme *runtime.Scheme, definition apiextensionsv1.CustomResourceDefinition) error {
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&definition)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
	var internal apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&definition, &internal, nil); err != nil {
		return fmt.Errorf("convert the definition: %w", err)
	}
	for _, version := range definition.Spec.Versions {
		if version.Storage { // what the API server does when a definition is created
			internal.Status.StoredVersions = []string{version.Name}
		}
	}
	if errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), &internal); len(errs) > 0 {
		return errs.ToAggregate()
	}
	s.definitions = append(s.definitions, definition)
	for _, version := range definition.Spec.Versions {
		holder, err := apiextensions.GetSchemaForVersion(&internal, version.Name)
		if err != nil {
			return err
		}
		structural, err := structuralschema.NewStructural(holder.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		schemaValidator, _, err := validation.NewSchemaValidator(holder.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		gvk := schema.GroupVersionKind{Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind}
		s.kinds[gvk] = &kind{
			namespaced: definition.Spec.Scope == apiextensionsv1.NamespaceScoped,
			status:     version.Subresources != nil && version.Subresources.Status != nil,
			structural: structural,
			schema:     schemaValidator,
			rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
		}
	}
	return nil
}

// Definitions returns the definitions.
func (s *Server) Definitions() []apiextensionsv1.CustomResourceDefinition { return s.definitions }

// Create returns the object as it would be stored: with defaults, without status.
func (s *Server) Create(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	k, err := s.kind(object)
	if err != nil {
		return nil, err
	}
	object = object.DeepCopy()
	if k.status {
		unstructured.RemoveNestedField(object.Object, "status")
	}
	errs := k.prepare(object)
	errs = append(errs, metavalidation.ValidateObjectMetaAccessor(object, k.namespaced,
		metavalidation.NameIsDNSSubdomain, field.NewPath("metadata"))...)
	errs = append(errs, validation.ValidateCustomResource(nil, object.UnstructuredContent(), k.schema)...)
	return k.finish(object, nil, errs)
}

// Update returns the object as it would be stored in the place of old: with
// defaults, with the status of old.
func (s *Server) Update(object, old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return s.update(object, old, "spec", "status")
}

// UpdateStatus returns old with the status of object.
func (s *Server) UpdateStatus(object, old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return s.update(object, old, "status", "spec")
}

func (s *Server) update(object, old *unstructured.Unstructured, written, kept string) (*unstructured.Unstructured, error) {
	k, err := s.kind(object)
	if err != nil {
		return nil, err
	}
	object = object.DeepCopy()
	if k.status || kept == "spec" {
		if value, ok := old.Object[kept]; ok {
			object.Object[kept] = runtime.DeepCopyJSONValue(value)
		} else {
			delete(object.Object, kept)
		}
	} else if written == "status" {
		return nil, fmt.Errorf("%s has no status subresource", object.GetKind())
	}
	errs := k.prepare(object)
	errs = append(errs, validation.ValidateCustomResourceUpdate(nil, object.UnstructuredContent(), old.UnstructuredContent(), k.schema)...)
	return k.finish(object, old.UnstructuredContent(), errs)
}

func (s *Server) kind(object *unstructured.Unstructured) (*kind, error) {
	gvk := object.GroupVersionKind()
	if k, ok := s.kinds[gvk]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownKind, gvk)
}

// prepare refuses unknown fields, as a client asks for that validates strictly, and
// fills in defaults.
func (k *kind) prepare(object *unstructured.Unstructured) field.ErrorList {
	var errs field.ErrorList
	content := object.UnstructuredContent()
	unknown := pruning.PruneWithOptions(content, k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	slices.Sort(unknown)
	for _, path := range unknown {
		errs = append(errs, field.Invalid(field.NewPath(path), nil, "unknown field"))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(content, k.structural)
	defaulting.Default(content, k.structural)
	return errs
}

func (k *kind) finish(object *unstructured.Unstructured, old map[string]any, errs field.ErrorList) (*unstructured.Unstructured, error) {
	content := object.UnstructuredContent()
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, content)...)
	if k.rules != nil && len(errs) == 0 { // rules are written for objects that fit the schema
		var before any
		if old != nil {
			before = old
		}
		broken, _ := k.rules.Validate(context.Background(), nil, k.structural, content, before, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	if len(errs) > 0 {
		return nil, refusal(errs)
	}
	return object, nil
}

// refusal makes one error of all, a line each, in a fixed order and without the
// values, which may be whole objects.
func refusal(errs field.ErrorList) error {
	var lines []string
	for _, err := range errs {
		path := err.Field
		if path == "<nil>" || path == "" {
			path = "object"
		}
		detail := err.Detail
		if detail == "" {
			detail = err.ErrorBody()
		}
		lines = append(lines, path+": "+detail)
	}
	slices.Sort(lines)
	return errors.New(strings.Join(slices.Compact(lines), "\n"))
}
