#!/usr/bin/env bash
# Makes the files of a release in the directory `release`. Without an argument it runs the steps in this order:
#
#   build      the binary, which records its dependencies (cargo auditable)
#   sbom       a CycloneDX SBOM
#   packages   a deb, an rpm, a tar archive and the Helm chart
#   checksums  SHA256SUMS of all of these
#   sign       signs SHA256SUMS with cosign, with the identity of the pipeline that runs it
#   image      builds and pushes the image for amd64 and arm64, with pinned base images, and signs it;
#              needs IMAGE=REGISTRY/NAME
#
# Needs cargo with cargo-auditable, cargo-cyclonedx, cargo-deb and cargo-generate-rpm; helm, cosign and docker buildx
# for their steps. PROFILE=dev makes an unoptimized release for a trial.
# Run it on a machine of each architecture: the programs in C are not cross-compiled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=$PWD/release
profile=${PROFILE:-dist}
# The profile dev writes to `debug`.
built=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
arch=$(uname -m)

build() {
  cargo auditable build --locked --profile "$profile" --package logkey --no-default-features
}

sbom() {
  # The tool writes beside each manifest.
  cargo cyclonedx --manifest-path Cargo.toml --format json --spec-version 1.5 --no-default-features --target all \
    --override-filename logkey-sbom
  mv logkey-sbom.json "$out/logkey-$version-sbom.cdx.json"
  git ls-files --others --exclude-standard -z -- 'crates/*/logkey-sbom.json' | xargs --null --no-run-if-empty rm
}

packages() {
  local staging
  # The metadata in Cargo.toml names the files of the profile release.
  cargo deb --no-build --no-strip --profile "$profile" --output "$out/logkey_${version}_${arch}.deb"
  cargo generate-rpm --profile "$profile" --target-dir "${CARGO_TARGET_DIR:-target}" \
    --output "$out/logkey-$version.$arch.rpm"
  staging=$(mktemp --directory)
  install -D --mode 755 "$built/logkey" "$staging/logkey-$version/logkey"
  cp LICENSE README.md CHANGELOG.md deploy/logkey.example.toml deploy/systemd/logkey.service "$staging/logkey-$version"
  # The same input gives the same archive.
  tar --create --gzip --sort name --mtime "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" \
    --owner 0 --group 0 --numeric-owner --directory "$staging" \
    --file "$out/logkey-$version-$arch.tar.gz" "logkey-$version"
  rm -r "$staging"
  helm package deploy/helm/logkey --destination "$out"
}

checksums() {
  (cd "$out" && find . -maxdepth 1 -type f ! -name 'SHA256SUMS*' -printf '%P\0' | sort --zero-terminated |
    xargs --null sha256sum -- >SHA256SUMS)
}

sign() {
  # Keyless: cosign asks the pipeline for a token of its identity, and records the signature in a public log.
  cosign sign-blob --yes --bundle "$out/SHA256SUMS.sigstore.json" "$out/SHA256SUMS"
  echo "check it with: cosign verify-blob --bundle SHA256SUMS.sigstore.json --certificate-identity IDENTITY" \
    "--certificate-oidc-issuer ISSUER SHA256SUMS && sha256sum --check SHA256SUMS"
}

# Prints an image by its digest.
pinned() {
  local digest
  digest=$(docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}')
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "release.sh: $1 has no digest" >&2; return 1; }
  echo "$1@$digest"
}

image() {
  local image=${IMAGE:?set IMAGE to the name of the image in its registry} builder runtime
  builder=$(pinned "$(sed -n 's/^ARG BUILDER=//p' deploy/Dockerfile)")
  runtime=$(pinned "$(sed -n 's/^ARG RUNTIME=//p' deploy/Dockerfile)")
  docker buildx build --file deploy/Dockerfile --platform linux/amd64,linux/arm64 --pull --push \
    --provenance mode=max --sbom true --metadata-file "$out/image.json" \
    --build-arg BUILDER="$builder" --build-arg RUNTIME="$runtime" --build-arg BASE_DIGEST="${runtime#*@}" \
    --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse HEAD)" \
    --build-arg CREATED="$(date --utc --date "@$(git log -1 --format=%ct)" +%Y-%m-%dT%H:%M:%SZ)" \
    --tag "$image:$version" .
  cosign sign --yes "$image@$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$out/image.json")"
}

mkdir -p "$out"
for step in "${@:-build sbom packages checksums sign image}"; do
  for each in $step; do
    case $each in
      build | sbom | packages | checksums | sign | image) "$each" ;;
      *) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
  done
done
