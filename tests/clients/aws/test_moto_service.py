"""Tests the service with moto instead of the embedded AWS.

moto's STS, KMS and DescribeLogGroups are enough for every read and for the checks before a change. moto does
not support AssociateKmsKey."""

import pathlib
import sys

import boto3
import grpc
import pytest

HERE = pathlib.Path(__file__).parent
sys.path += [str(HERE.parent), str(HERE.parent / "python")]

from reflected import Caller, Refused  # noqa: E402
from service import Service, binary  # noqa: E402

ACCOUNT = "111122223333"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/LogKeyAssociator"
GROUPS = [f"/payments/{n:02}" for n in range(70)]


@pytest.fixture(scope="module")
def tenant(moto):
    """boto3 clients with a session of the tenant's role in moto."""

    def client(service, **credentials):
        return boto3.client(service, region_name=REGION, endpoint_url=moto, **credentials)

    service_keys = {"aws_access_key_id": "AKIACLIENTSHUB", "aws_secret_access_key": "any"}
    issued = client("sts", **service_keys).assume_role(RoleArn=ROLE, RoleSessionName="tests")["Credentials"]
    session = {
        "aws_access_key_id": issued["AccessKeyId"],
        "aws_secret_access_key": issued["SecretAccessKey"],
        "aws_session_token": issued["SessionToken"],
    }
    logs, kms = client("logs", **session), client("kms", **session)
    for name in [*GROUPS, "/hidden/api"]:
        logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=GROUPS[0], retentionInDays=7)
    return logs, kms


@pytest.fixture(scope="module")
def payments(moto, tenant):
    verified = "verify_query_results = true"
    with Service(binary(), aws=moto, more=verified) as service, grpc.insecure_channel(service.address) as channel:
        yield Caller(channel, service.token("payments"))


def test_a_log_group_is_read(payments):
    fields = {"account_id": ACCOUNT, "region": REGION, "log_group_name": GROUPS[0]}
    read = payments("GetKeyAssociation", fields)["association"]
    assert read["resource_arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUPS[0]}"
    assert read["state"] == "STATE_DEFAULT_ENCRYPTION"
    assert read["retention"] == f"{7 * 86_400}s"
    with pytest.raises(Refused) as caught:
        payments("GetKeyAssociation", fields | {"log_group_name": "/payments/none"})
    assert caught.value.reason == "LOG_GROUP_NOT_FOUND"


def test_the_pages_contain_each_log_group_once(payments):
    fields = {"account_id": ACCOUNT, "region": REGION, "page_size": 30}
    names, token, pages = [], "", 0
    while pages == 0 or token:
        answer = payments("ListKeyAssociations", fields | {"page_token": token})
        names += [each["log_group_name"] for each in answer.get("associations", [])]
        token, pages = answer.get("next_page_token", ""), pages + 1
    assert names == GROUPS
    assert pages >= 3


def test_the_key_of_a_log_group_is_reported(payments, tenant):
    logs, kms = tenant
    key_arn = kms.create_key()["KeyMetadata"]["Arn"]
    logs.create_log_group(logGroupName="/payments/keyed", kmsKeyId=key_arn)
    fields = {"account_id": ACCOUNT, "region": REGION, "log_group_name": "/payments/keyed"}
    read = payments("GetKeyAssociation", fields)["association"]
    assert (read["kms_key_arn"], read["state"]) == (key_arn, "STATE_IN_FORCE")
    logs.delete_log_group(logGroupName="/payments/keyed")


def test_query_results_are_verified_by_a_query(payments):
    # moto runs queries and encrypts their results with no key.
    fields = {"account_id": ACCOUNT, "region": REGION}
    fields["resource_identifier"] = f"arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*"
    read = payments("GetKeyAssociation", fields)["association"]
    assert (read["source"], read["state"]) == ("SOURCE_LIVE", "STATE_DEFAULT_ENCRYPTION")
    assert "kms_key_arn" not in read


@pytest.mark.parametrize("name", ["alias/none", "00000000-0000-4000-8000-000000000000"])
def test_the_key_is_looked_up_before_the_change(payments, name):
    fields = {"account_id": ACCOUNT, "region": REGION, "log_group_name": GROUPS[0], "kms_key_id": name}
    with pytest.raises(Refused) as caught:
        payments("AssociateKmsKey", fields)
    assert caught.value.reason == "KEY_NOT_FOUND"


def test_an_operation_that_moto_lacks_does_not_succeed(payments, tenant):
    logs, kms = tenant
    kms.create_alias(AliasName="alias/found", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    fields = {"account_id": ACCOUNT, "region": REGION, "log_group_name": GROUPS[1], "kms_key_id": "alias/found"}
    with pytest.raises(Refused) as caught:
        payments("AssociateKmsKey", fields, timeout=3)
    assert caught.value.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=GROUPS[1])["logGroups"]
    assert "kmsKeyId" not in group
