{{/* What the chart decides goes over what was given: refusals.yaml has seen to it that nothing is overwritten. */}}
{{- define "curfew.broker.config" -}}
{{- with .Values.broker }}
{{- $keys := dict "encryption_key_file" (printf "/etc/curfew/keys/%s" .encryptionKey.key) }}
{{- if .otherEncryptionKey.secret }}
{{- $_ := set $keys "other_encryption_key_file" (printf "/etc/curfew/other-keys/%s" .otherEncryptionKey.key) }}
{{- end }}
{{- $store := dict "sqlite" (dict "file" "/var/lib/curfew/curfew.db") }}
{{- if eq .store.kind "postgres" }}
{{- $postgres := dict "url_file" (printf "/etc/curfew/database/%s" .store.postgres.key) "connections" .store.postgres.connections }}
{{- if .store.postgres.caFile }}{{- $_ := set $postgres "ca_file" .store.postgres.caFile }}{{- end }}
{{- $store = dict "postgres" $postgres }}
{{- end }}
{{- $own := dict "listen" (include "curfew.listen" (dict "of" . "port" 8443) | fromYaml) "keys" $keys "store" $store "metrics" (dict "address" .listenAddress "port" 9090) }}
{{- mergeOverwrite (deepCopy .config) $own | toYaml }}
{{- end }}
{{- end }}

{{- define "curfew.gateway.config" -}}
{{- with .Values.gateway }}
{{- $token := dict "token_file" (printf "/etc/curfew/token/%s" .token.key) }}
{{- $own := dict "listen" (include "curfew.listen" (dict "of" . "port" 6443) | fromYaml) "broker" $token "metrics" (dict "address" .listenAddress "port" 9091) }}
{{- mergeOverwrite (deepCopy .config) $own | toYaml }}
{{- end }}
{{- end }}

{{- define "curfew.listen" -}}
address: {{ .of.listenAddress | quote }}
port: {{ .port }}
tls: {cert_file: /etc/curfew/tls/tls.crt, key_file: /etc/curfew/tls/tls.key}
{{- end }}
