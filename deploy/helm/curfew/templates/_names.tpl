{{/* Each takes (dict "root" $ "component" "broker"). */}}
{{- define "curfew.name" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc 40 | trimSuffix "-") .component }}
{{- end }}

{{- define "curfew.selector" -}}
app.kubernetes.io/name: curfew-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "curfew.labels" -}}
{{ include "curfew.selector" . }}
app.kubernetes.io/part-of: curfew
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The beginning of every object. */}}
{{- define "curfew.metadata" -}}
name: {{ include "curfew.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "curfew.labels" . | nindent 2 }}
{{- end }}

{{- define "curfew.image" -}}
{{- with .root.Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.root.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}
