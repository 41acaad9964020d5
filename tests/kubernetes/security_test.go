package kubernetes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/internal/testbed/authority"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Checks 35 and 36: keys and certificates.

// refused says why a door lets somebody in who it shouldn't.
func (d *door) refused(ctx context.Context) (string, error) {
	err := d.ask(ctx, http.MethodGet, "/collections", nil, nil)
	if r, no := errors.AsType[*refusal](err); no && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden) {
		return "", nil
	}
	return "it isn't refused", err
}

// keyed expects that every pod wants a key of everybody, and takes this one.
func (b *bed) keyed(word string) {
	b.t.Helper()
	for name := range b.mustPods() {
		for _, other := range []string{"", "another-word"} {
			d := newDoor(podHost(name), other)
			b.eventually(fmt.Sprintf("%s refuses the key %q", name, other), func() (string, error) { return d.refused(b.ctx) })
		}
		d := newDoor(podHost(name), word)
		_, err := d.patiently(b.t.Context(), http.MethodGet, "/collections", nil, nil)
		require.NoError(b.t, err, name)
	}
}

// besides expects that what runs beside the nodes can ask them: agents tell roles, exporters metrics.
func (b *bed) besides() {
	b.t.Helper()
	b.oneLeader("")
	for name := range b.mustPods() {
		out, err := inPod(b.t.Context(), name, "kbagent", "curl", "-s", "http://127.0.0.1:9187/metrics")
		require.NoError(b.t, err)
		require.Contains(b.t, out, "cluster_peers_total", name)
		require.Contains(b.t, out, "sextant_exporter_last_scrape_error 0", name)
	}
}

// hidden expects that a word stands in no ConfigMap, no event and no pod.
func (b *bed) hidden(word string) {
	b.t.Helper()
	for _, list := range []client.ObjectList{&corev1.ConfigMapList{}, &corev1.EventList{}, &corev1.PodList{}} {
		require.NoError(b.t, b.c.List(b.ctx, list, client.InNamespace(demo)))
		raw, err := json.Marshal(list)
		require.NoError(b.t, err)
		require.NotContains(b.t, string(raw), word, "%T", list)
	}
}

// userSecret makes a Secret of a user. It must be there as long as the cluster that uses it: make it before the bed.
func userSecret(t *testing.T, name string, data map[string][]byte) *corev1.Secret {
	t.Helper()
	ctx := context.Background() // the test's own has ended when the Secret goes
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: demo, Name: name}, Data: data}
	require.NoError(t, place.c.Create(ctx, s))
	t.Cleanup(func() { require.NoError(t, client.IgnoreNotFound(place.c.Delete(ctx, s))) })
	return s
}

// keyFromSecret has nodes take their key from a Secret, as in cluster-api-key.yaml.
func keyFromSecret(c *appsv1.Cluster) {
	c.Spec.ComponentSpecs[0].Env = []corev1.EnvVar{{Name: naming.KeyVariable, ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "qdrant-api-key"}, Key: "api-key"},
	}}}
}

func Test35KeyFromASecret(t *testing.T) {
	const word = "a-word-of-a-secret"
	userSecret(t, "qdrant-api-key", map[string][]byte{"api-key": []byte(word)})
	b := newBed(t)
	b.runs(4, keyFromSecret)
	b.door.key = word
	b.keyed(word)
	b.besides()
	b.door.fill(t)
	b.inSync()
	tr := startTraffic(t, b.door)
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Replicas = 3 })
	b.phase(appsv1.ClusterRunning)
	b.agree(3)
	tr.stop(t, "4 to 3 with a key")
	b.inSync()
	b.door.whole(t, "c1", "c2")
	b.hidden(word)
}

// A key that is a variable of the configuration is changed while clients go on.
func Test35KeyChanges(t *testing.T) {
	const old, fresh = "the-old-word", "the-new-word"
	variable := func(word string) func(*appsv1.Cluster) {
		return func(c *appsv1.Cluster) {
			c.Spec.ComponentSpecs[0].Configs = []appsv1.ComponentConfig{{
				Name: "qdrant-config-template", Variables: map[string]string{"service_api_key": word},
			}}
		}
	}
	b := newBed(t)
	b.runs(3, variable(old))
	b.door.key = old
	b.keyed(old)
	b.besides()
	b.door.fill(t)
	b.inSync()
	tr := startTraffic(t, b.door)
	b.change(variable(fresh))
	b.eventually("all nodes know both keys", func() (string, error) {
		var s corev1.Secret
		err := b.c.Get(b.ctx, key(naming.KeySecret(clusterName, componentName)), &s)
		if string(s.Data[naming.KeyEntry]) == fresh {
			return "", err
		}
		return fmt.Sprintf("%d entries", len(s.Data)), err
	})
	tr.stop(t, "with the old key while nodes learn the new one")
	// What goes on with the old key must not see the new one by accident.
	changed := *b.door
	changed.key = fresh
	b.door = &changed
	tr = startTraffic(t, b.door)
	for name := range b.mustPods() {
		d := newDoor(podHost(name), old)
		b.eventually(name+" has forgotten the old key", func() (string, error) { return d.refused(b.ctx) })
	}
	b.phase(appsv1.ClusterRunning)
	tr.stop(t, "with the new key while nodes forget the old one")
	b.keyed(fresh)
	b.besides()
	b.agree(3)
	b.inSync()
	b.door.whole(t, "c1", "c2")
	b.hidden(old)
	b.hidden(fresh)
}

