"""STS and KMS of the embedded AWS, tested with boto3."""

import datetime

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from conftest import ACCOUNT, OTHER, REGION, key


def code(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_an_assumed_role_reports_its_identity(sandbox):
    answer = sandbox.assume("Associator", SourceIdentity="alice", DurationSeconds=900)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Associator/tests"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    assert answer["SourceIdentity"] == "alice"
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=14) < left <= datetime.timedelta(minutes=15)
    issued = answer["Credentials"]
    sts = sandbox.session("sts", issued)
    caller = sts.get_caller_identity()
    assert (caller["Account"], caller["Arn"]) == (ACCOUNT, arn)
    assert caller["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]


@pytest.mark.parametrize(
    "role, external_id", [("Associator", "external-2"), ("None", "external-1")]
)
def test_a_wrong_external_id_and_a_missing_role_give_the_same_error(sandbox, role, external_id):
    with pytest.raises(ClientError) as caught:
        sandbox.assume(role, external_id)
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error["Error"]["Code"] == "AccessDenied"
    user = "User: arn:aws:sts::999999999999:assumed-role/LogKeyHub/logkey"
    resource = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    text = f"{user} is not authorized to perform: sts:AssumeRole on resource: {resource}"
    assert error["Error"]["Message"] == text


def test_a_missing_external_id_is_refused(sandbox):
    sts = sandbox.service_identity("sts")
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/Associator", "RoleSessionName": "tests"}
    assert code(sts.assume_role, **role) == "AccessDenied"


def test_invalid_assume_role_parameters_are_refused(sandbox):
    sts = sandbox.service_identity("sts")
    with pytest.raises(sts.exceptions.MalformedPolicyDocumentException):
        sandbox.assume("Associator", Policy="{")
    for arguments in [{"SourceIdentity": "a b"}, {"DurationSeconds": 43_200}]:
        with pytest.raises(ClientError) as caught:
            sandbox.assume("Associator", **arguments)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ParamValidationError):
        sandbox.assume("Associator", DurationSeconds=1)


def test_invalid_credentials_give_the_error_of_each_service(sandbox):
    assert code(sandbox.client("sts", "AKIANONE").get_caller_identity) == "InvalidClientTokenId"
    logs = sandbox.client("logs", "AKIANONE")
    assert code(logs.describe_log_groups) == "UnrecognizedClientException"
    forged = sandbox.assume("Associator")["Credentials"] | {"SecretAccessKey": "another's"}
    assert code(sandbox.session("logs", forged).describe_log_groups) == "InvalidSignatureException"
    assert code(sandbox.session("sts", forged).get_caller_identity) == "SignatureDoesNotMatch"
    sandbox.fault(operation="AssumeRole", effect="expired_credentials", times=1)
    logs = sandbox.as_role("logs")
    assert code(logs.describe_log_groups) == "ExpiredTokenException"


@pytest.mark.parametrize(
    "name", ["good", key("good"), "alias/good", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/good"]
)
def test_a_key_is_described_by_id_arn_and_alias(kms, name):
    found = kms.describe_key(KeyId=name)["KeyMetadata"]
    assert found["Arn"] == key("good")
    assert (found["KeyState"], found["KeySpec"], found["KeyManager"]) == ("Enabled", "SYMMETRIC_DEFAULT", "CUSTOMER")
    assert isinstance(found["CreationDate"], datetime.datetime)


def test_unknown_and_foreign_keys_are_refused(kms):
    for name in ["none", key("none"), "alias/none"]:
        with pytest.raises(kms.exceptions.NotFoundException):
            kms.describe_key(KeyId=name)
    assert code(kms.describe_key, KeyId=key("good", OTHER)) == "AccessDeniedException"
    with pytest.raises(kms.exceptions.InvalidArnException):
        kms.get_key_policy(KeyId="alias/good")


def test_a_key_goes_through_its_states(sandbox):
    kms = sandbox.client("kms", f"AKIAADMIN{ACCOUNT}")
    key_id = kms.create_key(Description="for tests")["KeyMetadata"]["KeyId"]

    def state():
        return kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"]

    kms.create_alias(AliasName="alias/new", TargetKeyId=key_id)
    with pytest.raises(kms.exceptions.AlreadyExistsException):
        kms.create_alias(AliasName="alias/new", TargetKeyId=key_id)
    kms.disable_key(KeyId=key_id)
    assert state() == "Disabled"
    kms.enable_key(KeyId=key_id)
    answer = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert answer["KeyState"] == state() == "PendingDeletion"
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["DeletionDate"] == answer["DeletionDate"]
    with pytest.raises(kms.exceptions.KMSInvalidStateException):
        kms.enable_key(KeyId=key_id)
    kms.cancel_key_deletion(KeyId=key_id)
    assert state() == "Disabled"
    with pytest.raises(kms.exceptions.MalformedPolicyDocumentException):
        kms.put_key_policy(KeyId=key_id, Policy="{}")
    aliases = kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1})
    assert "alias/new" in [each["AliasName"] for each in aliases.build_full_result()["Aliases"]]
