"""CloudWatch Logs of the embedded AWS, tested with boto3."""

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, OTHER, REGION, key

GROUP = "/payments/api"
ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
RESULTS = f"arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*"


def group(logs, name=GROUP):
    (found,) = logs.describe_log_groups(logGroupIdentifiers=[name])["logGroups"]
    return found


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    assert error["ResponseMetadata"]["RequestId"]
    return error["Error"]["Code"], error["Error"]["Message"]


def test_a_key_is_set_and_removed(logs):
    answer = logs.associate_kms_key(logGroupName=GROUP, kmsKeyId=key("good"))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert group(logs)["kmsKeyId"] == key("good")
    logs.associate_kms_key(resourceIdentifier=ARN, kmsKeyId=key("good"))
    logs.disassociate_kms_key(resourceIdentifier=ARN)
    assert "kmsKeyId" not in group(logs)


def test_errors_arrive_as_the_modelled_exceptions(sandbox, logs):
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.associate_kms_key(logGroupName="/none", kmsKeyId=key("good"))
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.associate_kms_key(logGroupName="aws/spans", kmsKeyId=key("good"))
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.disassociate_kms_key()
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.disassociate_kms_key(logGroupName=GROUP, resourceIdentifier=ARN)
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=GROUP)
    for code, status, kind in [
        ("OperationAbortedException", 400, logs.exceptions.OperationAbortedException),
        ("ServiceUnavailableException", 500, logs.exceptions.ServiceUnavailableException),
    ]:
        effect = {"error": {"code": code, "message": "a test message", "status": status}}
        sandbox.fault(operation="AssociateKmsKey", effect=effect, times=1)
        with pytest.raises(kind) as caught:
            logs.associate_kms_key(logGroupName=GROUP, kmsKeyId=key("good"))
        assert caught.value.response["Error"]["Message"] == "a test message"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert "kmsKeyId" not in group(logs)


@pytest.mark.parametrize("name", ["closed", "none"])
def test_a_key_without_logs_access_and_a_missing_key_give_the_same_error(logs, name):
    error = refused(logs.associate_kms_key, logGroupName=GROUP, kmsKeyId=key(name))
    text = f"The specified KMS key does not exist or is not allowed to be used with Arn '{ARN}'"
    assert error == ("AccessDeniedException", text)


@pytest.mark.parametrize("name", [key("off"), key("rsa"), "good", "alias/good"])
def test_anything_but_the_arn_of_a_usable_key_is_an_invalid_parameter(logs, name):
    code, _ = refused(logs.associate_kms_key, logGroupName=GROUP, kmsKeyId=name)
    assert code == "InvalidParameterException"


@pytest.mark.parametrize(
    "role, action, end",
    [
        ("WithoutKms", "kms:Encrypt", "because no identity-based policy allows the kms:Encrypt action"),
        ("WithoutLogs", "logs:AssociateKmsKey", "because no identity-based policy allows the logs:AssociateKmsKey action"),
        ("Denied", "logs:AssociateKmsKey", "with an explicit deny in a service control policy"),
    ],
)
def test_the_error_names_the_missing_permission(sandbox, role, action, end):
    logs = sandbox.as_role("logs", role)
    code, text = refused(logs.associate_kms_key, logGroupName=GROUP, kmsKeyId=key("good"))
    assert code == "AccessDeniedException"
    user = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/tests is not authorized to perform: {action} on"
    assert text.startswith(user) and text.endswith(end)


def test_the_pages_contain_each_log_group_once(logs):
    pages = list(logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/many/"))
    assert [len(page["logGroups"]) for page in pages] == [50, 50, 20]
    found = [found for page in pages for found in page["logGroups"]]
    assert len({each["logGroupName"] for each in found}) == 120
    assert {each["kmsKeyId"] for each in found} == {key("good")}
    small = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix="/many/", PaginationConfig={"PageSize": 7, "MaxItems": 20}
    )
    assert len(small.build_full_result()["logGroups"]) == 20


def test_a_pattern_returns_fewer_fields_and_excludes_a_prefix(logs):
    found = logs.describe_log_groups(logGroupNamePattern="payments")["logGroups"]
    assert [set(each) for each in found] == [{"arn", "creationTime", "logGroupName"}]
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.describe_log_groups(logGroupNamePattern="a", logGroupNamePrefix="b")
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.describe_log_groups(logGroupIdentifiers=[GROUP] * 51)


def test_a_query_shows_the_key_of_query_results(logs):
    def query():
        times = {"startTime": 0, "endTime": 1}
        started = logs.start_query(logGroupName=GROUP, queryString="fields @message", **times)
        return logs.get_query_results(queryId=started["queryId"])

    assert "encryptionKey" not in query()
    logs.associate_kms_key(resourceIdentifier=RESULTS, kmsKeyId=key("good"))
    answer = query()
    assert (answer["status"], answer["encryptionKey"]) == ("Complete", key("good"))
    logs.disassociate_kms_key(resourceIdentifier=RESULTS)


