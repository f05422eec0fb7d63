{{- define "mcp.chart" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name alone where it holds that of the chart. Some room is left for "-redis". */}}
{{- define "mcp.name" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- $chart := include "mcp.chart" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mcp.secret" -}}
{{- .Values.secret.name | default (include "mcp.name" .) }}
{{- end }}

{{- define "mcp.selector" -}}
app.kubernetes.io/name: {{ include "mcp.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "mcp.redisSelector" -}}
app.kubernetes.io/name: {{ include "mcp.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end }}

{{- define "mcp.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Settings as variables of the environment: numbers as they are written, lists with commas. */}}
{{- define "mcp.settings" -}}
{{- $own := dict "admin" (dict "host" "0.0.0.0") }}
{{- if .Values.redis.enabled }}
{{- $_ := set $own "store" (dict "url" (printf "redis://%s-redis:6379" (include "mcp.name" .))) }}
{{- end }}
{{- range $section, $keys := mergeOverwrite $own (deepCopy .Values.settings) }}
{{- range $key, $value := $keys }}
{{- $text := kindIs "slice" $value | ternary (join "," $value) $value }}
{{- if kindIs "float64" $value }}{{ $text = printf "%.0f" $value }}{{ end }}
MCP__{{ upper $section }}__{{ upper $key }}: {{ $text | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Says what does not fit together, rather than starting pods that share nothing. */}}
{{- define "mcp.check" -}}
{{- $shared := or .Values.redis.enabled .Values.secret.hasStoreUrl (dig "store" "url" "" .Values.settings) }}
{{- if and (not $shared) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
{{- fail "several pods need a Redis that they share: redis.enabled, settings.store.url or secret.hasStoreUrl; without one say autoscaling.enabled=false and replicas=1" }}
{{- end }}
{{- if and .Values.redis.enabled (or .Values.secret.hasStoreUrl (dig "store" "url" "" .Values.settings)) }}
{{- fail "two stores are named: say redis.enabled=false to use another Redis than the chart's own" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.enabled needs ingress.host: without a name the Ingress would answer for all" }}
{{- end }}
{{- if and .Values.externalSecret.enabled (not (and .Values.externalSecret.store.name .Values.externalSecret.key)) }}
{{- fail "externalSecret.enabled needs externalSecret.store.name and externalSecret.key" }}
{{- end }}
{{- end }}
