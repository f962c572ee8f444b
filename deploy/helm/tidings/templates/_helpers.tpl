{{- define "tidings.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidings.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidings.selector" -}}
app.kubernetes.io/name: {{ include "tidings.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tidings.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tidings.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Not empty where an engine keeps the events. */}}
{{- define "tidings.engine" -}}
{{- or .Values.log.url .Values.log.existingSecret -}}
{{- end -}}

{{- define "tidings.scheme" -}}
{{- if .Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end -}}
{{- end -}}

{{/* What the chart can be told that would not run, said before anything is installed. */}}
{{- define "tidings.check" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set: name the image that you built with deploy/docker/Dockerfile" -}}
{{- end -}}
{{- $auth := .Values.auth -}}
{{- if not (or $auth.existingSecret $auth.jwksUrl $auth.anonymous.subscribe $auth.anonymous.publish) -}}
{{- fail "nobody may use the hub: set auth.existingSecret, auth.jwksUrl, or what needs no token in auth.anonymous" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "tidings.engine" .)) -}}
{{- fail "a log on disk belongs to one hub: set log.url to an engine, or replicas to 1" -}}
{{- end -}}
{{- end -}}

{{- define "tidings.pod" -}}
metadata:
  labels:
    {{- include "tidings.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # New settings are a new hub.
    checksum/config: {{ .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidings.fullname" . }}
  automountServiceAccountToken: false
  # Kubernetes would set TIDINGS_PORT and others of its own, and the hub's settings begin alike.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
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
  {{- if gt (int .Values.replicas) 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tidings.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: tidings
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - name: TIDINGS_LISTEN
          value: 0.0.0.0:8080
        - name: TIDINGS_LOG
          {{- if .Values.log.existingSecret }}
          valueFrom:
            secretKeyRef: { name: {{ .Values.log.existingSecret }}, key: {{ .Values.log.existingSecretKey }} }
          {{- else }}
          value: {{ .Values.log.url | default "disk:/var/lib/tidings/log" | quote }}
          {{- end }}
        {{- with .Values.auth.existingSecret }}
        - name: TIDINGS_AUTH_HS256_SECRET
          valueFrom:
            secretKeyRef: { name: {{ . }}, key: {{ $.Values.auth.existingSecretKey }} }
        {{- end }}
        {{- with .Values.auth.jwksUrl }}
        - name: TIDINGS_AUTH_JWKS_URL
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.auth.audience }}
        - name: TIDINGS_AUTH_AUDIENCE
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.auth.issuer }}
        - name: TIDINGS_AUTH_ISSUER
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.auth.anonymous.subscribe }}
        - name: TIDINGS_AUTH_ANONYMOUS_SUBSCRIBE
          value: {{ join "," . | quote }}
        {{- end }}
        {{- with .Values.auth.anonymous.publish }}
        - name: TIDINGS_AUTH_ANONYMOUS_PUBLISH
          value: {{ join "," . | quote }}
        {{- end }}
        {{- if .Values.config }}
        - name: TIDINGS_CONFIG
          value: /etc/tidings/tidings.toml
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: TIDINGS_TLS_CERTIFICATE
          value: /etc/tidings-tls/tls.crt
        - name: TIDINGS_TLS_KEY
          value: /etc/tidings-tls/tls.key
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        - name: TIDINGS_{{ $name | upper | replace "-" "_" }}
          {{- /* Helm takes every number for a fraction, and would write a million as 1e+06. */}}
          value: {{ if kindIs "float64" $value }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8080
      startupProbe:
        # A log that was not closed cleanly is read once before the hub listens.
        httpGet: { path: /healthz, port: http, scheme: {{ include "tidings.scheme" . }} }
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: { path: /healthz, port: http, scheme: {{ include "tidings.scheme" . }} }
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: { path: /readyz, port: http, scheme: {{ include "tidings.scheme" . }} }
        periodSeconds: 5
        timeoutSeconds: 5
      {{- if .Values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep: { seconds: {{ .Values.preStopSeconds }} }
      {{- end }}
      securityContext:
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL] }
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- if not (include "tidings.engine" .) }}
        - { name: log, mountPath: /var/lib/tidings }
        {{- end }}
        {{- if .Values.config }}
        - { name: config, mountPath: /etc/tidings, readOnly: true }
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - { name: tls, mountPath: /etc/tidings-tls, readOnly: true }
        {{- end }}
        - { name: tmp, mountPath: /tmp }
  volumes:
    - name: tmp
      emptyDir: { sizeLimit: 64Mi }
    {{- if .Values.config }}
    - name: config
      configMap: { name: {{ include "tidings.fullname" . }} }
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret: { secretName: {{ . }} }
    {{- end }}
{{- end -}}
