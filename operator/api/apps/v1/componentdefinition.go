package v1

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ComponentDefinition says how the pods of an engine look and what can be done with
// them. The operator refuses changes of its spec, unless the object carries the
// annotation apps.kubeblocks.io/skip-immutable-check: components that run rely on it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster,shortName=cmpd
// +kubebuilder:printcolumn:name="SERVICE",type=string,JSONPath=`.spec.serviceKind`
// +kubebuilder:printcolumn:name="SERVICE-VERSION",type=string,JSONPath=`.spec.serviceVersion`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ComponentDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the definition.
	// +optional
	Spec ComponentDefinitionSpec `json:"spec,omitempty"`

	// Status is what the operator sees.
	// +optional
	Status DefinitionStatus `json:"status,omitempty"`
}

// ComponentDefinitionList is a list of component definitions.
//
// +kubebuilder:object:root=true
type ComponentDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ComponentDefinition `json:"items"`
}

// ComponentDefinitionSpec says how the pods of an engine look and what can be done
// with them.
type ComponentDefinitionSpec struct {
	// Provider is who maintains the definition.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Provider string `json:"provider,omitempty"`

	// Description in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Description string `json:"description,omitempty"`

	// ServiceKind is the protocol that clients speak, such as qdrant.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ServiceKind string `json:"serviceKind,omitempty"`

	// ServiceVersion is the version when neither cluster nor ComponentVersion says one.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ServiceVersion string `json:"serviceVersion,omitempty"`

	// Runtime is the pod: containers, ports, probes. The operator adds volumes, names,
	// images and environment. It is checked when pods are made from it, not here.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Runtime corev1.PodSpec `json:"runtime"`

	// Labels that are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations that are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// Vars are variables that containers and actions see.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Vars []Var `json:"vars,omitempty"`

	// Volumes of the pods and what they are for.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Volumes []VolumeDefinition `json:"volumes,omitempty"`

	// Services of each component.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Services []ServiceDefinition `json:"services,omitempty"`

	// Configs are templates of configuration files.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Configs []FileTemplate `json:"configs,omitempty"`

	// Scripts are templates of scripts.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Scripts []FileTemplate `json:"scripts,omitempty"`

	// LogConfigs say where the engine's log files are.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	LogConfigs []LogConfig `json:"logConfigs,omitempty"`

	// TLS says where the engine looks for certificates.
	// +optional
	TLS *TLSDefinition `json:"tls,omitempty"`

	// Exporter says where metrics are.
	// +optional
	Exporter *Exporter `json:"exporter,omitempty"`

	// ReplicasLimit bounds the number of instances.
	// +optional
	ReplicasLimit *ReplicasLimit `json:"replicasLimit,omitempty"`

	// PolicyRules are the rights that the pods have, beside none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	PolicyRules []rbacv1.PolicyRule `json:"policyRules,omitempty"`

	// UpdateStrategy says how many instances are updated at a time.
	// +optional
	// +kubebuilder:default=Serial
	UpdateStrategy MemberUpdateStrategy `json:"updateStrategy,omitempty"`

	// PodManagementPolicy says whether pods are made one after another (OrderedReady)
	// or together (Parallel).
	// +optional
	// +kubebuilder:default=Parallel
	PodManagementPolicy PodManagementPolicy `json:"podManagementPolicy,omitempty"`

	// PodUpgradePolicy says how a pod gets a new version. As podUpdatePolicy when left
	// out.
	// +optional
	PodUpgradePolicy PodUpdatePolicyType `json:"podUpgradePolicy,omitempty"`

	// MinReadySeconds is how long a pod must have been ready before it counts as
	// available.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	MinReadySeconds int32 `json:"minReadySeconds,omitempty"`

	// Roles that an instance can have.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Roles []Role `json:"roles,omitempty"`

	// LifecycleActions say how the engine is asked and told about what happens.
	// +optional
	LifecycleActions *LifecycleActions `json:"lifecycleActions,omitempty"`
}

// MemberUpdateStrategy says how many instances are updated at a time. Whatever it
// says, the last copies of a shard are never taken down.
//
// +kubebuilder:validation:Enum=Serial;Parallel;BestEffortParallel
type MemberUpdateStrategy string

// How many instances are updated at a time.
const (
	// UpdateSerial updates one instance after another.
	UpdateSerial MemberUpdateStrategy = "Serial"
	// UpdateParallel updates all instances together.
	UpdateParallel MemberUpdateStrategy = "Parallel"
	// UpdateBestEffortParallel updates several instances together as long as a quorum
	// stays.
	UpdateBestEffortParallel MemberUpdateStrategy = "BestEffortParallel"
)

