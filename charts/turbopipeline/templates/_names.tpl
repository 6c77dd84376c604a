{{- define "turbo.name" -}}
{{ printf "%s-operator" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* Other releases, in other namespaces too, have objects of their own. */}}
{{- define "turbo.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "turbo.name" .) }}
{{- end }}

{{- define "turbo.selector" -}}
app.kubernetes.io/name: turbo-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "turbo.labels" -}}
{{ include "turbo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: turbopipeline
{{- end }}

{{- define "turbo.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
