"""The success of each call."""

import json
import uuid

ACCOUNT = "111122223333"
REGION = "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-4111-8111-111111111111"


def group_arn(name):
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"


def test_get_caller_returns_tenant_grants_and_limits(payments):
    caller = payments("GetCaller")
    assert caller["tenant_id"] == "payments"
    assert caller["subject"] == "payments@example.com"
    assert caller["scopes"] == sorted(caller["scopes"])
    assert "logkey:associate" in caller["scopes"]
    (account,) = caller["accounts"]
    assert account["account_id"] == ACCOUNT
    assert account["log_group_patterns"] == ["/payments/*"]
    assert caller["limits"]["burst"] == 1000


def test_a_token_of_logkey_token_is_accepted(service, payments):
    payments.token = service.token_by_command("payments")
    assert payments("GetCaller")["tenant_id"] == "payments"


def test_a_key_is_set_read_and_removed(payments, service):
    group = {"account_id": ACCOUNT, "region": REGION, "log_group_name": "/payments/api"}
    set_ = payments("AssociateKmsKey", group | {"kms_key_id": KEY, "reason": "TICKET-1"})
    assert set_["association"]["kms_key_arn"] == KEY
    assert set_["association"]["resource_arn"] == group_arn("/payments/api")
    assert set_["association"]["state"] == "STATE_SETTLING"
    assert set_["audit_event_id"] and set_["aws_request_id"]

    read = payments("GetKeyAssociation", group)["association"]
    assert read["kms_key_arn"] == KEY
    assert read["source"] == "SOURCE_LIVE"

    removed = payments("DisassociateKmsKey", group)["association"]
    assert removed["previous_kms_key_arn"] == KEY
    assert "kms_key_arn" not in removed
    assert payments("GetKeyAssociation", group)["association"].get("kms_key_arn", "") == ""
    assert {"AssociateKmsKey", "DisassociateKmsKey"} <= {entry["operation"] for entry in changes(service)}


def test_an_arn_replaces_account_and_region(payments):
    fields = {"resource_identifier": group_arn("/payments/web"), "kms_key_id": KEY}
    assert payments("AssociateKmsKey", fields)["association"]["log_group_name"] == "/payments/web"


def test_account_and_region_are_optional_if_only_one_fits(payments):
    read = payments("GetKeyAssociation", {"log_group_name": "/payments/web"})
    assert read["association"]["account_id"] == ACCOUNT
    assert read["association"]["region"] == REGION


def test_an_alias_is_resolved_to_its_key(payments):
    fields = {"log_group_name": "/payments/aliased", "kms_key_id": "alias/payments"}
    association = payments("AssociateKmsKey", fields)["association"]
    assert association["kms_key_arn"] == KEY
    assert association["requested_kms_key_id"] == "alias/payments"


def test_a_name_with_a_hash_sign_works_as_log_group_name(payments):
    target = {"log_group_name": "/payments/hash#1"}
    association = payments("AssociateKmsKey", target | {"kms_key_id": KEY})["association"]
    assert association["log_group_name"] == "/payments/hash#1"
    assert payments("GetKeyAssociation", target)["association"]["kms_key_arn"] == KEY
    # AWS does not accept such a name in an ARN. The error says what to use instead.
    by_arn = payments.refused("GetKeyAssociation", {"resource_identifier": group_arn("/payments/hash#1")})
    assert by_arn.fields == ["resource_identifier"]
    assert "log_group_name" in by_arn.message


def test_query_results_have_their_own_key(payments):
    target = {"resource_identifier": f"arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*"}
    association = payments("AssociateKmsKey", target | {"kms_key_id": KEY})["association"]
    assert association["query_results"] is True
    read = payments("GetKeyAssociation", target)["association"]
    assert (read["kms_key_arn"], read["source"]) == (KEY, "SOURCE_RECORDED")
    assert payments("DisassociateKmsKey", target)["association"]["previous_kms_key_arn"] == KEY


def test_validate_only_changes_nothing(payments, service):
    target = {"log_group_name": "/payments/validated"}
    validated = payments("AssociateKmsKey", target | {"kms_key_id": KEY, "validate_only": True})
    assert validated["association"]["log_group_name"] == "/payments/validated"
    assert "aws_request_id" not in validated
    assert "kms_key_arn" not in payments("GetKeyAssociation", target)["association"]
    assert "/payments/validated" not in [entry["params"].get("logGroupName") for entry in changes(service)]