def test_events_are_stored_in_order(sandbox):
    logs = sandbox.client("logs", f"AKIAADMIN{ACCOUNT}")
    logs.create_log_group(logGroupName="audit")
    logs.create_log_stream(logGroupName="audit", logStreamName="one")
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName="audit", logStreamName="one")
    now = group(logs, "audit")["creationTime"]
    stream = {"logGroupName": "audit", "logStreamName": "one"}
    events = [{"timestamp": now + n, "message": f"event {n}"} for n in range(5)]
    logs.put_log_events(**stream, logEvents=events)
    old = {"timestamp": now - 15 * 86_400_000, "message": "old"}
    answer = logs.put_log_events(**stream, logEvents=[old, events[0]])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    found = logs.get_log_events(**stream, startFromHead=True)["events"]
    assert [each["message"] for each in found] == [f"event {n}" for n in [0, 1, 2, 3, 4, 0]]
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.put_log_events(**stream, logEvents=events[::-1])
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.put_log_events(logGroupName="audit", logStreamName="two", logEvents=events)
    logs.put_retention_policy(logGroupName="audit", retentionInDays=14)
    assert group(logs, "audit")["retentionInDays"] == 14
    logs.delete_log_group(logGroupName="audit")
    assert logs.describe_log_groups(logGroupNamePrefix="audit")["logGroups"] == []


@pytest.fixture
def stream(sandbox):
    """An administrator client, a log stream in a new log group, and its creation time."""
    logs = sandbox.client("logs", f"AKIAADMIN{ACCOUNT}")
    logs.create_log_group(logGroupName="sink")
    logs.create_log_stream(logGroupName="sink", logStreamName="one")
    yield logs, {"logGroupName": "sink", "logStreamName": "one"}, group(logs, "sink")["creationTime"]
    logs.delete_log_group(logGroupName="sink")


def messages(logs, stream):
    return [each["message"] for each in logs.get_log_events(**stream, startFromHead=True)["events"]]


def test_a_batch_is_limited_in_events_and_bytes(stream):
    logs, stream, now = stream
    event = {"timestamp": now, "message": "x"}
    logs.put_log_events(**stream, logEvents=[event] * 10_000)
    half = {"timestamp": now, "message": "x" * (1_048_576 // 2 - 26)}
    logs.put_log_events(**stream, logEvents=[half, half])
    logs.put_log_events(**stream, logEvents=[{"timestamp": now, "message": "é" * ((1_048_576 - 26) // 2)}])
    for bad, words in [
        ([event] * 10_001, "length between 1 and 10000"),
        ([half, half | {"message": half["message"] + "x"}], "Upload too large: 1048577 bytes exceeds limit of 1048576"),
        ([half] * 2 + [event], "Upload too large: 1048603 bytes exceeds limit of 1048576"),
        ([event | {"timestamp": now + 1}, event], "chronological order"),
    ]:
        code, text = refused(logs.put_log_events, **stream, logEvents=bad)
        assert code == "InvalidParameterException" and words in text


def test_too_old_expired_and_too_new_events_are_reported_and_the_rest_is_stored(stream):
    logs, stream, now = stream
    hour = 3_600_000

    def put(*ages):
        events = [{"timestamp": now - age * hour, "message": f"{age} h ago"} for age in ages]
        return logs.put_log_events(**stream, logEvents=events).get("rejectedLogEventsInfo")

    assert put(15 * 24, 13 * 24) == {"tooOldLogEventEndIndex": 1}
    assert put(1, 0, -1, -3) == {"tooNewLogEventStartIndex": 3}
    assert messages(logs, stream) == ["312 h ago", "1 h ago", "0 h ago", "-1 h ago"]
    logs.put_retention_policy(logGroupName="sink", retentionInDays=1)
    assert put(15 * 24, 25, 1) == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2}
    assert put(23, 0) is None


def test_a_batch_spans_at_most_one_day(stream):
    logs, stream, now = stream
    day = 86_400_000
    events = [{"timestamp": now - day, "message": "a"}, {"timestamp": now, "message": "b"}]
    logs.put_log_events(**stream, logEvents=events)
    events[0]["timestamp"] -= 1
    code, text = refused(logs.put_log_events, **stream, logEvents=events)
    assert code == "InvalidParameterException" and "24 hours" in text
    assert messages(logs, stream) == ["a", "b"]


def test_a_policy_can_allow_only_one_stream(sandbox, stream):
    _, stream, now = stream
    logs = sandbox.as_role("logs", "Writer")
    logs.create_log_stream(logGroupName="sink", logStreamName="mine")
    mine = {**stream, "logStreamName": "mine"}
    logs.put_log_events(**mine, logEvents=[{"timestamp": now, "message": "x"}])
    code, _ = refused(logs.put_log_events, **stream, logEvents=[{"timestamp": now, "message": "x"}])
    assert code == "AccessDeniedException"
    code, _ = refused(logs.create_log_stream, logGroupName="sink", logStreamName="a:b")
    assert code in ("InvalidParameterException", "AccessDeniedException")


def test_each_account_has_its_own_quota(sandbox, logs):
    orders = sandbox.as_role("logs", external_id="external-2", account=OTHER)
    arguments = {"logGroupName": "/orders/api", "kmsKeyId": key("good", OTHER)}
    codes = []
    for _ in range(20):
        try:
            orders.associate_kms_key(**arguments)
            codes.append(None)
        except ClientError as error:
            codes.append((error.response["Error"]["Code"], error.response["Error"]["Message"]))
    assert codes[:5] == [None] * 5
    assert set(codes[5:]) - {None} == {("ThrottlingException", "Rate exceeded")}
    for _ in range(20):
        logs.disassociate_kms_key(logGroupName=GROUP)
