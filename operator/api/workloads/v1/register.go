package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sextantdb/sextant/operator/api/group"
)

// GroupVersion is the group and version of the types of this package.
var GroupVersion = schema.GroupVersion{Group: group.Workloads, Version: "v1"}

// AddToScheme makes the kinds of this package known to scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &InstanceSet{}, &InstanceSetList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
