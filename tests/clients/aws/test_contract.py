"""Runs the same steps against the embedded AWS and moto, and compares the responses.

The steps cover every operation that moto supports, in the same order. Both must return the same error, or
the embedded AWS must return every field that moto returns, with the same relevant values. DIFFERENCES and
docs/sandbox.md list every exception. The test fails if an exception is no longer one.
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

# Operations of the embedded AWS that moto does not support.
UNKNOWN_TO_MOTO = {
    "logs": ["AssociateKmsKey", "DisassociateKmsKey"],
    "iam": ["SimulatePrincipalPolicy"],
    "quotas": ["ListServiceQuotas"],
}

# How the two differ, by step. docs/sandbox.md contains the same texts.
DIFFERENCES = {
    "create a log group with a space in its name": "moto accepts any log group name and any retention; the sandbox enforces AWS's rules.",
    "create a log group with a reserved name": "moto accepts any log group name and any retention; the sandbox enforces AWS's rules.",
    "set a retention of eight days": "moto accepts any log group name and any retention; the sandbox enforces AWS's rules.",
    "find the log group by pattern": "moto ignores `logGroupNamePattern` and `logGroupIdentifiers` and returns every log group.",
    "find the log group by identifier": "moto ignores `logGroupNamePattern` and `logGroupIdentifiers` and returns every log group.",
    "use an invalid page token": "moto accepts any text as a page token.",
    "list the tags of a missing log group": "moto returns no tags for a missing log group; the sandbox refuses the request.",
    "describe the log stream": "the sandbox returns only name and ARN of a log stream; moto also returns times and sizes.",
    "get the results of a missing query": "moto fails (500) for a missing query; the sandbox refuses the request.",
    "create a signing key": "the sandbox never returns `SigningAlgorithms`; moto returns it even for keys that cannot sign.",
    "create a multi-Region key": "the sandbox does not return `MultiRegionConfiguration`.",
    "create an alias without the alias/ prefix": "an alias without `alias/` is `InvalidAliasNameException` in the sandbox and `ValidationException` in moto; AWS documents the former.",
    "get the key policy by alias": "`GetKeyPolicy` by an alias is `InvalidArnException` in the sandbox and `NotFoundException` in moto; AWS documents both.",
    "put an invalid key policy": "moto accepts any text as a key policy.",
    "schedule the deletion of the key": "moto does not return the new state of a key when its deletion is scheduled.",
    "enable a key that is scheduled for deletion": "moto enables a key whose deletion is scheduled; AWS requires that the deletion is cancelled first.",
    "assume a role": "moto returns `PackedPolicySize` even without a session policy.",
    "assume a role with a wrong external id": "moto lets anyone assume any role, whatever its trust policy, external id, duration or session policy.",
    "assume a missing role": "moto lets anyone assume any role, whatever its trust policy, external id, duration or session policy.",
    "assume a role for too long": "moto lets anyone assume any role, whatever its trust policy, external id, duration or session policy.",
    "assume a role with an invalid session policy": "moto lets anyone assume any role, whatever its trust policy, external id, duration or session policy.",
    "assume a role with too long a session policy": "moto lets anyone assume any role, whatever its trust policy, external id, duration or session policy.",
    "create a queue with a missing dead-letter queue": "a dead-letter queue that does not exist is `InvalidParameterValue` in the sandbox and `NonExistentQueue` in moto.",
    "create a queue with too long a visibility timeout": "moto accepts unknown and too large attributes of a queue, empty messages, and a batch with one id twice.",
    "create a queue with an unknown attribute": "moto accepts unknown and too large attributes of a queue, empty messages, and a batch with one id twice.",
    "delete a batch with one id twice": "moto accepts unknown and too large attributes of a queue, empty messages, and a batch with one id twice.",
    "send an empty message": "moto accepts unknown and too large attributes of a queue, empty messages, and a batch with one id twice.",
}


def step(name, service, operation, arguments=None, keep=None, value=None):
    """One call. `arguments` and `keep` get the values kept so far. `value` extracts what is compared."""
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


def queue(**more):
    return lambda kept: {"QueueUrl": kept["url"], **more}


def by_handle(**more):
    return lambda kept: {"QueueUrl": kept["url"], "ReceiptHandle": kept["handle"], **more}


def dead_letter(name, **more):
    def arguments(kept):
        redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{kept['account']}:{name}", "maxReceiveCount": 5}
        return {"QueueName": "contract", "Attributes": {"VisibilityTimeout": "600", "RedrivePolicy": json.dumps(redrive)}} | more

    return arguments


def handle(kept, answer):
    kept["handle"] = answer["Messages"][0]["ReceiptHandle"]


def received(answer):
    return [(each["Body"], each["MD5OfBody"], each.get("Attributes", {}).get("ApproximateReceiveCount")) for each in answer.get("Messages", [])]


WHEN = {"startTime": 0, "endTime": 1, "queryString": "fields @message"}
MISSING = "00000000-0000-4000-8000-000000000000"

STEPS = [
    step("create a log group", "logs", "create_log_group", group()),
    step("create the log group again", "logs", "create_log_group", group()),
    step("create a log group with too long a name", "logs", "create_log_group", lambda kept: {"logGroupName": "x" * 513}),
    step("create a log group with a space in its name", "logs", "create_log_group", lambda kept: {"logGroupName": "a b"}),
    step("create a log group with a reserved name", "logs", "create_log_group", lambda kept: {"logGroupName": "aws/spans"}),
    step("set a retention of seven days", "logs", "put_retention_policy", group(retentionInDays=7)),
    step("set a retention of eight days", "logs", "put_retention_policy", group(retentionInDays=8)),
    step("set the retention of a missing log group", "logs", "put_retention_policy", lambda kept: {"logGroupName": "/none", "retentionInDays": 7}),
    step("find the log group by prefix", "logs", "describe_log_groups", lambda kept: {"logGroupNamePrefix": "/contract/"}, value=names),
    step("find the log group by pattern", "logs", "describe_log_groups", lambda kept: {"logGroupNamePattern": "contract"}, value=names),
    step("find the log group by identifier", "logs", "describe_log_groups", lambda kept: {"logGroupIdentifiers": ["/contract/one"]}, value=names),
    step("ask for too large a page of log groups", "logs", "describe_log_groups", lambda kept: {"limit": 51}),
    step("use an invalid page token", "logs", "describe_log_groups", lambda kept: {"nextToken": "none"}),
    step("delete the retention", "logs", "delete_retention_policy", group()),
    step("tag the log group", "logs", "tag_resource", lambda kept: {"resourceArn": f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/contract/one", "tags": {"a": "b"}}),
    step("list the tags of the log group", "logs", "list_tags_for_resource", lambda kept: {"resourceArn": f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/contract/one"}, value=lambda answer: answer["tags"]),
    step("get the tags of the log group by the tagging API", "resourcegroupstaggingapi", "get_resources", lambda kept: {"ResourceARNList": [f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/contract/one"]}, value=lambda answer: [each["Tags"] for each in answer["ResourceTagMappingList"]]),
    step("list the tags of a missing log group", "logs", "list_tags_for_resource", lambda kept: {"resourceArn": f"arn:aws:logs:{REGION}:{kept['account']}:log-group:/none"}),
    step("create a log stream", "logs", "create_log_stream", stream()),
    step("create the log stream again", "logs", "create_log_stream", stream()),
    step("create a log stream in a missing log group", "logs", "create_log_stream", lambda kept: {"logGroupName": "/none", "logStreamName": "one"}),
    step("put events", "logs", "put_log_events", lambda kept: stream(logEvents=[{"timestamp": kept["now"], "message": "one"}, {"timestamp": kept["now"] + 1, "message": "two"}])(kept)),
    step("put events into a missing log stream", "logs", "put_log_events", lambda kept: {"logGroupName": "/contract/one", "logStreamName": "none", "logEvents": [{"timestamp": kept["now"], "message": "x"}]}),
    step("put events out of order", "logs", "put_log_events", lambda kept: stream(logEvents=[{"timestamp": kept["now"] + 1, "message": "b"}, {"timestamp": kept["now"], "message": "a"}])(kept)),
    step("describe the log stream", "logs", "describe_log_streams", group(), value=lambda answer: [each["logStreamName"] for each in answer["logStreams"]]),
    step("get events", "logs", "get_log_events", stream(startFromHead=True), value=events),
    step("get events of a missing log stream", "logs", "get_log_events", lambda kept: {"logGroupName": "/contract/one", "logStreamName": "none"}),
    step("start a query", "logs", "start_query", group(**WHEN), keep=lambda kept, answer: kept.update(query=answer["queryId"])),
    step("get the results of the query", "logs", "get_query_results", lambda kept: {"queryId": kept["query"]}, value=lambda answer: answer["status"]),
    step("get the results of a missing query", "logs", "get_query_results", lambda kept: {"queryId": MISSING}),
    step("start a query in a missing log group", "logs", "start_query", lambda kept: {"logGroupName": "/none", **WHEN}),
    step("delete the log group", "logs", "delete_log_group", group()),
    step("delete the log group again", "logs", "delete_log_group", group()),
    step("create a key", "kms", "create_key", lambda kept: {"Description": "contract"}, keep=lambda kept, answer: kept.update(key=answer["KeyMetadata"]["KeyId"], arn=answer["KeyMetadata"]["Arn"]), value=state),
    step("create a signing key", "kms", "create_key", lambda kept: {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, value=state),
    step("create a multi-Region key", "kms", "create_key", lambda kept: {"MultiRegion": True}, value=lambda answer: answer["KeyMetadata"]["KeyId"][:4]),
    step("describe the key by id", "kms", "describe_key", of_key(), value=state),
    step("describe the key by ARN", "kms", "describe_key", lambda kept: {"KeyId": kept["arn"]}, value=state),
    step("describe a missing key", "kms", "describe_key", lambda kept: {"KeyId": MISSING}),
    step("describe a missing alias", "kms", "describe_key", lambda kept: {"KeyId": "alias/none"}),
    step("create an alias", "kms", "create_alias", lambda kept: {"AliasName": "alias/contract", "TargetKeyId": kept["key"]}),
    step("create the alias again", "kms", "create_alias", lambda kept: {"AliasName": "alias/contract", "TargetKeyId": kept["key"]}),
    step("create an alias without the alias/ prefix", "kms", "create_alias", lambda kept: {"AliasName": "contract", "TargetKeyId": kept["key"]}),
    step("describe the key by alias", "kms", "describe_key", lambda kept: {"KeyId": "alias/contract"}, value=state),
    step("update the alias to the same key", "kms", "update_alias", lambda kept: {"AliasName": "alias/contract", "TargetKeyId": kept["key"]}),
    step("list the aliases of the key", "kms", "list_aliases", of_key(), value=lambda answer: [each["AliasName"] for each in answer["Aliases"]]),
    step("list the keys", "kms", "list_keys"),
    step("get the key policy", "kms", "get_key_policy", of_key(PolicyName="default"), value=lambda answer: json.loads(answer["Policy"])["Statement"][0]["Action"]),
    step("get the key policy by alias", "kms", "get_key_policy", lambda kept: {"KeyId": "alias/contract", "PolicyName": "default"}),
    step("put another key policy", "kms", "put_key_policy", of_key(PolicyName="default", Policy=OPEN)),
    step("get the new key policy", "kms", "get_key_policy", of_key(PolicyName="default"), value=lambda answer: json.loads(answer["Policy"])),
    step("put an invalid key policy", "kms", "put_key_policy", of_key(PolicyName="default", Policy="{")),
    step("tag the key", "kms", "tag_resource", of_key(Tags=[{"TagKey": "a", "TagValue": "b"}, {"TagKey": "c", "TagValue": "d"}])),
    step("list the tags of the key", "kms", "list_resource_tags", of_key(), value=lambda answer: answer["Tags"]),
    step("untag the key", "kms", "untag_resource", of_key(TagKeys=["a"])),
    step("list the remaining tags of the key", "kms", "list_resource_tags", of_key(), value=lambda answer: answer["Tags"]),
    step("list the tags of a missing key", "kms", "list_resource_tags", lambda kept: {"KeyId": MISSING}),
    step("disable the key", "kms", "disable_key", of_key()),
    step("describe the disabled key", "kms", "describe_key", of_key(), value=state),
    step("enable the key", "kms", "enable_key", of_key()),
    step("schedule the deletion of the key", "kms", "schedule_key_deletion", of_key(PendingWindowInDays=7), value=lambda answer: answer.get("KeyState")),
    step("schedule the deletion too soon", "kms", "schedule_key_deletion", of_key(PendingWindowInDays=6)),
    step("enable a key that is scheduled for deletion", "kms", "enable_key", of_key()),
    step("cancel the deletion of the key", "kms", "cancel_key_deletion", of_key()),
    step("describe the key after the cancelled deletion", "kms", "describe_key", of_key(), value=state),
    step("assume a role", "sts", "assume_role", assume()),
    step("assume a role with a wrong external id", "sts", "assume_role", assume(ExternalId="external-2")),
    step("assume a missing role", "sts", "assume_role", assume(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/None")),
    step("assume a role for too long", "sts", "assume_role", assume(DurationSeconds=43_200)),
    step("assume a role with an invalid session policy", "sts", "assume_role", assume(Policy="{")),
    step("assume a role with too long a session policy", "sts", "assume_role", assume(Policy=" " * 2_049)),
    step("get the caller identity", "sts", "get_caller_identity"),
    step("create a queue", "sqs", "create_queue", lambda kept: {"QueueName": "dead"}),
    step("create a queue with a dead-letter queue", "sqs", "create_queue", dead_letter("dead"), keep=lambda kept, answer: kept.update(url=answer["QueueUrl"])),
    step("create the queue again", "sqs", "create_queue", dead_letter("dead")),
    step("create the queue with another attribute", "sqs", "create_queue", lambda kept: {"QueueName": "contract", "Attributes": {"VisibilityTimeout": "9"}}),
    step("create a queue with a missing dead-letter queue", "sqs", "create_queue", dead_letter("none", QueueName="other")),
    step("create a queue with a space in its name", "sqs", "create_queue", lambda kept: {"QueueName": "a b"}),
    step("create a queue with an unknown attribute", "sqs", "create_queue", lambda kept: {"QueueName": "other", "Attributes": {"Colour": "red"}}),
    step("create a queue with too long a visibility timeout", "sqs", "create_queue", lambda kept: {"QueueName": "third", "Attributes": {"VisibilityTimeout": "43201"}}),
    step("get the URL of the queue", "sqs", "get_queue_url", lambda kept: {"QueueName": "contract"}, value=lambda answer: answer["QueueUrl"].rsplit("/", 1)[1]),
    step("get the URL of a missing queue", "sqs", "get_queue_url", lambda kept: {"QueueName": "none"}),
    step("get the attributes of the queue", "sqs", "get_queue_attributes", queue(AttributeNames=["VisibilityTimeout", "RedrivePolicy"]), value=lambda answer: (answer["Attributes"]["VisibilityTimeout"], json.loads(answer["Attributes"]["RedrivePolicy"])["maxReceiveCount"])),
    step("send a message", "sqs", "send_message", queue(MessageBody="one"), value=lambda answer: answer["MD5OfMessageBody"]),
    step("send a message to a missing queue", "sqs", "send_message", lambda kept: {"QueueUrl": kept["url"].replace("contract", "none"), "MessageBody": "one"}),
    step("receive the message", "sqs", "receive_message", queue(MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"]), keep=handle, value=received),
    step("receive no message", "sqs", "receive_message", queue(), value=received),
    step("receive too many messages", "sqs", "receive_message", queue(MaxNumberOfMessages=11)),
    step("wait too long for a message", "sqs", "receive_message", queue(WaitTimeSeconds=21)),
    step("make the message visible", "sqs", "change_message_visibility", by_handle(VisibilityTimeout=0)),
    step("hide the message for too long", "sqs", "change_message_visibility", by_handle(VisibilityTimeout=43_201)),
    step("receive the message again", "sqs", "receive_message", queue(MessageSystemAttributeNames=["ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"]), keep=handle, value=received),
    step("delete the message", "sqs", "delete_message", by_handle()),
    step("delete the message again", "sqs", "delete_message", by_handle()),
    step("delete a message by an invalid handle", "sqs", "delete_message", queue(ReceiptHandle="none")),
    step("send another message", "sqs", "send_message", queue(MessageBody="two")),
    step("receive the other message", "sqs", "receive_message", queue(), keep=handle, value=received),
    step("delete a batch", "sqs", "delete_message_batch", lambda kept: {"QueueUrl": kept["url"], "Entries": [{"Id": "a", "ReceiptHandle": kept["handle"]}]}, value=lambda answer: [each["Id"] for each in answer["Successful"]]),
    step("delete a batch with one id twice", "sqs", "delete_message_batch", queue(Entries=[{"Id": "a", "ReceiptHandle": "x"}, {"Id": "a", "ReceiptHandle": "y"}])),
    step("delete an empty batch", "sqs", "delete_message_batch", queue(Entries=[])),
    step("send an empty message", "sqs", "send_message", queue(MessageBody="")),
]


def camel(operation):
    return "".join(word.capitalize() for word in operation.split("_"))


class Side:
    """The embedded AWS or moto, with the values kept from its responses."""

    def __init__(self, clients, account, now):
        self.clients, self.kept = clients, {"account": account, "now": now}

    def call(self, entry):
        _, service, operation, arguments, keep, value = entry
        try:
            answer = getattr(self.clients[service], operation)(**arguments(self.kept))
        except ClientError as error:
            response = error.response
            return "error", (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], type(error).__name__)
        del answer["ResponseMetadata"]
        if keep:
            keep(self.kept, answer)
        return "answer", (form(answer), value(answer) if value else None)


def alike(ours, theirs):
    """Whether the embedded AWS returns what moto returns. It may return more fields."""
    if "error" in (ours[0], theirs[0]):
        return ours == theirs
    (our_form, our_value), (their_form, their_value) = ours[1], theirs[1]
    return their_form <= our_form and our_value == their_value


@pytest.fixture(scope="module")
def responses(running, moto):
    """The responses of both to every step."""

    def theirs(service):
        keys = {"aws_access_key_id": "AKIACONTRACT", "aws_secret_access_key": "moto"}
        return boto3.client(service, region_name=REGION, endpoint_url=moto, config=ONE_TRY, **keys)

    admin = f"AKIAADMIN{ACCOUNT}"
    ours = {service: running.client(service, admin) for service in ("logs", "kms", "resourcegroupstaggingapi", "sqs")} | {"sts": running.service_identity("sts")}
    moto_clients = {service: theirs(service) for service in ("logs", "kms", "resourcegroupstaggingapi", "sqs", "sts")}
    now = time.time_ns() // 1_000_000
    account = moto_clients["sts"].get_caller_identity()["Account"]
    sides = Side(ours, ACCOUNT, now), Side(moto_clients, account, now)
    return {entry[0]: tuple(side.call(entry) for side in sides) for entry in STEPS}


@pytest.mark.parametrize("name", [entry[0] for entry in STEPS])
def test_responses_are_equal_or_listed_as_different(responses, name):
    ours, theirs = responses[name]
    if name in DIFFERENCES:
        assert not alike(ours, theirs), f"{name}: the responses no longer differ; remove the entry from DIFFERENCES"
    else:
        assert alike(ours, theirs), f"{name}: embedded AWS {ours}, moto {theirs}"


def documented_operations():
    """The operations in docs/sandbox.md, by service."""
    rows = re.findall(r"^\| (STS|IAM|KMS|Logs|Quotas|SQS|Tagging) \| ([A-Za-z, ]+) \|$", DOCS.read_text(), re.MULTILINE)
    names = {"Tagging": "resourcegroupstaggingapi"}
    return {names.get(service, service.lower()): operations.split(", ") for service, operations in rows}


def test_every_operation_is_compared_or_unsupported_by_moto(moto):
    tried = {(service, camel(operation)) for _, service, operation, *_ in STEPS}
    for service, operations in documented_operations().items():
        for operation in operations:
            unknown = operation in UNKNOWN_TO_MOTO.get(service, [])
            assert unknown != ((service, operation) in tried), f"{service} {operation}"


def test_every_difference_is_documented():
    text = " ".join(DOCS.read_text().split())
    assert set(DIFFERENCES) <= {entry[0] for entry in STEPS}
    for words in DIFFERENCES.values():
        assert words in text, words
