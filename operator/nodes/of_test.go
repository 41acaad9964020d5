package nodes_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

func component(env ...corev1.EnvVar) *appsv1.Component {
	c := &appsv1.Component{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "c-qdrant", Labels: map[string]string{naming.LabelInstance: "c"},
	}}
	c.Spec.Env = env
	return c
}

func secret(name, key, value string) client.Object {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}, Data: map[string][]byte{key: []byte(value)}}
}

func TestWhereTheKeyIsFrom(t *testing.T) {
	ref := func(name string, optional bool) corev1.EnvVar {
		return corev1.EnvVar{Name: "QDRANT__SERVICE__API_KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: "k", Optional: &optional,
		}}}
	}
	made := secret("c-qdrant-api-key", "api-key", "made")
	for name, one := range map[string]struct {
		c       *appsv1.Component
		objects []client.Object
		key     string
		wrong   string
	}{
		"none":              {c: component()},
		"value":             {c: component(corev1.EnvVar{Name: "QDRANT__SERVICE__API_KEY", Value: "v"}), objects: []client.Object{made}, key: "v"},
		"a user's Secret":   {c: component(ref("mine", false)), objects: []client.Object{made, secret("mine", "k", "s")}, key: "s"},
		"Secret is missing": {c: component(ref("mine", false)), wrong: "component demo/c-qdrant: its API key: read Secret demo/mine"},
		"it is optional":    {c: component(ref("mine", true))},
		"entry is missing":  {c: component(ref("mine", true)), objects: []client.Object{secret("mine", "x", "s")}, wrong: `no entry "k"`},
		"the component's":   {c: component(), objects: []client.Object{made}, key: "made"},
		"from elsewhere":    {c: component(corev1.EnvVar{Name: "QDRANT__SERVICE__API_KEY", ValueFrom: &corev1.EnvVarSource{}}), wrong: "neither"},
	} {
		got, err := nodes.Of(t.Context(), fake.NewClientBuilder().WithObjects(one.objects...).Build(), one.c, nil, "")
		if one.wrong != "" {
			require.ErrorContains(t, err, one.wrong, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, one.key, got.APIKey, name)
		require.False(t, got.TLS)
	}
}

func TestTheAuthority(t *testing.T) {
	c := component()
	c.Spec.TLSConfig = &appsv1.TLSConfig{Enable: true}
	_, err := nodes.Of(t.Context(), fake.NewClientBuilder().Build(), c, nil, "")
	require.ErrorContains(t, err, "component demo/c-qdrant: its authority: read Secret demo/c-qdrant-tls-certs")
	k8s := fake.NewClientBuilder().WithObjects(secret("c-qdrant-tls-certs", "ca.crt", "PEM")).Build()
	got, err := nodes.Of(t.Context(), k8s, c, nil, "")
	require.NoError(t, err)
	require.True(t, got.TLS)
	require.Equal(t, "PEM", string(got.CA))
}

func TestWhichPodsAreAsked(t *testing.T) {
	pod := func(name, ip string, ready bool, change func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}, Status: corev1.PodStatus{PodIP: ip}}
		if ready {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		if change != nil {
			change(&p)
		}
		return p
	}
	now := metav1.Now()
	got, err := nodes.Of(t.Context(), fake.NewClientBuilder().Build(), component(), []corev1.Pod{
		pod("going", "1.1.1.1", true, func(p *corev1.Pod) { p.DeletionTimestamp = &now }),
		pod("unready", "1.1.1.2", false, nil),
		pod("new", "", false, nil),
		pod("ended", "1.1.1.3", false, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		pod("b", "1.1.1.4", true, nil),
		pod("a", "1.1.1.5", true, nil),
		pod("leads", "1.1.1.6", true, func(p *corev1.Pod) { p.Labels[naming.LabelRole] = "leader" }),
	}, "example.org")
	require.NoError(t, err)
	var names []string
	for _, p := range got.Pods {
		names = append(names, p.Name)
	}
	require.Equal(t, []string{"leads", "a", "b", "unready", "going"}, names)
	require.Equal(t, nodes.Pod{Name: "a", FQDN: "a.c-qdrant-headless.demo.svc.example.org", IP: "1.1.1.5", Ready: true}, got.Pods[1])
}
