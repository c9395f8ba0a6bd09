#!/usr/bin/env bash
# Tests the real binary with two identity providers: npm's oidc-provider (discovery, access tokens signed with
# RS256 and ES256, key rotation) and Dex (ID tokens). LOGKEY_BINARY (or LOGKEY_BIN) is the path of the binary,
# DEX that of the program in dex/ and DEX_WEB that of Dex's web directory. Needs node and npm.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LOGKEY_BINARY=${LOGKEY_BINARY:-${LOGKEY_BIN:?must be the path of the logkey binary}}

if ! cmp -s "$here/package-lock.json" "$here/node_modules/installed"; then
  npm ci --prefix "$here" --ignore-scripts --no-progress
  cp "$here/package-lock.json" "$here/node_modules/installed"
fi
exec node --test --test-reporter=spec "$here"/*.test.js
