#!/usr/bin/env bash
# Checks the events of real calls against the OCSF schema. service.py starts the service, sets LOGKEY_* and
# runs this script. GRPCURL is the path of grpcurl, which makes the calls.
#
#   served.sh PYTHON
#
# PYTHON is an interpreter with the packages of requirements.txt. Ends with `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
../grpcurl.sh >/dev/null || exit 1
"$LOGKEY_BINARY" audit list --config "$LOGKEY_CONFIG" --limit 100000 --json | "$1" validate.py intent outcome read refusal Start
