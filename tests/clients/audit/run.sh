#!/usr/bin/env bash
# Checks the audit log with third-party tools: events with the OCSF schema, exports with Go's sumdb and
# with fsck of transparency-dev/tessera, before and after an export is changed.
#
#   run.sh PYTHON FSCK
#
# PYTHON is an interpreter with the packages of requirements.txt. FSCK is the path of tessera's fsck. Ends with
# `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
python=$1 fsck=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# claim TEXT COMMAND...: the command succeeds.
claim() {
  local text=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1)) && echo "ok: $text"
  else
    failed=$((failed + 1)) && printf 'FAILED: %s\n%s\n' "$text" "$output"
  fi
}
refused() { ! "$@"; }
logkey() { "$bin/logkey" audit "$@" --store "sqlite://$work/log/logkey.db"; }
valid() { logkey list --limit 100000 --json | "$python" validate.py "$@"; }
tlog() { "$work/tlog" "$@"; }
# With only one worker, fsck hangs when it finds an invalid log.
sound() { timeout 60 "$fsck" -N 4 --storage_url="file://$1/" --public_key="$1/verifier.key" --ui=false; }
unsound() { sound "$1" 2>&1 | grep -q 'fsck failed'; }
# proved ID VERIFIER-KEY SHOWN: the proof of event ID is valid for the bytes of event SHOWN.
proved() {
  logkey prove "$1" --out "$work/proof" && logkey show --raw "$3" >"$work/event" &&
    tlog -proof "$work/proof" "$work/event" "$2"
}

cargo build --quiet --locked --bin logkey --example audit_log --example audit_full_disk || exit 1
bin=${CARGO_TARGET_DIR:-$PWD/../../../target}/debug
(cd tlog && GOFLAGS=-modcacherw go build -o "$work/tlog" .) || exit 1

mkdir "$work/log"
"$bin/examples/audit_log" "$work/log" 100 || exit 1
logkey export --out "$work/older" >/dev/null || exit 1
"$bin/examples/audit_log" "$work/log" 1000 || exit 1
logkey export --out "$work/out" >/dev/null || exit 1
newest() { logkey list --limit "$1" --json | tail -1 | "$python" -c 'import json, sys; print(json.load(sys.stdin)["metadata"]["uid"])'; }
id=$(newest 1)
other=$(newest 500)

claim "every event conforms to OCSF 1.8.0, and every kind occurs" valid all
claim "the log is complete and unchanged" logkey verify
claim "the log matches the older checkpoint" logkey verify --checkpoint "$work/older/checkpoint"
claim "sumdb verifies the proof of an event" proved "$other" "$work/out/verifier.key" "$other"
claim "sumdb rejects the proof for another event" refused proved "$other" "$work/out/verifier.key" "$id"
claim "sumdb verifies the entries, the tiles and a proof of each entry" tlog "$work/out"
claim "sumdb verifies that the log extends the older checkpoint" tlog "$work/out" "$work/older/checkpoint"
claim "tessera's fsck accepts the export" sound "$work/out"

claim "rotate-key adds a new signing key" logkey rotate-key
"$bin/examples/audit_log" "$work/log" 10 || exit 1
claim "the old verifier key still verifies the log" logkey verify --verifier "$work/older/verifier.key" --checkpoint "$work/older/checkpoint"
claim "rotate-key --end stops signing with the old key" logkey rotate-key --end
"$bin/examples/audit_log" "$work/log" 10 || exit 1
logkey export --out "$work/rotated" >/dev/null || exit 1
claim "the old verifier key verifies the log after the rotation" logkey verify --verifier "$work/older/verifier.key"
claim "sumdb verifies the export signed with the new key" tlog "$work/rotated"
claim "tessera's fsck accepts the export after the rotation" sound "$work/rotated"

claim "a rotation conforms to OCSF 1.8.0" valid RotateKey
claim "archive moves old events out" logkey archive --older-than 0s --out "$work/archive"
claim "sumdb verifies the archive" tlog "$work/archive"
claim "tessera's fsck accepts the archive" sound "$work/archive"
claim "events about the log itself conform to OCSF 1.8.0" valid Archive
logkey export --archive "$work/archive" --out "$work/both" >/dev/null || exit 1
claim "sumdb verifies that log and archive together extend the earlier export" tlog "$work/both" "$work/rotated/checkpoint"

cp -r "$work/out" "$work/changed"
bundle=$(find "$work/changed/tile/entries" -type f | sort | head -1)
sed -i 's/Informational/Unimportant!!/' "$bundle"
claim "sumdb detects a changed entry" refused tlog "$work/changed"
claim "tessera's fsck detects a changed entry" unsound "$work/changed"

# A private 12 MiB file system, half of it filled with ballast.
# shellcheck disable=SC2016
full_disk() {
  mkdir "$work/small" && unshare --map-root-user --mount bash -euc '
    mount -t tmpfs -o size=12m none "$1"
    head -c 6M /dev/zero >"$1/ballast"
    "$2/examples/audit_full_disk" "$1"
    "$2/logkey" audit verify --store "sqlite://$1/logkey.db"' - "$work/small" "$bin"
}
claim "a full disk refuses changes, and the log is intact once there is room again" full_disk

echo "$passed passed, $failed failed"
((failed == 0))
