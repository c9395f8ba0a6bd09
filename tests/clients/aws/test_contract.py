"""The same scenarios against the embedded AWS and against moto, operation by operation.

Where moto has an operation, both are asked the same in the same order, and answer alike: with the same
error, or with every field that moto answers and the values that matter. Every exception stands in
DIFFERENCES and in docs/sandbox.md, and is tested to be one.
"""

import json
import pathlib
import re
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, ONE_TRY, REGION
from test_moto import form

DOCS = pathlib.Path(__file__).parents[3] / "docs/sandbox.md"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Associator"
OPEN = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}]})

# Operations of ours that moto does not have.
UNKNOWN_TO_MOTO = {
    "logs": ["AssociateKmsKey", "DisassociateKmsKey"],
    "iam": ["SimulatePrincipalPolicy"],
    "quotas": ["ListServiceQuotas"],
}

# By step: in what the two differ. The words stand in docs/sandbox.md too.
DIFFERENCES = {
    "a name with a space": "moto takes any log group name and any retention; AWS's rules are held here.",
    "a name that AWS keeps to itself": "moto takes any log group name and any retention; AWS's rules are held here.",
    "eight days": "moto takes any log group name and any retention; AWS's rules are held here.",
    "it is found by a pattern": "moto passes over `logGroupNamePattern` and `logGroupIdentifiers` and tells every log group.",
    "it is found by its identifier": "moto passes over `logGroupNamePattern` and `logGroupIdentifiers` and tells every log group.",
    "a token that is none": "moto takes any text for a page token.",
    "tags of none": "moto tells no tags of a log group that is not there; here it is refused.",
    "the stream is told": "of a log stream, only name and ARN are told here; moto tells times and sizes too.",
    "results of none": "moto fails (500) on a query that is not there; here it is refused.",
    "a key that signs is made": "`SigningAlgorithms` is not told here, and by moto even of keys that cannot sign.",
    "a multi-Region key is made": "`MultiRegionConfiguration` is not told here.",
    "an alias that is no name": "an alias without `alias/` is `InvalidAliasNameException` here and `ValidationException` in moto; AWS documents the former.",
    "its policy by its alias": "`GetKeyPolicy` by an alias is `InvalidArnException` here and `NotFoundException` in moto; AWS documents both.",
    "a policy that is none": "moto takes any text for a key policy.",
    "it is to be deleted": "moto does not tell the key's new state when its deletion is scheduled.",
    "it cannot be enabled": "moto enables a key whose deletion is scheduled; AWS asks to cancel that first.",
    "a role is assumed": "moto tells `PackedPolicySize` also where there was no session policy.",
    "with another external id": "moto gives a session of any role to anyone, whatever its trust policy, external id, duration or session policy.",
    "a role that is none": "moto gives a session of any role to anyone, whatever its trust policy, external id, duration or session policy.",
    "for too long": "moto gives a session of any role to anyone, whatever its trust policy, external id, duration or session policy.",
    "a session policy that is none": "moto gives a session of any role to anyone, whatever its trust policy, external id, duration or session policy.",
    "a session policy that is too long": "moto gives a session of any role to anyone, whatever its trust policy, external id, duration or session policy.",
}


def step(name, service, operation, arguments=None, keep=None, value=None):
    """One question. `arguments` and `keep` are given what was kept so far; `value` is compared."""
    return name, service, operation, arguments or (lambda kept: {}), keep, value


def group(**more):
    return lambda kept: {"logGroupName": "/contract/one", **more}


def stream(**more):
    return lambda kept: {"logGroupName": "/contract/one", "logStreamName": "one", **more}


def of_key(**more):
    return lambda kept: {"KeyId": kept["key"], **more}


def state(answer):
    return answer["KeyMetadata"]["KeyState"]


def names(answer):
    return [each["logGroupName"] for each in answer["logGroups"]]


def events(answer):
    return [each["message"] for each in answer["events"]]