def test_a_change_succeeds_if_the_expected_key_is_set(payments):
    target = {"log_group_name": "/payments/expected"}
    assert payments("AssociateKmsKey", target | {"kms_key_id": KEY, "expected_kms_key_id": ""})
    assert payments("DisassociateKmsKey", target | {"expected_kms_key_id": KEY})
    assert "kms_key_arn" not in payments("GetKeyAssociation", target)["association"]


def test_a_retry_with_the_same_request_id_gets_the_same_response(payments, service):
    fields = {"log_group_name": "/payments/repeated", "kms_key_id": KEY, "request_id": str(uuid.uuid4())}
    first = payments("AssociateKmsKey", fields)
    assert payments("AssociateKmsKey", fields) == first
    sent = [entry for entry in changes(service) if entry["params"].get("logGroupName") == "/payments/repeated"]
    assert len(sent) == 1


def test_a_replaced_key_still_protects_older_data(payments):
    target = {"log_group_name": "/payments/usage"}
    former = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/22222222-2222-4222-8222-222222222222"
    payments("AssociateKmsKey", target | {"kms_key_id": "alias/former"})
    used = payments("GetKeyUsage", {"kms_key_id": "alias/former"})
    assert (used["verdict"], used["kms_key_arn"]) == ("DELETION_VERDICT_IN_USE", former)
    assert [use["log_group_name"] for use in used["uses"]] == ["/payments/usage"]
    replaced = payments("AssociateKmsKey", target | {"kms_key_id": KEY})
    assert {"KEY_REPLACED", "FORMER_KEY_STILL_PROTECTS_DATA"} <= {warning["code"] for warning in replaced["warnings"]}
    protecting = payments("GetKeyUsage", {"kms_key_id": "alias/former"})
    assert protecting["verdict"] == "DELETION_VERDICT_STILL_PROTECTS_DATA"
    assert "safe_after" in protecting and "log groups were read from AWS" in protecting["coverage"]
    read = payments("GetKeyAssociation", target)["association"]
    assert [key["kms_key_arn"] for key in read["former_keys"]] == [former]


def test_the_pages_contain_each_visible_log_group_once(payments):
    names, token = [], ""
    for _ in range(100):
        page = payments("ListKeyAssociations", {"page_size": 3, "page_token": token})
        names += [association["log_group_name"] for association in page.get("associations", [])]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == sorted(set(names))
    assert {"/payments/api", "/payments/hash#1"} <= set(names)
    assert all(name.startswith("/payments/") for name in names)


def test_lists_can_be_filtered_by_prefix_and_key(payments):
    page = payments("ListKeyAssociations", {"log_group_name_prefix": "/payments/keyed", "key_filter": "KEY_FILTER_WITH_KEY"})
    assert [association["log_group_name"] for association in page["associations"]] == ["/payments/keyed"]
    without = payments("ListKeyAssociations", {"log_group_name_prefix": "/payments/keyed", "key_filter": "KEY_FILTER_WITHOUT_KEY"})
    assert "associations" not in without


def test_a_check_reports_what_would_fail_and_changes_nothing(payments, service):
    fields = {"log_group_name": "/payments/checked"}
    good = payments("CheckKeyAssociation", fields | {"kms_key_id": "alias/payments"})
    outcomes = {check["outcome"] for check in good["checks"]}
    assert "OUTCOME_FAILED" not in outcomes
    assert good["verdict"] == ("VERDICT_OK" if outcomes == {"OUTCOME_PASSED"} else "VERDICT_UNCERTAIN")
    assert good["resolved_kms_key_arn"] == KEY

    bad = payments("CheckKeyAssociation", fields | {"kms_key_id": "alias/closed"})
    assert bad["verdict"] == "VERDICT_WOULD_FAIL"
    (failed,) = [check for check in bad["checks"] if check["outcome"] == "OUTCOME_FAILED"]
    assert failed["name"] == "KEY_POLICY"
    statement = json.loads(failed["remedy_document"])
    assert statement["Principal"] == {"Service": f"logs.{REGION}.amazonaws.com"}
    assert "/payments/checked" not in [entry["params"].get("logGroupName") for entry in changes(service)]


def changes(service):
    return [entry for entry in service.journal() if entry["operation"].endswith("ociateKmsKey")]