// PodManagementPolicy says whether pods are made one after another or together.
//
// +kubebuilder:validation:Enum=OrderedReady;Parallel
type PodManagementPolicy string

// How pods are made.
const (
	// OrderedReady makes the next pod when the one before it is ready.
	OrderedReady PodManagementPolicy = "OrderedReady"
	// Parallel makes all pods together.
	Parallel PodManagementPolicy = "Parallel"
)

// ReplicasLimit bounds the number of instances.
//
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="minReplicas must not be above maxReplicas"
type ReplicasLimit struct {
	// MinReplicas is the least number of instances.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas"`

	// MaxReplicas is the greatest number of instances.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas"`
}

// Var is a variable that containers and actions see.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.value) && has(self.valueFrom))",message="a variable has either value or valueFrom"
type Var struct {
	// Name of the variable.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	Name string `json:"name"`

	// Value of the variable; $(NAME) stands for the value of a variable before it.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`

	// ValueFrom says where the value comes from.
	// +optional
	ValueFrom *VarSource `json:"valueFrom,omitempty"`
}

// VarSource says where the value of a variable comes from.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type VarSource struct {
	// ConfigMapKeyRef is a key of a ConfigMap.
	// +optional
	ConfigMapKeyRef *corev1.ConfigMapKeySelector `json:"configMapKeyRef,omitempty"`

	// SecretKeyRef is a key of a Secret.
	// +optional
	SecretKeyRef *corev1.SecretKeySelector `json:"secretKeyRef,omitempty"`

	// ServiceVarRef is something about a service of the component.
	// +optional
	ServiceVarRef *ServiceVar `json:"serviceVarRef,omitempty"`

	// ComponentVarRef is something about the component.
	// +optional
	ComponentVarRef *ComponentVar `json:"componentVarRef,omitempty"`

	// TLSVarRef is something about the certificates of the component.
	// +optional
	TLSVarRef *TLSVar `json:"tlsVarRef,omitempty"`
}

// VarOption says whether a variable must have a value.
//
// +kubebuilder:validation:Enum=Required;Optional
type VarOption string

// Whether a variable must have a value.
const (
	// VarRequired keeps pods from being made until the variable has a value.
	VarRequired VarOption = "Required"
	// VarOptional leaves the variable empty when there is no value.
	VarOptional VarOption = "Optional"
)

// ServiceVar is something about a service of the component.
//
// +kubebuilder:validation:XValidation:rule="has(self.host) != has(self.port)",message="choose one of host and port"
type ServiceVar struct {
	// Name of the service in the ComponentDefinition; the first when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=25
	Name string `json:"name,omitempty"`

	// Host is the name of the service.
	// +optional
	Host VarOption `json:"host,omitempty"`

	// Port is the number of a port of the service.
	// +optional
	Port *NamedVar `json:"port,omitempty"`
}

// NamedVar is a variable about something that has a name.
type NamedVar struct {
	// Name of what the variable is about, such as a port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Option says whether there must be a value.
	// +optional
	Option VarOption `json:"option,omitempty"`
}

// ComponentVar is something about the component.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type ComponentVar struct {
	// ComponentName is the name of the component.
	// +optional
	ComponentName VarOption `json:"componentName,omitempty"`

	// Replicas is the number of instances.
	// +optional
	Replicas VarOption `json:"replicas,omitempty"`

	// PodNames are the names of the pods, joined by commas.
	// +optional
	PodNames VarOption `json:"podNames,omitempty"`

	// PodFQDNs are the domain names of the pods, joined by commas.
	// +optional
	PodFQDNs VarOption `json:"podFQDNs,omitempty"`
}

// TLSVar is something about the certificates of the component.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type TLSVar struct {
	// Enabled is "true" when the component uses TLS.
	// +optional
	Enabled VarOption `json:"enabled,omitempty"`
}

// VolumeDefinition says what a volume of the pods is for.
type VolumeDefinition struct {
	// Name of the volume.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// NeedSnapshot says that a backup needs the volume.
	// +optional
	NeedSnapshot bool `json:"needSnapshot,omitempty"`
}

