#!/usr/bin/env bash
# What a running service records of real calls, against OCSF's schema. Run by service.py, which starts the
# service and sets LOGKEY_*; GRPCURL makes the calls.
#
#   served.sh PYTHON
#
# PYTHON has what requirements.txt names. Ends with `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
../grpcurl.sh >/dev/null || exit 1
"$LOGKEY_BINARY" audit list --config "$LOGKEY_CONFIG" --limit 100000 --json | "$1" validate.py intent outcome read refusal Start
