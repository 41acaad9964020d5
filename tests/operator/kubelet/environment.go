package kubelet

import (
	"context"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	reference = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)`)
	metadata  = regexp.MustCompile(`^metadata\.(labels|annotations)\['(.+)'\]$`)
)

// environment resolves the variables of a container as they are when it starts.
func (k *Kubelet) environment(ctx context.Context, p *corev1.Pod, c *corev1.Container, ip string) (map[string]string, error) {
	env := map[string]string{}
	for i := range c.EnvFrom {
		if err := k.envFrom(ctx, &c.EnvFrom[i], env); err != nil {
			return nil, err
		}
	}
	for i := range c.Env {
		v := &c.Env[i]
		value, ok, err := k.variable(ctx, p, v, ip)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		env[v.Name] = reference.ReplaceAllStringFunc(value, func(ref string) string {
			if known, ok := env[reference.FindStringSubmatch(ref)[1]]; ok && v.ValueFrom == nil {
				return known
			}
			return ref
		})
	}
	return env, nil
}

func (k *Kubelet) envFrom(ctx context.Context, from *corev1.EnvFromSource, env map[string]string) error {
	var all map[string]string
	var err error
	switch {
	case from.ConfigMapRef != nil:
		all, err = k.configMap(ctx, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
	case from.SecretRef != nil:
		all, err = k.secret(ctx, from.SecretRef.Name, from.SecretRef.Optional)
	}
	for name, value := range all {
		env[from.Prefix+name] = value
	}
	return err
}

// variable resolves one; not ok is one that is left out.
func (k *Kubelet) variable(ctx context.Context, p *corev1.Pod, v *corev1.EnvVar, ip string) (value string, ok bool, err error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		return v.Value, true, nil
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		all, err := k.configMap(ctx, ref.Name, ref.Optional)
		return keyOf(all, err, ref.Name, ref.Key, ref.Optional)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		all, err := k.secret(ctx, ref.Name, ref.Optional)
		return keyOf(all, err, ref.Name, ref.Key, ref.Optional)
	case from.FieldRef != nil:
		fields := map[string]string{
			"metadata.name": p.Name, "metadata.namespace": p.Namespace, "metadata.uid": string(p.UID),
			"spec.nodeName": p.Spec.NodeName, "spec.serviceAccountName": p.Spec.ServiceAccountName, "status.podIP": ip,
		}
		value, ok := fields[from.FieldRef.FieldPath]
		if entry := metadata.FindStringSubmatch(from.FieldRef.FieldPath); entry != nil {
			value, ok = map[string]map[string]string{"labels": p.Labels, "annotations": p.Annotations}[entry[1]][entry[2]], true
		}
		if !ok {
			return "", false, fmt.Errorf("the stand-in doesn't know the field %s", from.FieldRef.FieldPath)
		}
		return value, true, nil
	default: // resources are of no interest here
		return "", true, nil
	}
}

func keyOf(all map[string]string, err error, name, key string, optional *bool) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, ok := all[key]
	if !ok && (optional == nil || !*optional) {
		return "", false, fmt.Errorf("couldn't find key %s in %s", key, name)
	}
	return value, ok, nil
}

func (k *Kubelet) configMap(ctx context.Context, name string, optional *bool) (map[string]string, error) {
	var m corev1.ConfigMap
	err := k.client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: name}, &m)
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the config map %s: %w", name, err)
	}
	return m.Data, nil
}

func (k *Kubelet) secret(ctx context.Context, name string, optional *bool) (map[string]string, error) {
	var s corev1.Secret
	err := k.client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: name}, &s)
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the secret %s: %w", name, err)
	}
	all := map[string]string{}
	for key, value := range s.Data {
		all[key] = string(value)
	}
	return all, nil
}
