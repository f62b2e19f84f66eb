{{/* All that the configuration names, for whatever reads it. */}}
{{- define "curfew.broker.mounts" -}}
- {name: config, mountPath: /etc/curfew/config, readOnly: true}
- {name: tls, mountPath: /etc/curfew/tls, readOnly: true}
- {name: keys, mountPath: /etc/curfew/keys, readOnly: true}
{{- if .of.otherEncryptionKey.secret }}
- {name: other-keys, mountPath: /etc/curfew/other-keys, readOnly: true}
{{- end }}
{{- if eq .of.store.kind "postgres" }}
- {name: database, mountPath: /etc/curfew/database, readOnly: true}
{{- end }}
{{- if include "curfew.hasFiles" . }}
- {name: files, mountPath: /etc/curfew/files, readOnly: true}
{{- end }}
{{- end }}

{{- define "curfew.broker.volumes" -}}
- {name: config, configMap: {name: {{ include "curfew.name" . }}}}
- {name: tls, secret: {secretName: {{ .of.tlsSecret }}, defaultMode: 0440}}
- {name: keys, secret: {secretName: {{ .of.encryptionKey.secret }}, defaultMode: 0440}}
{{- with .of.otherEncryptionKey.secret }}
- {name: other-keys, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- if eq .of.store.kind "postgres" }}
- {name: database, secret: {secretName: {{ .of.store.postgres.secret }}, defaultMode: 0440}}
{{- end }}
{{- if include "curfew.hasFiles" . }}
{{ include "curfew.files" . }}
{{- end }}
{{- end }}
