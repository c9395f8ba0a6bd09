"""Faults, the journal and the state of the embedded AWS, through its control API."""

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from conftest import ACCOUNT, key

GROUP = "/payments/api"


def groups(sandbox):
    return sandbox.control("GET", "state")["accounts"][ACCOUNT]["us-east-1"]["log_groups"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_happens_before_or_after_the_effect(sandbox, logs, when):
    logs.disassociate_kms_key(logGroupName=GROUP)
    sandbox.fault(operation="AssociateKmsKey", effect="reset", when=when)
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        logs.associate_kms_key(logGroupName=GROUP, kmsKeyId=key("good"))
    expected = None if when == "before" else key("good")
    assert groups(sandbox)[GROUP]["kms_key"] == expected


def test_a_hanging_call_ends_at_the_callers_timeout(sandbox):
    issued = sandbox.assume("Associator")["Credentials"]
    config = Config(read_timeout=0.3, retries={"total_max_attempts": 1})
    logs = sandbox.session("logs", issued, config=config)
    sandbox.fault(service="logs", effect="hang", times=1)
    with pytest.raises(ReadTimeoutError):
        logs.describe_log_groups()
    logs.describe_log_groups()


def test_boto3_retries_succeed_after_throttling(sandbox):
    issued = sandbox.assume("Associator")["Credentials"]
    config = Config(retries={"total_max_attempts": 4, "mode": "standard"})
    logs = sandbox.session("logs", issued, config=config)
    sandbox.fault(operation="AssociateKmsKey", account=ACCOUNT, effect="throttle", times=2)
    answer = logs.associate_kms_key(logGroupName=GROUP, kmsKeyId=key("good"))
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    (armed,) = sandbox.control("GET", "faults")["faults"]
    assert (armed["seen"], armed["met"]) == (3, 2)


def test_journal_entries_match_the_callers_request_id(sandbox, logs):
    before = sandbox.control("GET", "journal")["last"]
    answer = logs.associate_kms_key(logGroupName=GROUP, kmsKeyId=key("good"))
    (entry,) = sandbox.control("GET", f"journal?since={before}")["entries"]
    assert entry["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert entry["outcome"] == "executed"
    assert (entry["account"], entry["role"], entry["session_name"]) == (ACCOUNT, "Associator", "tests")
    assert entry["params"] == {"logGroupName": GROUP, "kmsKeyId": key("good")}


def test_an_invalid_fault_is_refused(sandbox):
    import urllib.error

    for fault in [{"effect": "explode"}, {"effect": "hang", "colour": "red"}, {}]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            sandbox.fault(**fault)
        assert caught.value.code == 400
