"""Compares the embedded AWS with moto. boto3 makes the same calls to both.

The embedded AWS must return every field that moto returns, with the same type. It may return more fields, as
AWS does.
"""

import re

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, ONE_TRY, REGION

@pytest.fixture
def both(sandbox, moto):
    """Returns a function that creates an administrator client of a service for each emulator."""

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
    """The paths of all fields of a response with the types of their values."""
    if isinstance(value, dict):
        return set().union(*(form(inner, f"{path}.{name}") for name, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(form(inner, f"{path}[]") for inner in value))
    return {(path, type(value).__name__)}


def call(client, operation, arguments):
    try:
        answer = getattr(client, operation)(**arguments)
        del answer["ResponseMetadata"]
        return answer
    except ClientError as error:
        return error


def alike(clients, operation, ignored=(), **arguments):
    """Makes the same call to both, compares the responses and returns that of the embedded AWS."""
    ours, theirs = (call(client, operation, arguments) for client in clients)
    if isinstance(theirs, ClientError):
        assert isinstance(ours, ClientError), f"embedded AWS: {ours}, moto: {theirs}"
        assert type(ours).__name__ == type(theirs).__name__
        assert ours.response["Error"]["Code"] == theirs.response["Error"]["Code"]
        status = [each.response["ResponseMetadata"]["HTTPStatusCode"] for each in (ours, theirs)]
        assert status[0] == status[1]
        return without_account_ids(ours), without_account_ids(theirs)
    assert not isinstance(ours, ClientError), f"embedded AWS: {ours}, moto: {theirs}"
    missing = {entry for entry in form(theirs) - form(ours) if entry[0] not in ignored}
    assert not missing, f"embedded AWS: {ours}, moto: {theirs}"
    return ours


def without_account_ids(error):
    """The text of an error without account ids."""
    return re.sub(r"\d{12}", "ACCOUNT", error.response["Error"]["Message"])


def test_sessions_have_the_same_form(sandbox, both):
    ours = sandbox.service_identity("sts")
    _, theirs = both("sts")
    # AWS returns PackedPolicySize only if there is a session policy. moto always returns it.
    alike(
        (ours, theirs),
        "assume_role",
        ignored={".PackedPolicySize"},
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Associator",
        RoleSessionName="tests",
        ExternalId="external-1",
    )
    alike((ours, theirs), "get_caller_identity")


def test_log_groups_are_created_described_and_deleted_alike(both):
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


def test_keys_are_created_and_described_alike(both):
    kms = both("kms")
    # moto also returns this field for keys that cannot sign.
    ignored = {".KeyMetadata.SigningAlgorithms[]"}
    alike(kms, "create_key", ignored, Description="for tests")
    key_ids = [client.create_key()["KeyMetadata"]["KeyId"] for client in kms]
    for client, key in zip(kms, key_ids):
        client.create_alias(AliasName="alias/moto", TargetKeyId=key)
    alike(kms, "describe_key", ignored, KeyId="alias/moto")
    for client, key in zip(kms, key_ids):
        client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    described = alike(kms, "describe_key", ignored, KeyId="alias/moto")
    assert described["KeyMetadata"]["KeyState"] == "PendingDeletion"
    described = [client.describe_key(KeyId="alias/moto")["KeyMetadata"] for client in kms]
    values = ["Enabled", "KeyState", "KeyManager", "KeySpec", "Origin", "EncryptionAlgorithms"]
    assert [described[0][name] for name in values] == [described[1][name] for name in values]


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "alias/none"])
def test_keys_that_do_not_exist_are_refused_alike(both, name):
    ours, theirs = alike(both("kms"), "describe_key", KeyId=name)
    assert ours == theirs
