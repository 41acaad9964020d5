// Package manifests says how every object of a component looks: the InstanceSet with the
// template of its pods, services, ConfigMaps, Secrets, the account, the budget for disruptions and the
// network policy. All functions are pure: the same Source gives the same objects, and what is
// impossible is an error for users.
//
// Two rules decide what may stand in the template of the pods. Whatever is in it replaces pods when it
// changes, so nothing in it depends on the number of replicas. And what differs from pod to pod
// is only named there, by $(POD_NAME) in keys of ConfigMaps, labels and annotations, which the controller
// of the InstanceSet replaces.
//
// Callers: component, which adds what it has observed.
package manifests
