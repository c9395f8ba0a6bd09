"""Checks every event on standard input, one a line, against the schema of OCSF 1.8.0.

The schema is made by ocsf-json-schema from OCSF's own definitions and applied by jsonschema. Ends with
`N passed, N failed`; fails where an event does not fit, or where a kind of event is missing.
"""

import json
import sys
from collections import Counter

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

KINDS = {"intent", "outcome", "settled", "read", "refusal", "lifecycle"}


def main() -> int:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    api_activity = Draft202012Validator(schema.get_class_schema(class_name="api_activity", profiles=["cloud"]))
    kinds, failed = Counter(), 0
    for number, line in enumerate(sys.stdin, 1):
        event = json.loads(line)
        kinds[event["metadata"]["event_code"]] += 1
        faults = list(api_activity.iter_errors(event))
        # jsonschema does not look at the names beside each number; OCSF fixes them all the same.
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            faults.append("type_uid is not class_uid * 100 + activity_id")
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in line.rstrip("\n")):
            faults.append("a control character")
        for fault in faults:
            print(f"line {number}: {getattr(fault, 'json_path', '')} {getattr(fault, 'message', fault)}")
        failed += bool(faults)
    missing = KINDS - kinds.keys()
    if missing:
        print(f"no event of the kinds {sorted(missing)}")
    print(dict(kinds))
    print(f"{sum(kinds.values()) - failed} passed, {failed + len(missing)} failed")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