// trusting is a door that speaks TLS and trusts an authority, by names that are in certificates.
func trusting(roots *x509.CertPool) *door {
	d := newDoor(fmt.Sprintf("%s.%s.svc.cluster.local:6333", set, demo), "")
	d.base = "https" + strings.TrimPrefix(d.base, "http")
	transport := d.http.Transport.(*http.Transport).Clone() //nolint:forcetypeassert // newDoor made it
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	d.http = &http.Client{Timeout: d.http.Timeout, Transport: transport}
	return d
}

// certificate is what a port shows, if it is to be trusted.
func certificate(ctx context.Context, roots *x509.CertPool, host string) (*x509.Certificate, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
		RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}}
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	defer func() { _ = conn.Close() }()                                // nothing was sent
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil //nolint:forcetypeassert // of a tls.Dialer
}

// showing waits until both doors of all pods show a certificate as it is wanted.
func (b *bed) showing(roots *x509.CertPool, what string, want func(*x509.Certificate) bool) {
	b.t.Helper()
	for name := range b.mustPods() {
		for _, port := range []string{"6333", "6334"} {
			host := strings.TrimSuffix(podHost(name), "6333") + port
			b.eventually(host+" shows "+what, func() (string, error) {
				c, err := certificate(b.ctx, roots, host)
				if err != nil {
					return "", err
				}
				if !want(c) {
					return fmt.Sprintf("it is number %d for %v", c.SerialNumber, c.DNSNames), nil
				}
				return "", nil
			})
		}
	}
}

// encrypted expects that nodes speak nothing else, under all their names, and that those beside them can ask them.
func (b *bed) encrypted(roots *x509.CertPool) {
	b.t.Helper()
	b.agree(3)
	b.besides()
	b.showing(roots, "a certificate that is trusted", func(*x509.Certificate) bool { return true })
	_, err := b.door.patiently(b.t.Context(), http.MethodGet, "/collections", nil, nil)
	require.NoError(b.t, err, "by the name of the service")
	for name := range b.mustPods() {
		require.Error(b.t, newDoor(podHost(name), "").ask(b.ctx, http.MethodGet, "/collections", nil, nil), "without TLS")
	}
}

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	return roots
}

// The operator's certificates are renewed when there is another name, and nobody notices.
func Test36TLSOfTheOperator(t *testing.T) {
	b := newBed(t)
	b.runs(3, func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].TLS = true })
	var s corev1.Secret
	require.NoError(t, b.c.Get(b.ctx, key(naming.TLSSecret(clusterName, componentName)), &s))
	roots := pool(t, s.Data[naming.AuthorityEntry])
	b.door = trusting(roots)
	b.encrypted(roots)
	b.door.fill(t)
	b.inSync()
	before := b.mustPods()
	tr := startTraffic(t, b.door)
	b.change(func(c *appsv1.Cluster) {
		c.Spec.Services = []appsv1.ClusterService{{
			Name: "extra", ComponentSelector: componentName, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "tcp-qdrant", Port: 6333}}},
		}}
	})
	name := fmt.Sprintf("%s.%s.svc.cluster.local", naming.ClusterService(clusterName, "extra", ""), demo)
	b.showing(roots, "the new name", func(c *x509.Certificate) bool { return slices.Contains(c.DNSNames, name) })
	tr.stop(t, "certificates renewed")
	for name, p := range b.mustPods() {
		require.Equal(t, before[name].UID, p.UID)
		require.Equal(t, restarts(before[name]), restarts(p))
	}
	_, err := b.door.at(name+":6333").patiently(t.Context(), http.MethodGet, "/collections", nil, nil)
	require.NoError(t, err)
	b.encrypted(roots)
	b.phase(appsv1.ClusterRunning)
	b.door.whole(t, "c1", "c2")
}

// Certificates of the user are replaced in his Secret, and nobody notices.
func Test36TLSOfTheUser(t *testing.T) {
	a, dir := authority.New(t), t.TempDir()
	issue := func() (map[string][]byte, int64) {
		service := fmt.Sprintf("%s.%s.svc.cluster.local", set, demo)
		files, number := a.Issue(dir, "localhost", "127.0.0.1", service, fmt.Sprintf("*.%s-headless.%s.svc.cluster.local", set, demo))
		data := map[string][]byte{}
		for entry, path := range map[string]string{"ca.crt": files.CA, "tls.crt": files.Cert, "tls.key": files.Key} {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			data[entry] = raw
		}
		return data, number
	}
	data, first := issue()
	s := userSecret(t, "qdrant-certificates", data)
	b := newBed(t)
	b.runs(3, func(c *appsv1.Cluster) {
		spec := &c.Spec.ComponentSpecs[0]
		spec.TLS = true
		spec.Issuer = &appsv1.Issuer{Name: appsv1.IssuerUser, SecretRef: &appsv1.CertificateSecret{
			SecretReference: appsv1.SecretReference{Name: s.Name}, CA: "ca.crt", Cert: "tls.crt", Key: "tls.key",
		}}
	})
	roots := pool(t, data["ca.crt"])
	b.door = trusting(roots)
	b.encrypted(roots)
	b.showing(roots, "the first certificate", func(c *x509.Certificate) bool { return c.SerialNumber.Int64() == first })
	b.door.fill(t)
	b.inSync()
	before := b.mustPods()
	tr := startTraffic(t, b.door)
	var second int64
	s.Data, second = issue()
	require.NoError(t, b.c.Update(b.ctx, s))
	b.showing(roots, "the second certificate", func(c *x509.Certificate) bool { return c.SerialNumber.Int64() == second })
	tr.stop(t, "the user's certificates replaced")
	for name, p := range b.mustPods() {
		require.Equal(t, before[name].UID, p.UID)
		require.Equal(t, restarts(before[name]), restarts(p))
	}
	b.encrypted(roots)
	b.door.whole(t, "c1", "c2")
}
