"""What a tenant may not see is reported as if it did not exist."""

import pytest

from test_calls import KEY


def without(refusal, *names):
    """The whole error except the request id, with the names from the request replaced."""
    info = refusal.details["ErrorInfo"]
    text = repr((refusal.code, refusal.message, info.reason, sorted(info.metadata.items()), sorted(refusal.details)))
    for name in names:
        text = text.replace(name, "NAME")
    return text


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("GetKeyAssociation", {}),
        ("AssociateKmsKey", {"kms_key_id": KEY}),
        ("DisassociateKmsKey", {}),
    ],
)
def test_a_log_group_outside_the_grant_looks_absent(payments, name, fields):
    hidden, absent = "/hidden/api", "/absent/api"
    refusals = [payments.refused(name, fields | {"log_group_name": group}) for group in (hidden, absent)]
    assert refusals[0].reason == "LOG_GROUP_NOT_FOUND"
    assert without(refusals[0], hidden) == without(refusals[1], absent)
    within = payments.refused(name, fields | {"log_group_name": "/payments/absent"})
    assert without(refusals[0], hidden) == without(within, "/payments/absent")


def test_an_account_of_another_tenant_looks_absent(payments):
    theirs, absent = "444455556666", "999900001111"
    refusals = [
        payments.refused("GetKeyAssociation", {"account_id": account, "region": "us-east-1", "log_group_name": "/orders/api"})
        for account in (theirs, absent)
    ]
    assert (refusals[0].code.name, refusals[0].reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert without(refusals[0], theirs) == without(refusals[1], absent)


def test_an_arn_in_another_tenants_account_looks_absent(payments, orders):
    fields = {"resource_identifier": "arn:aws:logs:us-east-1:444455556666:log-group:/orders/api"}
    assert orders("GetKeyAssociation", fields)["association"]["log_group_name"] == "/orders/api"
    assert payments.refused("GetKeyAssociation", fields).reason == "ACCOUNT_NOT_FOUND"


def test_another_tenants_page_token_is_refused(payments, orders):
    token = payments("ListKeyAssociations", {"page_size": 1})["next_page_token"]
    refusal = orders.refused("ListKeyAssociations", {"page_size": 1, "page_token": token})
    assert (refusal.code.name, refusal.fields) == ("INVALID_ARGUMENT", ["page_token"])


def test_a_list_contains_only_granted_log_groups(payments):
    page = payments("ListKeyAssociations", {"page_size": 500})
    assert "/hidden/api" not in [association["log_group_name"] for association in page["associations"]]
    assert "associations" not in payments("ListKeyAssociations", {"log_group_name_prefix": "/hidden"})
