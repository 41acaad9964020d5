package component

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/issuer"
	"github.com/sextantdb/sextant/operator/naming"
)

const (
	tlsSecret = set + "-tls-certs"
	host      = set + "-2." + set + "-headless.demo.svc.cluster.local"
)

func (w *world) files() issuer.Files {
	w.t.Helper()
	return filesOf(get[corev1.Secret](w, "demo", tlsSecret).Data, "ca.crt", "tls.crt", "tls.key")
}

func (w *world) covers(names ...string) {
	w.t.Helper()
	_, err := issuer.Check(w.now, w.files(), names, 0)
	require.NoError(w.t, err)
}

// TestCertificatesOfTheOperator: all names are covered, and renewing them changes no pod.
func TestCertificatesOfTheOperator(t *testing.T) {
	balancer := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "qdrant-cluster-qdrant-internet", Labels: naming.ClusterLabels("qdrant-cluster")},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{naming.LabelInstance: "qdrant-cluster"}},
		Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}, {IP: "192.0.2.7"}}}},
	}
	w := newWorld(t, "tlsConfig: {enable: true}", balancer)
	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())
	w.covers(host, "localhost", "127.0.0.1", set, set+"-qdrant.demo", set+"-qdrant.demo.svc", set+".demo.svc.cluster.local",
		"qdrant-cluster-qdrant-internet", "lb.example.com", "192.0.2.7")
	require.Equal(t, "https://"+set+"-1."+set+"-headless.demo.svc.cluster.local:6335", w.bootstrap()[set+"-0"])
	require.Contains(t, get[corev1.ConfigMap](w, "demo", configMap).Data["config.yaml"], "tls: true")
	require.NotContains(t, get[corev1.Secret](w, "demo", tlsSecret).Data, keysEntry)
	before, old := w.set(), w.files()

	w.now = w.now.Add(250 * 24 * time.Hour)
	w.settle()
	require.NotEqual(t, old, w.files())
	require.Equal(t, old.CA, w.files().CA)
	w.covers(host)
	require.Equal(t, before.Spec, w.set().Spec, "nodes read the files again: no pod is replaced")

	require.NoError(t, w.raw.Delete(t.Context(), get[corev1.Secret](w, "demo", tlsSecret)))
	w.settle()
	w.covers(host)
	require.Equal(t, old.CA, w.files().CA)
}

// TestCertificatesOfTheUser are copied when they are good, and those that there are stay when they aren't.
func TestCertificatesOfTheUser(t *testing.T) {
	w := newWorld(t, "tlsConfig: {enable: true, issuer: {name: UserProvided, secretRef: {namespace: certs, name: mine, ca: a, cert: b, key: c}}}")
	refused := func(text string) {
		t.Helper()
		w.settle()
		require.Contains(t, w.component().Status.Message["Secret/mine"], text)
		require.Equal(t, "CertificateRefused", w.condition(appsv1.ConditionHealthy).Reason)
	}
	refused("there is no Secret mine in namespace certs")
	require.True(t, apierrors.IsNotFound(w.raw.Get(t.Context(), client.ObjectKeyFromObject(w.component()), &workloadsv1.InstanceSet{})), "no pod is made without certificates")
	require.Equal(t, appsv1.ComponentCreating, w.phase())

	certs := func() issuer.Files {
		_, files, _, err := issuer.Renew(w.now, issuer.Authorities{}, issuer.Files{}, issuer.Names{DNS: []string{"*." + set + "-headless.demo.svc.cluster.local"}})
		require.NoError(t, err)
		return files
	}
	first := certs()
	mine := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "certs", Name: "mine"},
		Data:       map[string][]byte{"a": first.CA, "b": first.Cert, "c": first.Key},
	}
	require.NoError(t, w.raw.Create(t.Context(), mine))
	refused("must name demo")
	mine.Annotations = map[string]string{naming.AnnotationAllowNamespaces: "other,demo"}
	require.NoError(t, w.raw.Update(t.Context(), mine))
	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())
	require.Equal(t, first, w.files())
	require.Empty(t, w.component().Status.Message)

	before := w.set()
	second := certs()
	mine.Data["b"] = second.Cert
	require.NoError(t, w.raw.Update(t.Context(), mine))
	refused("private key does not match")
	require.Equal(t, first, w.files())
	mine.Data = map[string][]byte{"a": second.CA, "b": second.Cert, "c": second.Key}
	require.NoError(t, w.raw.Update(t.Context(), mine))
	w.settle()
	require.Equal(t, second, w.files())
	require.Equal(t, before.Spec, w.set().Spec, "nodes read the files again: no pod is replaced")

	w.now = w.now.Add(issuer.Life - 10*24*time.Hour)
	refused("the certificate ends on 2027-11-26")
}

// TestTLSIsSwitchedWhileStopped: nodes with and without TLS can't talk to each other.
func TestTLSIsSwitchedWhileStopped(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	for _, on := range []bool{true, false} {
		before := w.set()
		w.change(func(c *appsv1.Component) { c.Spec.TLSConfig = &appsv1.TLSConfig{Enable: on} })
		w.settle()
		require.Equal(t, before.Spec, w.set().Spec)
		require.Equal(t, appsv1.ComponentUpdating, w.phase())
		require.Contains(t, w.component().Status.Message["Component/"+set], "while no pod runs")
		w.change(func(c *appsv1.Component) { c.Spec.Stop = new(true) })
		w.settle()
		require.Equal(t, appsv1.ComponentStopped, w.phase())
		require.Equal(t, on, speaksTLS(w.set()))
		w.change(func(c *appsv1.Component) { c.Spec.Stop = nil })
		w.settle()
		require.Equal(t, appsv1.ComponentRunning, w.phase())
		err := w.raw.Get(t.Context(), client.ObjectKey{Namespace: "demo", Name: tlsSecret}, &corev1.Secret{})
		require.Equal(t, on, err == nil)
	}
}