// ServiceDefinition is a service of each component.
type ServiceDefinition struct {
	// Name of the service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=25
	Name string `json:"name"`

	// ServiceName is the end of the service's name, which is
	// {cluster}-{component}-{serviceName}. Left out, it is {cluster}-{component}.
	// +optional
	// +kubebuilder:validation:MaxLength=25
	ServiceName string `json:"serviceName,omitempty"`

	// Annotations of the service.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// RoleSelector reaches only the pods of a role.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	RoleSelector string `json:"roleSelector,omitempty"`

	// PodService makes one service for each pod.
	// +optional
	PodService *bool `json:"podService,omitempty"`

	// Spec of the service. Its selector is the operator's.
	// +optional
	Spec corev1.ServiceSpec `json:"spec,omitempty"`
}

// FileTemplate is a ConfigMap whose values are templates of files.
type FileTemplate struct {
	// Name of the template.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Template is the name of the ConfigMap.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Template string `json:"template,omitempty"`

	// Namespace of the ConfigMap; that of the operator when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// VolumeName is the volume in which the files appear.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	VolumeName string `json:"volumeName,omitempty"`

	// DefaultMode are the permissions of the files.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=511
	DefaultMode *int32 `json:"defaultMode,omitempty"`

	// RestartOnFileChange replaces the pods, one after another, when a file changes.
	// +optional
	RestartOnFileChange *bool `json:"restartOnFileChange,omitempty"`

	// ExternalManaged leaves the files to someone else.
	// +optional
	ExternalManaged *bool `json:"externalManaged,omitempty"`
}

// LogConfig says where log files are.
type LogConfig struct {
	// Name of the kind of log.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// FilePathPattern matches the log files.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	FilePathPattern string `json:"filePathPattern"`
}

// TLSDefinition says where the engine looks for certificates.
type TLSDefinition struct {
	// VolumeName is the volume with the certificates.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	VolumeName string `json:"volumeName"`

	// MountPath is where the volume is mounted.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	MountPath string `json:"mountPath"`

	// DefaultMode are the permissions of the files.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=511
	DefaultMode *int32 `json:"defaultMode,omitempty"`

	// CAFile is the file with the authority's certificate.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	CAFile *string `json:"caFile,omitempty"`

	// CertFile is the file with the certificate.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	CertFile *string `json:"certFile,omitempty"`

	// KeyFile is the file with the certificate's private key.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	KeyFile *string `json:"keyFile,omitempty"`
}

// Exporter says where metrics are.
type Exporter struct {
	// ContainerName is the container that serves metrics.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ContainerName string `json:"containerName,omitempty"`

	// ScrapePath is the path of the metrics. /metrics when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ScrapePath string `json:"scrapePath,omitempty"`

	// ScrapePort is the name or the number of the port.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ScrapePort string `json:"scrapePort,omitempty"`

	// ScrapeScheme is http (the default) or https.
	// +optional
	// +kubebuilder:validation:Enum=http;https
	ScrapeScheme string `json:"scrapeScheme,omitempty"`
}

// Role is something that an instance can be, such as leader.
type Role struct {
	// Name of the role, as the role probe says it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[^\s]*$`
	Name string `json:"name"`

	// UpdatePriority orders updates: instances with a lower number first.
	// +optional
	UpdatePriority int `json:"updatePriority,omitempty"`

	// ParticipatesInQuorum says that instances of the role count for a majority.
	// +optional
	ParticipatesInQuorum bool `json:"participatesInQuorum,omitempty"`

	// IsExclusive says that at most one instance has the role.
	// +optional
	IsExclusive bool `json:"isExclusive,omitempty"`
}

// LifecycleActions say how the engine is asked and told about what happens. An
// action that is left out is not needed, or done by the operator itself through the
// engine's API.
type LifecycleActions struct {
	// PostProvision runs when the component has become ready for the first time.
	// +optional
	PostProvision *Action `json:"postProvision,omitempty"`

	// PreTerminate runs before the component is removed.
	// +optional
	PreTerminate *Action `json:"preTerminate,omitempty"`

	// RoleProbe prints the role of an instance.
	// +optional
	RoleProbe *Probe `json:"roleProbe,omitempty"`

	// AvailableProbe says whether the component serves clients.
	// +optional
	AvailableProbe *Probe `json:"availableProbe,omitempty"`

	// Switchover hands an exclusive role to another instance.
	// +optional
	Switchover *Action `json:"switchover,omitempty"`

	// MemberJoin makes a new instance part of the cluster.
	// +optional
	MemberJoin *Action `json:"memberJoin,omitempty"`

	// MemberLeave moves what a leaving instance holds, and takes it out of the cluster.
	// +optional
	MemberLeave *Action `json:"memberLeave,omitempty"`

	// Readonly refuses writes.
	// +optional
	Readonly *Action `json:"readonly,omitempty"`

	// Readwrite accepts writes again.
	// +optional
	Readwrite *Action `json:"readwrite,omitempty"`

	// DataDump prints the data of an instance.
	// +optional
	DataDump *Action `json:"dataDump,omitempty"`

	// DataLoad reads what DataDump printed.
	// +optional
	DataLoad *Action `json:"dataLoad,omitempty"`

	// Reconfigure takes over changed files without a restart.
	// +optional
	Reconfigure *Action `json:"reconfigure,omitempty"`

	// AccountProvision makes an account.
	// +optional
	AccountProvision *Action `json:"accountProvision,omitempty"`
}

