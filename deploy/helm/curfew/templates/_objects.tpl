{{/* What broker and gateway both have. Each takes (dict "root" $ "component" "broker" "of" .Values.broker ...). */}}
{{- define "curfew.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "curfew.metadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{- define "curfew.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "curfew.metadata" . | nindent 2 }}
  {{- with .of.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .of.service.type }}
  {{- if ne .of.service.type "ClusterIP" }}
  # where people come from is in the audit log, and counts for failed logins
  externalTrafficPolicy: Local
  {{- end }}
  selector:
    {{- include "curfew.selector" . | nindent 4 }}
  ports:
    - {name: https, port: {{ .of.service.port }}, targetPort: https, protocol: TCP}
{{- end }}

{{/* Apart from the other, which may be reached from outside of the cluster. */}}
{{- define "curfew.metricsService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "curfew.name" . }}-metrics
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "curfew.labels" . | nindent 4 }}
    app.kubernetes.io/component: metrics
spec:
  clusterIP: None
  selector:
    {{- include "curfew.selector" . | nindent 4 }}
  ports:
    - {name: metrics, port: {{ .metrics }}, targetPort: metrics, protocol: TCP}
{{- end }}

{{- define "curfew.serviceMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "curfew.metadata" . | nindent 2 }}
spec:
  # the job's name in docs/prometheus/alerts.yaml
  jobLabel: app.kubernetes.io/name
  selector:
    matchLabels:
      {{- include "curfew.selector" . | nindent 6 }}
      app.kubernetes.io/component: metrics
  endpoints:
    - {port: metrics, path: /metrics, interval: 30s}
{{- end }}

{{- define "curfew.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "curfew.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # one that is not ready serves nobody: it does not keep a node from being drained
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "curfew.selector" . | nindent 6 }}
{{- end }}

{{- define "curfew.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "curfew.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "curfew.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports: [{port: https, protocol: TCP}]
      from: {{- toYaml .of.ingressFrom | nindent 8 }}
    {{- with .of.metricsFrom }}
    - ports: [{port: metrics, protocol: TCP}]
      from: {{- toYaml . | nindent 8 }}
    {{- end }}
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
      to: {{- toYaml .root.Values.networkPolicy.dnsTo | nindent 8 }}
    {{- toYaml .of.egressTo | nindent 4 }}
{{- end }}
