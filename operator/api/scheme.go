// Package api gathers the API types of the operator. The types themselves are in one
// package a group and version below it; what they mean is in docs/kubernetes.md.
package api

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
)

// NewScheme returns a scheme that knows the kinds of the operator and those of
// Kubernetes itself.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme,
		appsv1.AddToScheme,
		workloadsv1.AddToScheme,
		operationsv1alpha1.AddToScheme,
		dataprotectionv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API types: %w", err)
		}
	}
	return scheme, nil
}
