{{/* Of every pod: nobody's account, nothing of the cluster told to it. Takes (dict "root" $ "component" "broker" "of" .Values.broker). */}}
{{- define "curfew.pod" -}}
serviceAccountName: {{ include "curfew.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Replicas on machines and in zones of their own, as far as there are any. */}}
{{- define "curfew.spread" -}}
{{- if gt (int .of.replicas) 1 }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "curfew.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "curfew.container" -}}
image: {{ include "curfew.image" . }}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .of.resources | nindent 2 }}
{{- end }}

{{/* Secrets and ConfigMaps that the configuration names as /etc/curfew/files/KEY. */}}
{{- define "curfew.files" -}}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range .of.files.secrets }}
      - secret: {name: {{ . }}}
      {{- end }}
      {{- range .of.files.configMaps }}
      - configMap: {name: {{ . }}}
      {{- end }}
      {{- if .of.clusterCa }}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: cluster-ca.crt}]}
      {{- end }}
{{- end }}

{{/* Whether there is such a volume. */}}
{{- define "curfew.hasFiles" -}}
{{- if or .of.files.secrets .of.files.configMaps .of.clusterCa }}yes{{ end }}
{{- end }}
