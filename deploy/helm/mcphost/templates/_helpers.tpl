{{- define "mcphost.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mcphost.selector" -}}
app.kubernetes.io/name: mcphost
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "mcphost.labels" -}}
{{ include "mcphost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "mcphost.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "mcphost.account" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "mcphost.fullname" . }}{{ else }}default{{ end }}
{{- end }}

{{- define "mcphost.secret" -}}
{{ .Values.existingSecret | default (include "mcphost.fullname" .) }}
{{- end }}

{{/*
Changes with the URLs that the chart was given: parts read them when they start, and the job runs for each. Their
passwords cannot be guessed from it: scrypt makes each guess dear.
*/}}
{{- define "mcphost.urls" -}}
{{- derivePassword 1 "long" (list .Values.databaseUrl .Values.brokerUrl | toJson) .Release.Name .Release.Namespace | sha256sum | trunc 16 }}
{{- end }}

{{- define "mcphost.claim" -}}
{{ .Values.persistence.existingClaim | default (printf "%s-data" (include "mcphost.fullname" .)) }}
{{- end }}

{{- define "mcphost.serversNamespace" -}}
{{ .Values.servers.namespace | default .Release.Namespace }}
{{- end }}

{{/* The first administrator's password is only for the job that makes him. */}}
{{- define "mcphost.env" -}}
- {name: SECRET_KEY_FILE, value: /run/secrets/mcphost/secret-key}
- {name: SECRET_ENCRYPTION_KEYS_FILE, value: /run/secrets/mcphost/encryption-keys}
- {name: DATABASE_URL_FILE, value: /run/secrets/mcphost/database-url}
- {name: BROKER_URL_FILE, value: /run/secrets/mcphost/broker-url}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mcphost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mcphost.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "mcphost.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/mcphost, readOnly: true}
{{- end }}
