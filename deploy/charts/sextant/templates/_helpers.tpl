{{- define "sextant.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sextant.selector" -}}
app.kubernetes.io/name: sextant-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of the operator's own objects. They are not those of clusters, which the operator manages. */}}
{{- define "sextant.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: sextant
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "sextant.selector" . }}
{{- end -}}

{{- define "sextant.serviceAccount" -}}
{{- default (printf "%s-operator" (include "sextant.name" .)) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sextant.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{/* The name of the ComponentDefinition, and of what belongs to it alone: new versions of the chart leave old ones. */}}
{{- define "sextant.definition" -}}
qdrant-{{ .Chart.Version }}
{{- end -}}

{{- define "sextant.configTemplate" -}}
qdrant-config-template-{{ .Chart.Version }}
{{- end -}}

{{/* The security context of every container. */}}
{{- define "sextant.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The images by version, as a dictionary. */}}
{{- define "sextant.images" -}}
{{- $images := dict -}}
{{- range .Values.versions -}}
{{- $_ := set $images .serviceVersion (default (include "sextant.image" $) .image) -}}
{{- end -}}
{{- range $version, $image := .Values.images.versions -}}
{{- $_ := set $images $version $image -}}
{{- end -}}
{{- toYaml $images -}}
{{- end -}}
