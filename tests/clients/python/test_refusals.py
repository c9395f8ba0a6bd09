"""Each error has its code, its reason and the details that a program needs."""

import time
import uuid

import pytest

from test_calls import ACCOUNT, KEY, REGION

GROUP = {"log_group_name": "/payments/refused"}


def code_and_reason(refusal):
    """The code and reason. Checks the details that every error must carry."""
    assert refusal.details["ErrorInfo"].domain == "keyassociation.v1"
    assert refusal.details["RequestInfo"].request_id == refusal.trailers["x-request-id"]
    assert refusal.message
    return refusal.code.name, refusal.reason


def test_a_missing_token_is_unauthenticated(anonymous):
    assert code_and_reason(anonymous.refused("GetCaller")) == ("UNAUTHENTICATED", "TOKEN_MISSING")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "TOKEN_EXPIRED"),
        ({"aud": "another-service"}, "TOKEN_INVALID"),
        ({"iss": "https://another.example.com"}, "TOKEN_INVALID"),
        ({"tenant": "unknown-tenant"}, "TOKEN_INVALID"),
    ],
)
def test_a_token_with_wrong_claims_is_unauthenticated(service, payments, claims, reason):
    payments.token = service.token("payments", **claims)
    assert code_and_reason(payments.refused("GetCaller")) == ("UNAUTHENTICATED", reason)


def test_a_text_that_is_not_a_token_is_unauthenticated(payments):
    payments.token = "not.a.token"
    assert code_and_reason(payments.refused("GetCaller")) == ("UNAUTHENTICATED", "TOKEN_INVALID")


def test_the_error_names_the_missing_scope(reader):
    refusal = reader.refused("AssociateKmsKey", GROUP | {"kms_key_id": KEY})
    assert code_and_reason(refusal) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert "logkey:associate" in refusal.metadata.values()


def test_five_bad_fields_give_five_violations(payments):
    fields = {
        "account_id": "12",
        "region": "nowhere",
        "log_group_name": "not a name",
        "kms_key_id": "k" * 300,
        "request_id": "not-a-uuid",
    }
    refusal = payments.refused("AssociateKmsKey", fields)
    assert code_and_reason(refusal) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.fields == sorted(fields)
    assert all(violation.description for violation in refusal.details["BadRequest"].field_violations)


def test_an_arn_that_contradicts_a_field_is_refused(payments):
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/payments/refused"
    refusal = payments.refused("GetKeyAssociation", {"resource_identifier": arn, "region": "eu-west-1"})
    assert code_and_reason(refusal) == ("INVALID_ARGUMENT", "FIELD_INVALID")


def test_a_target_is_required(payments):
    refusal = payments.refused("GetKeyAssociation", {"account_id": ACCOUNT, "region": REGION})
    assert code_and_reason(refusal) == ("INVALID_ARGUMENT", "FIELD_INVALID")


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/11111111-1111-4111-8111-111111111111", "INVALID_ARGUMENT", "KEY_REGION_MISMATCH"),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000", "NOT_FOUND", "KEY_NOT_FOUND"),
        ("alias/disabled", "FAILED_PRECONDITION", "KEY_DISABLED"),
        ("alias/pending-deletion", "FAILED_PRECONDITION", "KEY_PENDING_DELETION"),
        ("alias/asymmetric", "FAILED_PRECONDITION", "KEY_NOT_SYMMETRIC"),
        ("alias/closed", "FAILED_PRECONDITION", "KEY_POLICY_LACKS_LOGS_SERVICE"),
    ],
)
def test_an_unusable_key_is_refused_with_the_cause(payments, key, code, reason):
    refusal = payments.refused("AssociateKmsKey", GROUP | {"kms_key_id": key})
    assert code_and_reason(refusal) == (code, reason)


def test_a_reserved_log_group_is_refused(payments):
    refusal = payments.refused("GetKeyAssociation", {"log_group_name": "aws/reserved"})
    assert code_and_reason(refusal) == ("INVALID_ARGUMENT", "LOG_GROUP_RESERVED")


@pytest.mark.parametrize("expected", ["", "alias/former"])
def test_a_change_is_refused_if_another_key_than_expected_is_set(payments, expected):
    target = {"log_group_name": "/payments/keyed"}
    for name, fields in (("AssociateKmsKey", {"kms_key_id": KEY}), ("DisassociateKmsKey", {})):
        refusal = payments.refused(name, target | fields | {"expected_kms_key_id": expected})
        assert code_and_reason(refusal) == ("ABORTED", "EXPECTED_KEY_MISMATCH")


def test_reuse_of_a_request_id_for_another_request_is_refused(payments, orders):
    request_id = {"request_id": str(uuid.uuid4())}
    payments("AssociateKmsKey", GROUP | {"kms_key_id": KEY} | request_id)
    for name, fields in (
        ("AssociateKmsKey", {"kms_key_id": KEY, "reason": "another"}),
        ("DisassociateKmsKey", {}),
    ):
        refusal = payments.refused(name, GROUP | fields | request_id)
        assert code_and_reason(refusal) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    # Ids of different tenants are independent. The call fails because the tenant has no such log group.
    refusal = orders.refused("AssociateKmsKey", {"log_group_name": "/payments/refused", "kms_key_id": KEY} | request_id)
    assert code_and_reason(refusal)[1] != "REQUEST_ID_REUSED"


def test_the_usage_of_another_tenants_key_is_not_found(orders):
    assert code_and_reason(orders.refused("GetKeyUsage", {"kms_key_id": KEY})) == ("NOT_FOUND", "KEY_NOT_FOUND")


def test_a_rate_limited_call_succeeds_after_the_retry_delay(metered):
    refusal = None
    for _ in range(10):
        try:
            metered("GetCaller")
        except Exception as error:
            refusal = error
            break
    assert code_and_reason(refusal) == ("RESOURCE_EXHAUSTED", "TENANT_RATE_LIMITED")
    assert 0 < refusal.retry_seconds <= 5
    time.sleep(refusal.retry_seconds)
    assert metered("GetCaller")["tenant_id"] == "metered"
