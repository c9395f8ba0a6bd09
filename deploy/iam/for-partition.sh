#!/usr/bin/env bash
# Writes the files of this directory for another partition and Region:
#
#   for-partition.sh PARTITION REGION DIR
#
# The suffix of the service principal of CloudWatch Logs comes from data/aws-partitions.txt.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# != 3)); then
  sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
partition=$1 region=$2 out=$3
read -r prefix suffix < <(awk -v name="$partition" '$1 == name { print $2, $3 }' "$here/../../data/aws-partitions.txt") || {
  echo "for-partition.sh: there is no partition $partition; data/aws-partitions.txt lists them" >&2
  exit 2
}
if [[ $prefix != - && $region != "$prefix"* ]]; then
  echo "for-partition.sh: $region is not a Region of $partition: its Regions begin with $prefix" >&2
  exit 2
fi
mkdir -p "$out"
for file in "$here"/*.json; do
  # Only the principal of CloudWatch Logs depends on the partition; that of EventBridge is the same everywhere.
  sed -e "s/arn:aws:/arn:$partition:/g" -e "s/us-east-1/$region/g" \
    -e "s/\(logs\.[^\".]*\)\.amazonaws\.com/\1.$suffix/g" "$file" >"$out/$(basename "$file")"
done
