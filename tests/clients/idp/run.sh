#!/usr/bin/env bash
# Real identity providers in front of the real binary: npm's oidc-provider (discovery, access tokens in
# RS256 and ES256, a rotation of keys) and Dex (ID tokens).
# LOGKEY_BINARY (or LOGKEY_BIN) is the binary, DEX the one of dex/ and DEX_WEB Dex's own web folder; node
# and npm have to be there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LOGKEY_BINARY=${LOGKEY_BINARY:-${LOGKEY_BIN:?is the path of the logkey binary}}

if ! cmp -s "$here/package-lock.json" "$here/node_modules/installed"; then
  npm ci --prefix "$here" --ignore-scripts --no-progress
  cp "$here/package-lock.json" "$here/node_modules/installed"
fi
exec node --test --test-reporter=spec "$here"/*.test.js
