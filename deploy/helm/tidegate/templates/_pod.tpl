{{/* What the pods of the app and those of its migration have in common. */}}

{{- define "tidegate.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAsUser }}
runAsGroup: {{ int64 .Values.runAsUser }}
fsGroup: {{ int64 .Values.runAsUser }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tidegate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end }}

{{- define "tidegate.tmpdir" -}}
# The server makes it, with mode 0700: Ruby does not take the volume itself, which all users may write to.
- name: TMPDIR
  value: /tmp/app
{{- end }}

{{- define "tidegate.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- range $index, $path := .Values.writableDirectories }}
- name: writable-{{ $index }}
  mountPath: {{ $path }}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidegate.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.sizeLimits.tmp }}
{{- range $index, $path := .Values.writableDirectories }}
- name: writable-{{ $index }}
  emptyDir:
    sizeLimit: {{ $.Values.sizeLimits.writable }}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
