#!/usr/bin/env bash
# Checks what a release installs, with tools that others wrote. It packages the unoptimized program of the tests. Building
# the image, arm64 and signing are not tested: they need a container engine, another machine and an identity.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
dir=$(mktemp --directory)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

# check NAME COMMAND...: counts whether the command succeeds, and shows its output if not.
check() {
  local name=$1
  shift
  if "$@" >"$dir/output" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    cat "$dir/output"
  fi
}

lines_of() { "$@" >"$dir/lines" && sort -o "$dir/lines" "$dir/lines"; }
has() { grep --quiet --extended-regexp -- "$1" "$dir/lines"; }
refuses() { ! "$@"; }

dockerfile() {
  check "the Dockerfile" "$HADOLINT" deploy/Dockerfile
  sed 's/^USER .*/USER root/; s/^FROM \(.*\) AS build/FROM rust:latest AS build/' deploy/Dockerfile >"$dir/Dockerfile"
  check "hadolint finds errors" refuses "$HADOLINT" "$dir/Dockerfile"
  check "the image runs as a user" grep -qx 'USER 10001:10001' deploy/Dockerfile
  check "the image has a health check" grep -q '"/usr/bin/logkey", "healthcheck"' deploy/Dockerfile
}

unit() {
  sed 's#/usr/bin/logkey#/bin/true#' deploy/systemd/logkey.service >"$dir/logkey.service"
  check "the unit" systemd-analyze verify "$dir/logkey.service"
  check "the unit has few privileges" systemd-analyze security --offline=true --threshold=20 "$dir/logkey.service"
  sed -i 's#/bin/true#/nonexistent/logkey#' "$dir/logkey.service"
  check "systemd-analyze finds errors" refuses systemd-analyze verify "$dir/logkey.service"
}

deb() {
  local deb="$dir/logkey.deb"
  check "the deb is made" cargo deb --no-build --no-strip --fast --profile dev --output "$deb"
  lines_of dpkg-deb --contents "$deb"
  check "the deb has the program" has '^-rwxr-xr-x [^ ]+ .* \./usr/bin/logkey$'
  check "the deb has the unit" has ' \./(usr/)?lib/systemd/system/logkey\.service$'
  check "the deb has the settings" has ' \./etc/logkey/logkey\.toml$'
  dpkg-deb --field "$deb" Depends >"$dir/lines"
  check "the deb needs certificates and a C library" has '^(.*, )?ca-certificates.*libc6|libc6.*ca-certificates'
  dpkg-deb --control "$deb" "$dir/control"
  check "upgrades keep changed settings" grep -qx /etc/logkey/logkey.toml "$dir/control/conffiles"
  check "the deb does not start the service" refuses grep -qE 'deb-systemd-invoke (start|restart)' "$dir/control/postinst"
  # There is no manual page.
  check "lintian" lintian --fail-on error --suppress-tags no-manual-page "$deb"
  dpkg-deb --extract "$deb" "$dir/root"
  check "the packaged program accepts the packaged settings" \
    "$dir/root/usr/bin/logkey" check --config "$dir/root/etc/logkey/logkey.toml"
}

rpm_package() {
  local rpm="$dir/logkey.rpm"
  check "the rpm is made" cargo generate-rpm --profile dev --target-dir "$CARGO_TARGET_DIR" --payload-compress none --output "$rpm"
  check "the rpm is whole" rpm --checksig --nosignature "$rpm"
  lines_of rpm --query --package --list "$rpm"
  check "the rpm has the program" has '^/usr/bin/logkey$'
  check "the rpm has the unit" has '^/usr/lib/systemd/system/logkey\.service$'
  lines_of rpm --query --package --configfiles "$rpm"
  check "upgrades of the rpm keep changed settings" has '^/etc/logkey/logkey\.toml$'
}

# Packaging tools look for the program in the target directory. Without its symbols it is a third as large.
mkdir --parents "$dir/target/debug"
strip -o "$dir/target/debug/logkey" "${LOGKEY_BINARY:?is the program to package}" || exit 1
export CARGO_TARGET_DIR="$dir/target"
dockerfile
unit
deb
rpm_package
echo "$passed passed, $failed failed"
((failed == 0))
