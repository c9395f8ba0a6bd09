#!/bin/sh
# Trains a dictionary for compressed events: train.sh ID. It needs zstd and takes a few seconds after the build of the
# tests. A dictionary never changes after its release, because the events that name it stay in stores: train the next
# id, and let src/store/sqlite/packed_event.rs compress with it and still read all former ones.
set -eu
id=${1:?usage: train.sh ID}
to=$(dirname "$(realpath "$0")")/$id.zdict
[ ! -e "$to" ] || { echo "$to exists: use the next id" >&2; exit 1; }
samples=$(mktemp -d)
trap 'rm -rf "$samples"' EXIT
LOGKEY_SAMPLES=$samples cargo test --all-features --test it -- --ignored --exact store_size::samples_for_the_dictionary
zstd --train -q -r "$samples" --dictID="$id" --maxdict=16384 -o "$to"
