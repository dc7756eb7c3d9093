{{/* Names. */}}
{{- define "symroute.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 57 | trimSuffix "-" }}
{{- end }}

{{/* 57 characters leave room for "-agent" in a label's 63. */}}
{{- define "symroute.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else if contains (include "symroute.name" .) .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "symroute.name" .) | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "symroute.agent" -}}
{{ include "symroute.fullname" . }}-agent
{{- end }}

{{- define "symroute.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "symroute.agent" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* A DaemonSet's selector cannot be changed: what is in here stays. */}}
{{- define "symroute.selector" -}}
app.kubernetes.io/name: {{ include "symroute.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "symroute.labels" -}}
{{ include "symroute.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: symroute
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "symroute.image" -}}
{{- with .Values.image }}
{{- .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/*
What platforms have elsewhere than containerd, CRI-O and libcni do by default.

  k3s        /var/lib/rancher/k3s/data/cni since v1.28.15, v1.29.10, v1.30.6, v1.31.2
             (docs.k3s.io/networking/multus-ipams)
  rke2       the defaults (values of the chart rke2-multus: binDir /opt/cni/bin)
  microk8s   the snap's data (istio.io/latest/docs/ambient/install/platform-prerequisites, canonical/microk8s#1301)
  gke        /home/kubernetes/bin, and pods of system-node-critical need a ResourceQuota (istio.io, same page)
  talos      /var/run/netns is not /run/netns (docs.siderolabs.com/kubernetes-guides/cni/multus)
  openshift  /var/lib/cni/bin (Istio's profile "openshift"); SELinux keeps containers off the node's folders, unless they
             are spc_t, and pods with hostPath need a security context constraint
*/}}
{{- define "symroute.presets" -}}
"":        {}
k3s:       {binDir: /var/lib/rancher/k3s/data/cni}
rke2:      {}
microk8s:  {binDir: /var/snap/microk8s/current/opt/cni/bin}
gke:       {binDir: /home/kubernetes/bin, resourceQuota: true}
talos:     {netnsDir: /var/run/netns}
openshift: {binDir: /var/lib/cni/bin, constraint: privileged, securityContext: {seLinuxOptions: {type: spc_t}}}
{{- end }}

{{/* Values with what the platform has in the place of what the user left open. */}}
{{- define "symroute.platform" -}}
{{- $defaults := dict "binDir" "/opt/cni/bin" "cacheDir" "/var/lib/cni" "netnsDir" "/run/netns"
      "resourceQuota" false "constraint" "" "securityContext" dict }}
{{- $preset := get (fromYaml (include "symroute.presets" .)) .Values.platform }}
{{- $chosen := dict }}
{{- range $key := list "binDir" "cacheDir" "netnsDir" }}
{{- with get $.Values.cni $key }}{{ $_ := set $chosen $key (trimSuffix "/" .) }}{{ end }}
{{- end }}
{{- if kindIs "bool" .Values.resourceQuota.create }}
{{- $_ := set $chosen "resourceQuota" .Values.resourceQuota.create }}
{{- end }}
{{- toYaml (mergeOverwrite $defaults $preset $chosen) }}
{{- end }}

{{/* Whether the agent installs; what it repairs. An agent that is about to go does neither. */}}
{{- define "symroute.installs" -}}
{{- if and .Values.install.enabled (not .Values.uninstall) }}true{{ end }}
{{- end }}

{{- define "symroute.repair" -}}
{{- ternary "off" .Values.repair.mode .Values.uninstall }}
{{- end }}

{{- define "symroute.token" -}}
{{- if kindIs "bool" .Values.serviceAccount.automountToken }}
{{- .Values.serviceAccount.automountToken }}
{{- else }}
{{- .Values.events.enabled }}
{{- end }}
{{- end }}

{{/* Seconds of a duration such as 1h30m. */}}
{{- define "symroute.seconds" -}}
{{- $seconds := 0 }}
{{- range $unit, $length := dict "h" 3600 "m" 60 "s" 1 }}
{{- with regexFind (printf "[0-9]+%s" $unit) $ }}
{{- $seconds = add $seconds (mul (trimSuffix $unit . | atoi) $length) }}
{{- end }}
{{- end }}
{{- $seconds }}
{{- end }}

{{/* Values that exclude one another. */}}
{{- define "symroute.validate" -}}
{{- with .Values }}
{{- if and .events.enabled (ne (include "symroute.token" $) "true") }}
{{- fail "events.enabled needs the service account's token: remove serviceAccount.automountToken, or set it to true" }}
{{- end }}
{{- if and .events.enabled (eq (include "symroute.serviceAccount" $) "default") }}
{{- fail "events.enabled needs a service account of its own: set serviceAccount.create to true, or serviceAccount.name" }}
{{- end }}
{{- range $key := list "podMonitor" "prometheusRule" "grafanaDashboard" }}
{{- if and (get $.Values $key).enabled (not $.Values.metrics.enabled) }}
{{- fail (printf "%s.enabled needs metrics: set metrics.enabled to true" $key) }}
{{- end }}
{{- end }}
{{- range $key, $wanted := dict "drops.enabled" .drops.enabled "metrics.deviationSeries" .metrics.deviationSeries }}
{{- if and $wanted (not $.Values.metrics.enabled) }}
{{- fail (printf "%s is told by metrics only: set metrics.enabled to true" $key) }}
{{- end }}
{{- end }}
{{- $local := or (hasPrefix "127." .metrics.bindAddress) (has .metrics.bindAddress (list "::1" "localhost")) }}
{{- if and .podMonitor.enabled $local }}
{{- fail (printf "podMonitor.enabled: Prometheus does not reach %s: remove metrics.bindAddress, or set it to an address of the node"
      .metrics.bindAddress) }}
{{- end }}
{{- if and .metrics.enabled (eq (int .metrics.port) (int .health.port)) }}
{{- fail (printf "metrics.port and health.port are both %d: the agent listens at each" (int .health.port)) }}
{{- end }}
{{- if lt (include "symroute.seconds" .audit.interval | int) 1 }}
{{- fail (printf "audit.interval: %s is too short: set it to 1s or more, such as 5m" .audit.interval) }}
{{- end }}
{{- if and .uninstall (not .install.enabled) }}
{{- fail "uninstall removes what install put there, and install.enabled is false: set it to true, or uninstall to false" }}
{{- end }}
{{- end }}
{{- end }}

{{/* [HOST]:PORT, as Go's net.Listen takes it. */}}
{{- define "symroute.metricsAddress" -}}
{{- with .Values.metrics }}
{{- $host := ternary (printf "[%s]" .bindAddress) .bindAddress (contains ":" .bindAddress) }}
{{- printf "%s:%d" $host (int .port) }}
{{- end }}
{{- end }}

{{/* What the agent and the pod of "helm test" must know of the node. */}}
{{- define "symroute.recordsArgs" -}}
{{- $platform := fromYaml (include "symroute.platform" .) -}}
- --data-dir={{ join "," .Values.cni.dataDirs }}
{{- end }}

{{- define "symroute.recordsVolumes" -}}
{{- $platform := fromYaml (include "symroute.platform" .) -}}
# Namespaces of pods.
- name: netns
  hostPath:
    path: {{ $platform.netnsDir }}
    type: DirectoryOrCreate # a node without pods has none
# Results that libcni remembers: names of pods without a record.
- name: cni-cache
  hostPath:
    path: {{ $platform.cacheDir }}
    type: DirectoryOrCreate
{{- range $i, $dir := .Values.cni.dataDirs }}
# symroute's records of attachments, and their locks.
- name: records-{{ $i }}
  hostPath:
    path: {{ trimSuffix "/" $dir }}
    type: DirectoryOrCreate
{{- end }}
{{- end }}

{{- define "symroute.recordsMounts" -}}
{{- $platform := fromYaml (include "symroute.platform" .) -}}
# Runtimes name a namespace by either path: /var/run is a link on the node, and none in the image. HostToContainer: the
# namespaces of pods that start later are seen, too.
{{- range $dir := list $platform.netnsDir "/run/netns" "/var/run/netns" | uniq }}
- name: netns
  mountPath: {{ $dir }}
  mountPropagation: HostToContainer
  readOnly: true
{{- end }}
- name: cni-cache
  mountPath: {{ $platform.cacheDir }}
  readOnly: true
{{- range $i, $dir := .Values.cni.dataDirs }}
- name: records-{{ $i }}
  mountPath: {{ trimSuffix "/" $dir }}
{{- end }}
{{- end }}

{{/*
The security context of a container: (list ROOT REPAIR WATCH). With neither a platform's nor the user's own it is
rendered with its reasons, else merged with them.
*/}}
{{- define "symroute.securityContext" -}}
{{- $root := index . 0 }}
{{- $platform := fromYaml (include "symroute.platform" $root) }}
{{- $over := mergeOverwrite (dict) $platform.securityContext (deepCopy $root.Values.securityContext) }}
{{- if $over }}
{{- toYaml (mergeOverwrite (fromYaml (include "symroute.leastPrivilege" .)) $over) }}
{{- else }}
{{- include "symroute.leastPrivilege" . }}
{{- end }}
{{- end }}

{{- define "symroute.leastPrivilege" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: false
runAsUser: 0 # the node's folders are root's
runAsGroup: 0
seccompProfile:
  type: RuntimeDefault
capabilities:
  drop:
    - ALL
  add:
    # To enter the network namespaces of pods: setns(2) asks for it. To count drops it is enough, too.
    - SYS_ADMIN
    {{- if index . 1 }}
    # To repair: rules, routes and settings of the pods.
    - NET_ADMIN
    {{- end }}
    {{- if index . 2 }}
    # To hear of changes in the pods by one socket: NETLINK_LISTEN_ALL_NSID asks for it.
    - NET_BROADCAST
    {{- end }}
{{- end }}
