"""Checks every event on standard input, one a line, against the schema of OCSF 1.8.0.

    validate.py [KIND...]

The schema is made by ocsf-json-schema from OCSF's own definitions and applied by jsonschema. Ends with
`N passed, N failed`; fails where an event does not fit, or where one of the kinds is missing: `all` is each.
"""

import json
import sys
import uuid
from collections import Counter

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

KINDS = {"intent", "outcome", "settled", "read", "refusal", "lifecycle"}
# What a service records of itself.
ACTS = {"Start", "Stop", "Reload", "Lost", "Archive", "RotateKey"}
SETTLED = {"in force", "not in force", "cannot tell"}
# Events that stand for several.
COUNTED = {"counted refusal", "counted lifecycle"}


def captions(attributes, event):
    """What stands beside a number has to be the name that OCSF gives it; "Other" may be any."""
    for name, attribute in attributes.items():
        beside, names = attribute.get("sibling"), attribute.get("enum")
        if not beside or not names or name not in event or beside not in event:
            continue
        number = event[name]
        caption = names.get(str(number), {}).get("caption")
        if number != 99 and event[beside] != caption:
            yield f"{beside} is {event[beside]!r}, and {name} {number} is {caption!r}"


def faults(event, line, validator, attributes):
    yield from (f"{fault.json_path} {fault.message}" for fault in validator.iter_errors(event))
    # jsonschema does not look at the names beside each number; OCSF fixes them all the same.
    yield from captions(attributes, event)
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        yield "type_uid is not class_uid * 100 + activity_id"
    if uuid.UUID(event["metadata"]["uid"]).version != 7:
        yield "the id is no UUID of version 7"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in line.rstrip("\n")):
        yield "a control character"


def seen_in(event):
    """What kinds of events this one is an example of."""
    kind = event["metadata"]["event_code"]
    yield kind
    if kind == "lifecycle":
        yield event["api"]["operation"]
    if event.get("count", 1) > 1:
        yield f"counted {kind}"
    if settled := event["unmapped"]["logkey"].get("settled"):
        yield settled


def main() -> int:
    raw = get_ocsf_schema(version="1.8.0")
    schema = OcsfJsonSchemaEmbedded(raw)
    api_activity = Draft202012Validator(schema.get_class_schema(class_name="api_activity", profiles=["cloud"]))
    attributes = raw["classes"]["api_activity"]["attributes"]
    seen, count, failed = Counter(), 0, 0
    for count, line in enumerate(sys.stdin, 1):
        event = json.loads(line)
        seen.update(seen_in(event))
        found = list(faults(event, line, api_activity, attributes))
        for fault in found:
            print(f"line {count}: {fault}")
        failed += bool(found)
    wanted = set(sys.argv[1:])
    missing = (KINDS | ACTS | SETTLED | COUNTED if wanted == {"all"} else wanted) - seen.keys()
    if missing:
        print(f"no event of the kinds {sorted(missing)}")
    print(dict(seen))
    print(f"{count - failed} passed, {failed + len(missing)} failed")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
