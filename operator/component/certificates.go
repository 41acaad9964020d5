package component

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/issuer"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
)

// endsSoon is when users are told that their certificate ends.
const endsSoon = 14 * 24 * time.Hour

// keysEntry is where the keys of the authorities stand in their Secret.
const keysEntry = "ca.key"

// planTLS decides whether nodes speak TLS, and adds the Secrets for that. Ready says that there are certificates, so that pods can
// be made.
func (p *Plan) planTLS(o *Observed, s *manifests.Source) (ready bool, err error) {
	s.TLS = wantsTLS(o.Component)
	if o.InstanceSet != nil && len(o.Pods) > 0 && speaksTLS(o.InstanceSet) != s.TLS {
		// Nodes with and without TLS don't understand each other.
		s.TLS = !s.TLS
		p.Pending = true
		p.Problems = append(p.Problems, Problem{
			Object: "Component/" + o.Component.Name, Reason: "TLSNeedsStop",
			Message: "tls is switched on or off while no pod runs: stop the component, and start it again",
		})
		for secret, again := range map[*corev1.Secret]func(map[string][]byte) *corev1.Secret{o.Authority: s.AuthoritySecret, o.TLS: s.TLSSecret} {
			if secret != nil {
				p.Objects = append(p.Objects, again(secret.Data))
			}
		}
		return true, nil
	}
	if !s.TLS {
		return true, nil
	}
	if i := o.Component.Spec.TLSConfig; i != nil && i.Issuer != nil && i.Issuer.Name == appsv1.IssuerUser {
		return p.copyCertificates(o, s), nil
	}
	return true, p.issue(o, s)
}

func wantsTLS(c *appsv1.Component) bool { return c.Spec.TLSConfig != nil && c.Spec.TLSConfig.Enable }

// speaksTLS tells whether the pods of a set do: then they have the component's certificates.
func speaksTLS(set *workloadsv1.InstanceSet) bool {
	secret := naming.TLSSecret(set.Labels[naming.LabelInstance], set.Labels[naming.LabelComponentName])
	return slices.ContainsFunc(set.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == secret
	})
}

// issue adds the Secrets of certificates that the operator makes.
func (p *Plan) issue(o *Observed, s *manifests.Source) error {
	var have issuer.Authorities
	var files issuer.Files
	if o.Authority != nil {
		have = issuer.Authorities{Certs: o.Authority.Data[naming.AuthorityEntry], Keys: o.Authority.Data[keysEntry]}
	}
	if o.TLS != nil {
		files = filesOf(o.TLS.Data, naming.AuthorityEntry, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	names, err := certificateNames(o, s)
	if err != nil {
		return err
	}
	have, files, next, err := issuer.Renew(o.Now, have, files, names)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	p.After = sooner(p.After, next.Sub(o.Now))
	// The authority is kept first: a certificate of one that was lost would have to be made again.
	p.Objects = append(p.Objects,
		s.AuthoritySecret(map[string][]byte{naming.AuthorityEntry: have.Certs, keysEntry: have.Keys}),
		s.TLSSecret(data(files)))
	return nil
}

func filesOf(data map[string][]byte, ca, cert, key string) issuer.Files {
	return issuer.Files{CA: data[ca], Cert: data[cert], Key: data[key]}
}

func data(f issuer.Files) map[string][]byte {
	return map[string][]byte{naming.AuthorityEntry: f.CA, corev1.TLSCertKey: f.Cert, corev1.TLSPrivateKeyKey: f.Key}
}

// copyCertificates adds the Secret with the user's certificates. When they are no good those that there are stay.
func (p *Plan) copyCertificates(o *Observed, s *manifests.Source) bool {
	ref := o.Component.Spec.TLSConfig.Issuer.SecretRef
	problem := func(format string, args ...any) {
		p.Problems = append(p.Problems, Problem{Object: "Secret/" + ref.Name, Reason: "CertificateRefused", Message: fmt.Sprintf(format, args...)})
	}
	files, err := provided(o, ref)
	if err == nil {
		var soon time.Time
		if soon, err = issuer.Check(o.Now, files, []string{s.Host(o.Component.Name + "-0")}, endsSoon); err == nil {
			if !soon.IsZero() {
				problem("the certificate ends on %s", soon.UTC().Format(time.DateOnly))
			}
			p.Objects = append(p.Objects, s.TLSSecret(data(files)))
			return true
		}
	}
	problem("%s", err)
	if o.TLS == nil {
		return false
	}
	p.Objects = append(p.Objects, s.TLSSecret(o.TLS.Data))
	return true
}

// provided are the user's certificates. A Secret of another namespace must say that it may be used: else whoever may write clusters could read it.
func provided(o *Observed, ref *appsv1.CertificateSecret) (issuer.Files, error) {
	secret, namespace := o.Provided, o.Component.Namespace
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	if secret == nil {
		return issuer.Files{}, fmt.Errorf("there is no Secret %s in namespace %s", ref.Name, namespace)
	}
	allowed := strings.Split(secret.Annotations[naming.AnnotationAllowNamespaces], ",")
	if namespace != o.Component.Namespace && !slices.Contains(allowed, o.Component.Namespace) {
		return issuer.Files{}, fmt.Errorf("the Secret is in namespace %s: its annotation %s must name %s", namespace, naming.AnnotationAllowNamespaces, o.Component.Namespace)
	}
	for _, entry := range []string{ref.CA, ref.Cert, ref.Key} {
		if len(secret.Data[entry]) == 0 {
			return issuer.Files{}, fmt.Errorf("the Secret has no entry %s", entry)
		}
	}
	return filesOf(secret.Data, ref.CA, ref.Cert, ref.Key), nil
}

// certificateNames are all names under which the nodes are reached: those of the pods, of the component's services and of the
// cluster's, and where load balancers are.
func certificateNames(o *Observed, s *manifests.Source) (issuer.Names, error) {
	services, err := s.Services()
	if err != nil {
		return issuer.Names{}, err
	}
	names := issuer.Names{
		Subject: o.Component.Namespace + "/" + o.Component.Name,
		DNS:     []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	add := func(service string) {
		long := service + "." + o.Component.Namespace
		names.DNS = append(names.DNS, service, long, long+".svc", long+".svc."+o.ClusterDomain)
	}
	for _, service := range services {
		add(service.Name)
		if service.Spec.ClusterIP == corev1.ClusterIPNone {
			add("*." + service.Name)
		}
	}
	for i := range o.Services {
		service := &o.Services[i]
		if !reaches(service, o.Component) {
			continue
		}
		add(service.Name)
		for _, in := range service.Status.LoadBalancer.Ingress {
			if in.Hostname != "" {
				names.DNS = append(names.DNS, in.Hostname)
			}
			if ip := net.ParseIP(in.IP); ip != nil {
				names.IPs = append(names.IPs, ip)
			}
		}
	}
	return names, nil
}

// reaches tells whether a service of the cluster is one for the pods of a component.
func reaches(service *corev1.Service, c *appsv1.Component) bool {
	for _, label := range []string{naming.LabelInstance, naming.LabelComponentName} {
		if want := service.Spec.Selector[label]; want != "" && want != c.Labels[label] {
			return false
		}
	}
	return service.Spec.Selector[naming.LabelInstance] != ""
}
