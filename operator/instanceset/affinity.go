package instanceset

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// operators of selectors of nodes, in the words of selectors of labels.
var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn, corev1.NodeSelectorOpExists: selection.Exists,
	corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist, corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

// termSelects tells whether a node is what a term asks for. A term that can't be read selects all: then
// nothing is concluded from it.
func termSelects(t *corev1.NodeSelectorTerm, n *corev1.Node) bool {
	fields := labels.Set{"metadata.name": n.Name}
	return matches(t.MatchExpressions, labels.Set(n.Labels)) && matches(t.MatchFields, fields) && len(t.MatchExpressions)+len(t.MatchFields) > 0
}

func matches(list []corev1.NodeSelectorRequirement, set labels.Set) bool {
	for i := range list {
		r, err := labels.NewRequirement(list[i].Key, operators[list[i].Operator], list[i].Values)
		if err == nil && !r.Matches(set) {
			return false
		}
	}
	return true
}

// selects tells whether a node is among those that a selector names.
func selects(s *corev1.NodeSelector, n *corev1.Node) bool {
	for i := range s.NodeSelectorTerms {
		if termSelects(&s.NodeSelectorTerms[i], n) {
			return true
		}
	}
	return false
}
