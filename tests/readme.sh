#!/usr/bin/env bash
# Runs the commands of README.md under "Try it by hand" and then those of docs/grpcurl.md, docs/bulk.md and docs/rules.md
# in order, on free ports.
# LOGKEY_BINARY and GRPCURL are the paths of the programs.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

readme=$PWD/README.md
guides=("$PWD/docs/grpcurl.md" "$PWD/docs/bulk.md" "$PWD/docs/rules.md")
work=$(mktemp -d)
script=$work/script
# Stop everything that the commands started.
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

{
  echo 'set -euo pipefail'
  # shellcheck disable=SC2016
  echo 'trap '"'"'kill $(jobs -p); wait'"'"' EXIT'
  echo 'export LOGKEY__SERVER__LISTEN=127.0.0.1:50051 LOGKEY__SERVER__ADMIN_LISTEN=127.0.0.1:9464'
  awk '/^## /{here = /^## Try it by hand/} here && /^```$/{code = 0} here && code{print} here && /^```sh$/{code = 1}' "$readme"
  awk '/^```$/{code = 0} code{print} /^```sh$/{code = 1}' "${guides[@]}"
} >"$script"
for port in 4566 50051 9464; do sed -i "s/127\.0\.0\.1:$port/127.0.0.1:$(free_port)/g" "$script"; done

mkdir "$work/bin" "$work/empty" && cd "$work/empty" || exit 1
ln -s "$(realpath "$LOGKEY_BINARY")" "$work/bin/logkey"
ln -s "$(realpath "$GRPCURL")" "$work/bin/grpcurl"
PATH=$work/bin:$PATH timeout 120 bash "$script" >"$work/out" 2>"$work/err"
code=$?

passed=0 failed=0
# claim TEXT PATTERN: the output of the commands matches the pattern.
claim() {
  if grep -qE "$2" "$work/out"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $1 (the output does not match $2)"
  fi
}
claim "logkey check accepts the configuration" 'is valid: 1 tenant, 1 account, 1 issuer'
claim "whoami shows the tenant" '^TENANT +payments'
claim "get shows the key that was set" '^KEY +1234abcd-12ab-34cd-56ef-1234567890ab'
claim "usage says that data still needs the key" '^VERDICT +STILL_PROTECTS_DATA'
claim "check-key says that the key would be refused" '^VERDICT +WOULD_FAIL'
claim "access lists the checks of the role" 'ROLE_ASSUMABLE +PASSED'
claim "GetCaller returns the tenant" '"tenantId": "payments"'
claim "an alias is resolved and its key is set" '"kmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"'
claim "the association is read from AWS" '"source": "SOURCE_LIVE"'
claim "the response warns about the former key" 'FORMER_KEY_STILL_PROTECTS_DATA'
claim "CheckKeyAssociation reports a key that would fail" 'VERDICT_WOULD_FAIL'
claim "a bulk job is planned" 'BULK_STATE_PLANNED'
claim "an item of the started job failed" '"reason": "KEY_DISABLED"'
claim "the retried job changed every log group" '"succeeded": 2'
claim "a key that a job moved away from still protects data" 'DELETION_VERDICT_STILL_PROTECTS_DATA'
claim "a rule in report mode counts what it would change" '"toChange": 2'
claim "too many changes pause a rule" '"pauseReason": ".*1'
claim "the job of a rule sets the key" '"ruleId": '
claim "the coverage counts the log groups with the key" '"compliant": 2'
claim "the history has a point for today" "\"date\": \"$(date -u +%Y-)"
claim "curl reads the association by JSON" '"logGroupName":"/payments/api"'
claim "curl shows the reason of an error" '"code":"not_found".*"reason":"LOG_GROUP_NOT_FOUND"'
claim "logkey audit list shows the change" 'DisassociateKmsKey'
if ((code != 0)); then
  failed=$((failed + 1))
  echo "FAILED: the commands ended with exit code $code"
fi
if ((failed > 0)); then sed 's/^/out: /' "$work/out" && sed 's/^/err: /' "$work/err"; fi
echo "$passed passed, $failed failed"
((failed == 0))
