"""Checks the events on standard input, one per line, against the schema of OCSF 1.8.0.

    validate.py [KIND...]

ocsf-json-schema builds the schema from OCSF's own definitions, and jsonschema applies it. Ends with
`N passed, N failed`. Fails if an event does not conform, or if one of the given kinds does not occur. `all`
stands for every kind.
"""

import json
import sys
import uuid
from collections import Counter

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

KINDS = {"intent", "outcome", "settled", "read", "refusal", "lifecycle", "finding"}
# Actions of the service itself.
ACTIONS = {"Start", "Stop", "Reload", "Lost"}
SETTLED = {"in force", "not in force", "cannot tell"}
# Events that stand for several identical ones.
COUNTED = {"counted refusal", "counted lifecycle"}
# What happens to findings.
FINDINGS = {"Create", "Update", "Close"}
# The name of each class in OCSF.
CLASSES = {6003: "api_activity", 2003: "compliance_finding"}


def captions(attributes, event):
    """The text beside a number must be the caption that OCSF defines. Beside "Other" (99) any text is valid."""
    for name, attribute in attributes.items():
        beside, names = attribute.get("sibling"), attribute.get("enum")
        if not beside or not names or name not in event or beside not in event:
            continue
        number = event[name]
        caption = names.get(str(number), {}).get("caption")
        if number != 99 and event[beside] != caption:
            yield f"{beside} is {event[beside]!r}, but {name} {number} means {caption!r}"


def errors(event, line, raw, validators):
    kind = CLASSES[event["class_uid"]]
    yield from (f"{error.json_path} {error.message}" for error in validators[kind].iter_errors(event))
    # jsonschema does not check the captions beside the numbers.
    yield from captions(raw["classes"][kind]["attributes"], event)
    if "compliance" in event:
        yield from captions(raw["objects"]["compliance"]["attributes"], event["compliance"])
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        yield "type_uid is not class_uid * 100 + activity_id"
    if uuid.UUID(event["metadata"]["uid"]).version != 7:
        yield "the id is not a version 7 UUID"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in line.rstrip("\n")):
        yield "the event contains a control character"


def kinds_of(event):
    """The kinds that this event is an example of."""
    kind = event["metadata"]["event_code"]
    yield kind
    if kind == "lifecycle":
        yield event["api"]["operation"]
    if kind == "finding":
        yield event["activity_name"]
    if event.get("count", 1) > 1:
        yield f"counted {kind}"
    if settled := event["unmapped"]["logkey"].get("settled"):
        yield settled


def main() -> int:
    raw = get_ocsf_schema(version="1.8.0")
    schema = OcsfJsonSchemaEmbedded(raw)
    validators = {
        name: Draft202012Validator(schema.get_class_schema(class_name=name, profiles=["cloud"]))
        for name in CLASSES.values()
    }
    seen, count, failed = Counter(), 0, 0
    for count, line in enumerate(sys.stdin, 1):
        event = json.loads(line)
        seen.update(kinds_of(event))
        found = list(errors(event, line, raw, validators))
        for error in found:
            print(f"line {count}: {error}")
        failed += bool(found)
    expected = set(sys.argv[1:])
    missing = (KINDS | ACTIONS | SETTLED | COUNTED | FINDINGS if expected == {"all"} else expected) - seen.keys()
    if missing:
        print(f"these kinds do not occur: {sorted(missing)}")
    print(dict(seen))
    print(f"{count - failed} passed, {failed + len(missing)} failed")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
