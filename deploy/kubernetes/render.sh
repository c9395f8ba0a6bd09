#!/usr/bin/env bash
# Renders the plain manifests from the Helm chart. `render.sh DIR` writes them to another directory, for a comparison.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here}
for mode in sqlite postgres; do
  values=(--values "$here/values-common.yaml")
  if [[ -f "$here/values-$mode.yaml" ]]; then values+=(--values "$here/values-$mode.yaml"); fi
  {
    echo "# Rendered from deploy/helm/logkey by deploy/kubernetes/render.sh. Do not edit."
    # Helm's own labels do not belong to objects that Helm does not manage.
    "${HELM:-helm}" template logkey "$here/../helm/logkey" "${values[@]}" |
      sed -E '/^ *(helm.sh\/chart|app.kubernetes.io\/managed-by):/d; /^# Source:/d; s/ +$//'
  } >"$out/$mode.yaml"
done