def assume(**more):
    return lambda kept: {"RoleArn": ROLE, "RoleSessionName": "tests", "ExternalId": "external-1", **more}


WHEN = {"startTime": 0, "endTime": 1, "queryString": "fields @message"}
MISSING = "00000000-0000-4000-8000-000000000000"

STEPS = [
    step("a log group is made", "logs", "create_log_group", group()),
    step("it is made again", "logs", "create_log_group", group()),
    step("a name that is too long", "logs", "create_log_group", lambda kept: {"logGroupName": "x" * 513}),
    step("a name with a space", "logs", "create_log_group", lambda kept: {"logGroupName": "a b"}),
    step("a name that AWS keeps to itself", "logs", "create_log_group", lambda kept: {"logGroupName": "aws/spans"}),
    step("it keeps events a week", "logs", "put_retention_policy", group(retentionInDays=7)),
    step("eight days", "logs", "put_retention_policy", group(retentionInDays=8)),
    step("a week, of none", "logs", "put_retention_policy", lambda kept: {"logGroupName": "/none", "retentionInDays": 7}),
    step("it is found by its prefix", "logs", "describe_log_groups", lambda kept: {"logGroupNamePrefix": "/contract/"}, value=names),
    step("it is found by a pattern", "logs", "describe_log_groups", lambda kept: {"logGroupNamePattern": "contract"}, value=names),
    step("it is found by its identifier", "logs", "describe_log_groups", lambda kept: {"logGroupIdentifiers": ["/contract/one"]}, value=names),
    step("a page that is too long", "logs", "describe_log_groups", lambda kept: {"limit": 51}),
    step("a token that is none", "logs", "describe_log_groups", lambda kept: {"nextToken": "none"}),
    step("it keeps events for ever", "logs", "delete_retention_policy", group()),
    step("it is tagged", "logs", "tag_resource", lambda kept: {"resourceArn": f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/contract/one", "tags": {"a": "b"}}),
    step("its tags", "logs", "list_tags_for_resource", lambda kept: {"resourceArn": f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/contract/one"}, value=lambda answer: answer["tags"]),
    step("its tags, as of any resource", "resourcegroupstaggingapi", "get_resources", lambda kept: {"ResourceARNList": [f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/contract/one"]}, value=lambda answer: [each["Tags"] for each in answer["ResourceTagMappingList"]]),
    step("tags of none", "logs", "list_tags_for_resource", lambda kept: {"resourceArn": f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/none"}),
    step("a stream is made", "logs", "create_log_stream", stream()),
    step("the stream is made again", "logs", "create_log_stream", stream()),
    step("a stream of none", "logs", "create_log_stream", lambda kept: {"logGroupName": "/none", "logStreamName": "one"}),
    step("events are put", "logs", "put_log_events", lambda kept: stream(logEvents=[{"timestamp": kept["now"], "message": "one"}, {"timestamp": kept["now"] + 1, "message": "two"}])(kept)),
    step("events are put into none", "logs", "put_log_events", lambda kept: {"logGroupName": "/contract/one", "logStreamName": "none", "logEvents": [{"timestamp": kept["now"], "message": "x"}]}),
    step("events in no order", "logs", "put_log_events", lambda kept: stream(logEvents=[{"timestamp": kept["now"] + 1, "message": "b"}, {"timestamp": kept["now"], "message": "a"}])(kept)),
    step("the stream is told", "logs", "describe_log_streams", group(), value=lambda answer: [each["logStreamName"] for each in answer["logStreams"]]),
    step("events are read", "logs", "get_log_events", stream(startFromHead=True), value=events),
    step("events are read of none", "logs", "get_log_events", lambda kept: {"logGroupName": "/contract/one", "logStreamName": "none"}),
    step("a query begins", "logs", "start_query", group(**WHEN), keep=lambda kept, answer: kept.update(query=answer["queryId"])),
    step("its results", "logs", "get_query_results", lambda kept: {"queryId": kept["query"]}, value=lambda answer: answer["status"]),
    step("results of none", "logs", "get_query_results", lambda kept: {"queryId": MISSING}),
    step("a query of none", "logs", "start_query", lambda kept: {"logGroupName": "/none", **WHEN}),
    step("it is deleted", "logs", "delete_log_group", group()),
    step("it is deleted again", "logs", "delete_log_group", group()),
    step("a key is made", "kms", "create_key", lambda kept: {"Description": "contract"}, keep=lambda kept, answer: kept.update(key=answer["KeyMetadata"]["KeyId"], arn=answer["KeyMetadata"]["Arn"]), value=state),
    step("a key that signs is made", "kms", "create_key", lambda kept: {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, value=state),
    step("a multi-Region key is made", "kms", "create_key", lambda kept: {"MultiRegion": True}, value=lambda answer: answer["KeyMetadata"]["KeyId"][:4]),
    step("it is described by its id", "kms", "describe_key", of_key(), value=state),
    step("it is described by its ARN", "kms", "describe_key", lambda kept: {"KeyId": kept["arn"]}, value=state),
    step("a key that is none", "kms", "describe_key", lambda kept: {"KeyId": MISSING}),
    step("an alias that is none", "kms", "describe_key", lambda kept: {"KeyId": "alias/none"}),
    step("it has an alias", "kms", "create_alias", lambda kept: {"AliasName": "alias/contract", "TargetKeyId": kept["key"]}),
    step("it has it again", "kms", "create_alias", lambda kept: {"AliasName": "alias/contract", "TargetKeyId": kept["key"]}),
    step("an alias that is no name", "kms", "create_alias", lambda kept: {"AliasName": "contract", "TargetKeyId": kept["key"]}),
    step("it is described by its alias", "kms", "describe_key", lambda kept: {"KeyId": "alias/contract"}, value=state),
    step("the alias stays with it", "kms", "update_alias", lambda kept: {"AliasName": "alias/contract", "TargetKeyId": kept["key"]}),
    step("its aliases", "kms", "list_aliases", of_key(), value=lambda answer: [each["AliasName"] for each in answer["Aliases"]]),
    step("all keys", "kms", "list_keys"),
    step("its policy", "kms", "get_key_policy", of_key(PolicyName="default"), value=lambda answer: json.loads(answer["Policy"])["Statement"][0]["Action"]),
    step("its policy by its alias", "kms", "get_key_policy", lambda kept: {"KeyId": "alias/contract", "PolicyName": "default"}),
    step("another policy", "kms", "put_key_policy", of_key(PolicyName="default", Policy=OPEN)),
    step("the policy that is now", "kms", "get_key_policy", of_key(PolicyName="default"), value=lambda answer: json.loads(answer["Policy"])),
    step("a policy that is none", "kms", "put_key_policy", of_key(PolicyName="default", Policy="{")),
    step("the key is tagged", "kms", "tag_resource", of_key(Tags=[{"TagKey": "a", "TagValue": "b"}, {"TagKey": "c", "TagValue": "d"}])),
    step("the key's tags", "kms", "list_resource_tags", of_key(), value=lambda answer: answer["Tags"]),
    step("a tag of the key is taken away", "kms", "untag_resource", of_key(TagKeys=["a"])),
    step("the tags that are left", "kms", "list_resource_tags", of_key(), value=lambda answer: answer["Tags"]),
    step("tags of a key that is none", "kms", "list_resource_tags", lambda kept: {"KeyId": MISSING}),
    step("it is disabled", "kms", "disable_key", of_key()),
    step("so it is", "kms", "describe_key", of_key(), value=state),
    step("it is enabled", "kms", "enable_key", of_key()),
    step("it is to be deleted", "kms", "schedule_key_deletion", of_key(PendingWindowInDays=7), value=lambda answer: answer.get("KeyState")),
    step("it is to be deleted too soon", "kms", "schedule_key_deletion", of_key(PendingWindowInDays=6)),
    step("it cannot be enabled", "kms", "enable_key", of_key()),
    step("it is kept", "kms", "cancel_key_deletion", of_key()),
    step("it is disabled then", "kms", "describe_key", of_key(), value=state),
    step("a role is assumed", "sts", "assume_role", assume()),
    step("with another external id", "sts", "assume_role", assume(ExternalId="external-2")),
    step("a role that is none", "sts", "assume_role", assume(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/None")),
    step("for too long", "sts", "assume_role", assume(DurationSeconds=43_200)),
    step("a session policy that is none", "sts", "assume_role", assume(Policy="{")),
    step("a session policy that is too long", "sts", "assume_role", assume(Policy=" " * 2_049)),
    step("who one is", "sts", "get_caller_identity"),
]


def camel(operation):
    return "".join(word.capitalize() for word in operation.split("_"))


class Side:
    """One of the two, and what was kept of its answers."""

    def __init__(self, clients, account, now):
        self.clients, self.kept = clients, {"account": account, "now": now}

    def ask(self, entry):
        _, service, operation, arguments, keep, value = entry
        try:
            answer = getattr(self.clients[service], operation)(**arguments(self.kept))
        except ClientError as error:
            told = error.response
            return "error", (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], type(error).__name__)
        del answer["ResponseMetadata"]
        if keep:
            keep(self.kept, answer)
        return "answer", (form(answer), value(answer) if value else None)


def alike(ours, theirs):
    """Whether ours answers what moto answers; it may tell more."""
    if "error" in (ours[0], theirs[0]):
        return ours == theirs
    (our_form, our_value), (their_form, their_value) = ours[1], theirs[1]
    return their_form <= our_form and our_value == their_value


@pytest.fixture(scope="module")
def asked(running, moto):
    """What both answer to every step, in order."""

    def theirs(service):
        keys = {"aws_access_key_id": "AKIACONTRACT", "aws_secret_access_key": "moto"}
        return boto3.client(service, region_name=REGION, endpoint_url=moto, config=ONE_TRY, **keys)

    admin = f"AKIAADMIN{ACCOUNT}"
    ours = {service: running.client(service, admin) for service in ("logs", "kms", "resourcegroupstaggingapi")} | {"sts": running.hub("sts")}
    moto_clients = {service: theirs(service) for service in ("logs", "kms", "resourcegroupstaggingapi", "sts")}
    now = time.time_ns() // 1_000_000
    account = moto_clients["sts"].get_caller_identity()["Account"]
    sides = Side(ours, ACCOUNT, now), Side(moto_clients, account, now)
    return {entry[0]: tuple(side.ask(entry) for side in sides) for entry in STEPS}


@pytest.mark.parametrize("name", [entry[0] for entry in STEPS])
def test_both_answer_alike_or_as_the_table_says(asked, name):
    ours, theirs = asked[name]
    if name in DIFFERENCES:
        assert not alike(ours, theirs), f"{name}: they no longer differ, so it can leave the table"
    else:
        assert alike(ours, theirs), f"{name}: ours {ours}, moto {theirs}"


def served():
    """The operations that docs/sandbox.md names, by service."""
    rows = re.findall(r"^\| (STS|IAM|KMS|Logs|Quotas|Tagging) \| ([A-Za-z, ]+) \|$", DOCS.read_text(), re.MULTILINE)
    names = {"Tagging": "resourcegroupstaggingapi"}
    return {names.get(service, service.lower()): operations.split(", ") for service, operations in rows}


def test_every_operation_is_held_against_moto_or_unknown_to_it(moto):
    tried = {(service, camel(operation)) for _, service, operation, *_ in STEPS}
    for service, operations in served().items():
        for operation in operations:
            unknown = operation in UNKNOWN_TO_MOTO.get(service, [])
            assert unknown != ((service, operation) in tried), f"{service} {operation}"


def test_every_difference_is_documented():
    text = " ".join(DOCS.read_text().split())
    assert set(DIFFERENCES) <= {entry[0] for entry in STEPS}
    for words in DIFFERENCES.values():
        assert words in text, words
