#!/usr/bin/env bash
# Runs the commands at the top of docs/sandbox.md with the AWS CLI, on a free port. LOGKEY_BINARY is the path of the
# program, and the argument is the folder of the AWS CLI.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$(realpath "$LOGKEY_BINARY")" "$work/logkey"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
{
  # shellcheck disable=SC2016
  echo 'set -e; trap '"'"'kill $(jobs -p)'"'"' EXIT'
  awk '/^```$/{code = 0} code{print} /^```sh$/{code = 1}' docs/sandbox.md | sed "s/127\.0\.0\.1:4566/127.0.0.1:$port/g"
} >"$work/script"
PATH=$work:$1:$PATH timeout 60 bash "$work/script" >"$work/out" 2>"$work/err"
code=$?
if ((code == 0)) && grep -q '"SessionToken"' "$work/out" && grep -q '"logGroupName": "/payments/api"' "$work/out"; then
  echo "1 passed, 0 failed"
else
  echo "FAILED: the commands of docs/sandbox.md ended with exit code $code"
  cat "$work/out" "$work/err"
  echo "0 passed, 1 failed"
  exit 1
fi
