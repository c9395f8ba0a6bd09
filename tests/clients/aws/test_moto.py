"""The embedded AWS beside moto, which other people made: boto3 asks both the same.

Whatever moto answers, ours answers in the same form; ours may tell more, as AWS does.
"""

import re

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, ONE_TRY, REGION

@pytest.fixture
def both(sandbox, moto):
    """Clients of a service for each of the two, with everything allowed."""

    def clients(service):
        ours = sandbox.client(service, f"AKIAADMIN{ACCOUNT}")
        theirs = boto3.client(
            service,
            region_name=REGION,
            endpoint_url=moto,
            aws_access_key_id="AKIAMOTO",
            aws_secret_access_key="moto",
            config=ONE_TRY,
        )
        return ours, theirs

    return clients


def form(value, path=""):
    """The fields of an answer with the types of their values; of lists, those of their items."""
    if isinstance(value, dict):
        return set().union(*(form(inner, f"{path}.{name}") for name, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(form(inner, f"{path}[]") for inner in value))
    return {(path, type(value).__name__)}


def ask(client, operation, arguments):
    try:
        answer = getattr(client, operation)(**arguments)
        del answer["ResponseMetadata"]
        return answer
    except ClientError as error:
        return error


def alike(clients, operation, besides=(), **arguments):
    """Asks both the same, and returns what ours answers, which has the form of moto's."""
    ours, theirs = (ask(client, operation, arguments) for client in clients)
    if isinstance(theirs, ClientError):
        assert isinstance(ours, ClientError), f"ours answers {ours}, moto {theirs}"
        assert type(ours).__name__ == type(theirs).__name__
        assert ours.response["Error"]["Code"] == theirs.response["Error"]["Code"]
        status = [each.response["ResponseMetadata"]["HTTPStatusCode"] for each in (ours, theirs)]
        assert status[0] == status[1]
        return without_names(ours), without_names(theirs)
    assert not isinstance(ours, ClientError), f"ours answers {ours}, moto {theirs}"
    missing = {entry for entry in form(theirs) - form(ours) if entry[0] not in besides}
    assert not missing, f"ours answers {ours}, moto {theirs}"
    return ours


def without_names(error):
    """An error's text, without what differs between two accounts."""
    return re.sub(r"\d{12}", "ACCOUNT", error.response["Error"]["Message"])


def test_a_session_has_the_same_form(sandbox, both):
    ours = sandbox.hub("sts")
    _, theirs = both("sts")
    # AWS tells the size of a session policy only where there is one; moto always.
    alike(
        (ours, theirs),
        "assume_role",
        besides={".PackedPolicySize"},
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Associator",
        RoleSessionName="tests",
        ExternalId="external-1",
    )
    alike((ours, theirs), "get_caller_identity")


def test_log_groups_are_made_told_and_deleted_alike(both):
    logs = both("logs")
    alike(logs, "create_log_group", logGroupName="/moto/one")
    ours, theirs = alike(logs, "create_log_group", logGroupName="/moto/one")
    assert ours == theirs
    alike(logs, "put_retention_policy", logGroupName="/moto/one", retentionInDays=7)
    found = alike(logs, "describe_log_groups", logGroupNamePrefix="/moto/")
    assert [each["logGroupName"] for each in found["logGroups"]] == ["/moto/one"]
    alike(logs, "describe_log_groups", logGroupNamePrefix="/moto/", limit=51)
    alike(logs, "delete_log_group", logGroupName="/moto/one")
    ours, theirs = alike(logs, "delete_log_group", logGroupName="/moto/one")
    assert ours == theirs


def test_log_groups_are_paged_alike(both):
    pages = []
    for logs in both("logs"):
        for n in range(12):
            logs.create_log_group(logGroupName=f"/paged/{n:02}")
        paginator = logs.get_paginator("describe_log_groups")
        found = paginator.paginate(logGroupNamePrefix="/paged/", PaginationConfig={"PageSize": 5})
        pages.append([[each["logGroupName"] for each in page["logGroups"]] for page in found])
    assert [len(page) for page in pages[0]] == [5, 5, 2]
    assert pages[0] == pages[1]


def test_keys_are_made_and_told_alike(both):
    kms = both("kms")
    # moto has this for keys that cannot sign, too.
    besides = {".KeyMetadata.SigningAlgorithms[]"}
    alike(kms, "create_key", besides, Description="for tests")
    made = [client.create_key()["KeyMetadata"]["KeyId"] for client in kms]
    for client, key in zip(kms, made):
        client.create_alias(AliasName="alias/moto", TargetKeyId=key)
    alike(kms, "describe_key", besides, KeyId="alias/moto")
    for client, key in zip(kms, made):
        client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    told = alike(kms, "describe_key", besides, KeyId="alias/moto")
    assert told["KeyMetadata"]["KeyState"] == "PendingDeletion"
    told = [client.describe_key(KeyId="alias/moto")["KeyMetadata"] for client in kms]
    values = ["Enabled", "KeyState", "KeyManager", "KeySpec", "Origin", "EncryptionAlgorithms"]
    assert [told[0][name] for name in values] == [told[1][name] for name in values]


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "alias/none"])
def test_keys_that_do_not_exist_are_refused_alike(both, name):
    ours, theirs = alike(both("kms"), "describe_key", KeyId=name)
    assert ours == theirs
