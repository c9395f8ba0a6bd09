#!/usr/bin/env bash
# Checks the audit log with tools that no one here wrote: events against OCSF's schema, an export with
# Go's sumdb and with the fsck of transparency-dev/tessera, before and after somebody changes it.
#
#   run.sh PYTHON FSCK
#
# PYTHON has what requirements.txt names; FSCK is tessera's. Ends with `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
python=$1 fsck=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# claim WORDS COMMAND...: the command succeeds.
claim() {
  local words=$1 said
  shift
  if said=$("$@" 2>&1); then
    passed=$((passed + 1)) && echo "ok: $words"
  else
    failed=$((failed + 1)) && printf 'FAILED: %s\n%s\n' "$words" "$said"
  fi
}
refused() { ! "$@"; }
logkey() { "$bin/logkey" audit "$@" --store "sqlite://$work/log/logkey.db"; }
valid() { logkey list --limit 100000 --json | "$python" validate.py "$@"; }
tlog() { "$work/tlog" "$@"; }
# With one worker, fsck waits for ever for the rest of a log that it found to be unsound.
sound() { timeout 60 "$fsck" -N 4 --storage_url="file://$1/" --public_key="$1/verifier.key" --ui=false; }
unsound() { sound "$1" 2>&1 | grep -q 'fsck failed'; }
# proved ID VERIFIER-KEY OF: the proof of an event leads from the bytes of OF to the root that is signed.
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

claim "every event fits OCSF 1.8.0, and every kind is there" valid all
claim "the log is whole" logkey verify
claim "the log is what the older checkpoint says" logkey verify --checkpoint "$work/older/checkpoint"
claim "sumdb finds an event proved to be in the log" proved "$other" "$work/out/verifier.key" "$other"
claim "sumdb finds another event not to be the one that is proved" refused proved "$other" "$work/out/verifier.key" "$id"
claim "sumdb finds the entries, the tiles and a proof of each under the signed root" tlog "$work/out"
claim "sumdb finds the log to continue the older one" tlog "$work/out" "$work/older/checkpoint"
claim "tessera's fsck finds the export sound" sound "$work/out"

claim "another key takes over" logkey rotate-key
"$bin/examples/audit_log" "$work/log" 10 || exit 1
claim "whoever knows the old key can follow" logkey verify --verifier "$work/older/verifier.key" --checkpoint "$work/older/checkpoint"
claim "the old key signs no more" logkey rotate-key --end
"$bin/examples/audit_log" "$work/log" 10 || exit 1
logkey export --out "$work/rotated" >/dev/null || exit 1
claim "the old key leads to the new one" logkey verify --verifier "$work/older/verifier.key"
claim "sumdb finds everything under the root that the new key signed" tlog "$work/rotated"
claim "tessera's fsck finds the export sound" sound "$work/rotated"

claim "old events are moved out" logkey archive --older-than 0s --out "$work/archive"
claim "sumdb finds the archive to be the log's beginning" tlog "$work/archive"
claim "tessera's fsck finds the archive sound" sound "$work/archive"
claim "what is done to the log itself fits OCSF 1.8.0 too" valid Archive RotateKey
logkey export --archive "$work/archive" --out "$work/both" >/dev/null || exit 1
claim "sumdb finds log and archive together to continue what was exported before" tlog "$work/both" "$work/rotated/checkpoint"

cp -r "$work/out" "$work/changed"
bundle=$(find "$work/changed/tile/entries" -type f | sort | head -1)
sed -i 's/Informational/Unimportant!!/' "$bundle"
claim "sumdb finds a changed entry" refused tlog "$work/changed"
claim "tessera's fsck finds a changed entry" unsound "$work/changed"

# A file system of 12 MiB of which ballast holds the half, seen by these commands alone.
# shellcheck disable=SC2016
full_disk() {
  mkdir "$work/small" && unshare --map-root-user --mount bash -euc '
    mount -t tmpfs -o size=12m none "$1"
    head -c 6M /dev/zero >"$1/ballast"
    "$2/examples/audit_full_disk" "$1"
    "$2/logkey" audit verify --store "sqlite://$1/logkey.db"' - "$work/small" "$bin"
}
claim "a full disk refuses calls, and all is as it was told when there is room again" full_disk

echo "$passed passed, $failed failed"
((failed == 0))