// Action is something that the agent in a pod does: a command, or a request.
//
// +kubebuilder:validation:XValidation:rule="[has(self.exec), has(self.http), has(self.grpc)].filter(x, x).size() == 1",message="an action is exactly one of exec, http and grpc"
type Action struct {
	// Exec runs a command.
	// +optional
	Exec *ExecAction `json:"exec,omitempty"`

	// HTTP sends a request.
	// +optional
	HTTP *HTTPAction `json:"http,omitempty"`

	// GRPC calls a method.
	// +optional
	GRPC *GRPCAction `json:"grpc,omitempty"`

	// TargetPodSelector says in which pods the action runs.
	// +optional
	// +kubebuilder:validation:Enum=Any;All;Role;Ordinal
	TargetPodSelector string `json:"targetPodSelector,omitempty"`

	// MatchingKey is the role or the ordinal that targetPodSelector looks for.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	MatchingKey string `json:"matchingKey,omitempty"`

	// TimeoutSeconds is how long one attempt may take. 30 when 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// RetryPolicy says how often a failed attempt is repeated.
	// +optional
	RetryPolicy *RetryPolicy `json:"retryPolicy,omitempty"`

	// NonBlocking starts the action and asks for its result later.
	// +optional
	NonBlocking bool `json:"nonBlocking,omitempty"`

	// PreCondition is what must be ready before the action runs.
	// +optional
	// +kubebuilder:validation:Enum=Immediately;RuntimeReady;ComponentReady;ClusterReady
	PreCondition *string `json:"preCondition,omitempty"`
}

// ExecAction runs a command.
type ExecAction struct {
	// Container whose image the command needs.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`

	// Image that the command needs, when it is that of no container.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// Env are variables of the command.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`

	// Command to run. It is not passed to a shell.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Command []string `json:"command,omitempty"`

	// Args of the command.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Args []string `json:"args,omitempty"`
}

// HTTPAction sends a request.
type HTTPAction struct {
	// Host to ask; the pod itself when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// Port is the name or the number of the port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Port string `json:"port"`

	// Scheme is HTTP (the default) or HTTPS.
	// +optional
	// +kubebuilder:validation:Enum=HTTP;HTTPS
	Scheme string `json:"scheme,omitempty"`

	// Path of the request.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Path string `json:"path,omitempty"`

	// Method of the request. GET when left out.
	// +optional
	// +kubebuilder:validation:Enum=GET;POST;PUT;PATCH;DELETE;HEAD
	Method string `json:"method,omitempty"`

	// Headers of the request.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Headers []corev1.HTTPHeader `json:"headers,omitempty"`

	// Body of the request.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Body string `json:"body,omitempty"`
}

// GRPCAction calls a method.
type GRPCAction struct {
	// Host to ask; the pod itself when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// Port is the name or the number of the port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Port string `json:"port"`

	// Service that has the method.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Service string `json:"service"`

	// Method to call.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Method string `json:"method"`

	// Request is the message by field.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Request map[string]string `json:"request,omitempty"`
}

// RetryPolicy says how often a failed attempt is repeated.
type RetryPolicy struct {
	// MaxRetries is the number of further attempts.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MaxRetries int `json:"maxRetries,omitempty"`

	// RetryIntervalSeconds is the time between attempts in seconds.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	RetryIntervalSeconds int32 `json:"retryIntervalSeconds,omitempty"`
}

// Probe is an action that is repeated.
type Probe struct {
	Action `json:",inline"`

	// InitialDelaySeconds is how long after its start a pod is first asked.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`

	// PeriodSeconds is the time between two probes. 60 when 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`

	// SuccessThreshold is how many successes make a good state. 1 when 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SuccessThreshold int32 `json:"successThreshold,omitempty"`

	// FailureThreshold is how many failures make a bad state. 3 when 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}
