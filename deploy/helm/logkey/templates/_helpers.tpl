{{/* The name of every object of the release. */}}
{{- define "logkey.name" -}}
{{- if contains "logkey" .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-logkey" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "logkey.selectorLabels" -}}
app.kubernetes.io/name: logkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "logkey.labels" -}}
{{ include "logkey.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "logkey.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "logkey.name" .) "default") }}
{{- end -}}

{{- define "logkey.image" -}}
{{- $image := .Values.image -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{/* What the schema cannot say with a message that tells what to do. */}}
{{- define "logkey.check" -}}
{{- if eq .Values.mode "postgres" -}}
{{- if has .Values.limits.backend (list "" "local") -}}
{{- fail "mode postgres requires limits.backend, so that the replicas share tenants' limits and AWS's quotas: set for example redis://redis:6379" -}}
{{- end -}}
{{- if not .Values.store.existingSecret -}}
{{- fail "mode postgres requires store.existingSecret: a Secret with checkpoint.pem (openssl genpkey -algorithm ed25519), and url, or password with store.url" -}}
{{- end -}}
{{- else -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled requires mode postgres: a SQLite store belongs to one replica" -}}
{{- end -}}
{{- if .Values.store.url -}}
{{- fail "store.url requires mode postgres" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled requires ingress.hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled requires httpRoute.parentRefs: name the Gateway" -}}
{{- end -}}
{{- end -}}

{{/* The environment of the container: the settings that the chart decides on. */}}
{{- define "logkey.env" -}}
- { name: LOGKEY__SERVER__LISTEN, value: "0.0.0.0:50051" }
- { name: LOGKEY__SERVER__ADMIN_LISTEN, value: "0.0.0.0:9464" }
- { name: LOGKEY__TENANTS_DIR, value: /etc/logkey/tenants.d }
{{- if .Values.tls.enabled }}
- { name: LOGKEY__SERVER__TLS__CERT_FILE, value: /etc/logkey/tls/tls.crt }
- { name: LOGKEY__SERVER__TLS__KEY_FILE, value: /etc/logkey/tls/tls.key }
{{- if ne .Values.tls.clientAuth "none" }}
- { name: LOGKEY__SERVER__TLS__CLIENT_AUTH, value: {{ .Values.tls.clientAuth }} }
- { name: LOGKEY__SERVER__TLS__CLIENT_CA_FILE, value: /etc/logkey/tls/ca.crt }
{{- end }}
{{- else }}
- { name: LOGKEY__SERVER__ALLOW_PLAINTEXT, value: "true" }
{{- end }}
{{- if eq .Values.mode "sqlite" }}
- { name: LOGKEY__STORE__URL, value: "sqlite:///var/lib/logkey/logkey.db" }
{{- else if .Values.store.url }}
- { name: LOGKEY__STORE__URL, value: {{ .Values.store.url | quote }} }
- { name: LOGKEY__STORE__PASSWORD_FILE, value: /etc/logkey/store/password }
{{- else }}
- { name: LOGKEY__STORE__URL_FILE, value: /etc/logkey/store/url }
{{- end }}
{{- if .Values.store.existingSecret }}
- { name: LOGKEY__AUDIT__CHECKPOINT_KEY_FILE, value: /etc/logkey/store/checkpoint.pem }
{{- end }}
{{- if .Values.limits.backend }}
- { name: LOGKEY__LIMITS__BACKEND, value: {{ .Values.limits.backend | quote }} }
{{- if .Values.limits.existingSecret }}
- { name: LOGKEY__LIMITS__BACKEND_PASSWORD_FILE, value: /etc/logkey/limits/password }
{{- end }}
{{- end }}
{{- if .Values.policies.existingConfigMap }}
- { name: LOGKEY__POLICY__DIR, value: /etc/logkey/policies }
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pod, which is the same in both modes except for the store. */}}
{{- define "logkey.pod" -}}
metadata:
  labels:
    {{- include "logkey.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "logkey.serviceAccountName" . }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.mode "postgres" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "logkey.selectorLabels" . | nindent 10 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: logkey
      image: {{ include "logkey.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/logkey/main/logkey.toml]
      env:
        {{- include "logkey.env" . | nindent 8 }}
      ports:
        - name: grpc
          containerPort: 50051
        - name: admin
          containerPort: 9464
      startupProbe:
        httpGet: { path: /startupz, port: admin }
        periodSeconds: 5
        failureThreshold: {{ .Values.startupProbe.failureThreshold }}
      livenessProbe:
        httpGet: { path: /livez, port: admin }
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        periodSeconds: 5
      {{- if .Values.preStopSleepSeconds }}
      lifecycle:
        preStop:
          sleep: { seconds: {{ .Values.preStopSleepSeconds }} }
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        {{- if eq .Values.mode "sqlite" }}
        - { name: data, mountPath: /var/lib/logkey }
        {{- end }}
        # Whole directories: Kubernetes does not update single files (subPath) when a ConfigMap changes.
        - { name: config, mountPath: /etc/logkey/main, readOnly: true }
        - { name: tenants, mountPath: /etc/logkey/tenants.d, readOnly: true }
        {{- range $volume, $secret := include "logkey.secrets" . | fromYaml }}
        - { name: {{ $volume }}, mountPath: /etc/logkey/{{ $volume }}, readOnly: true }
        {{- end }}
        {{- if .Values.policies.existingConfigMap }}
        - { name: policies, mountPath: /etc/logkey/policies, readOnly: true }
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "logkey.name" . }} }
    - name: tenants
      configMap: { name: {{ include "logkey.name" . }}-tenants }
    {{- range $volume, $secret := include "logkey.secrets" . | fromYaml }}
    - name: {{ $volume }}
      secret: { secretName: {{ $secret }}, defaultMode: 0440 }
    {{- end }}
    {{- if .Values.policies.existingConfigMap }}
    - name: policies
      configMap: { name: {{ .Values.policies.existingConfigMap }} }
    {{- end }}
{{- end -}}

{{/* The existing Secrets by the directory under /etc/logkey where the pod has them. */}}
{{- define "logkey.secrets" -}}
{{- if .Values.tls.enabled }}
tls: {{ .Values.tls.existingSecret }}
{{- end }}
{{- with .Values.store.existingSecret }}
store: {{ . }}
{{- end }}
{{- with .Values.limits.existingSecret }}
limits: {{ . }}
{{- end }}
{{- with .Values.externalIds.existingSecret }}
external-ids: {{ . }}
{{- end }}
{{- end -}}
