"""Service Quotas of the embedded AWS, tested with boto3."""

import json

import pytest
from botocore.exceptions import ClientError

NAME = " throttle limit in transactions per second"


@pytest.fixture
def quotas(sandbox):
    return sandbox.as_role("service-quotas")


def list_quotas(quotas, **page):
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="logs", PaginationConfig=page)
    return [quota for page in pages for quota in page["Quotas"]]


def test_quotas_are_listed_by_name_with_any_page_size(quotas):
    all_quotas = list_quotas(quotas)
    values = {quota["QuotaName"].removesuffix(NAME): quota["Value"] for quota in all_quotas}
    assert values["AssociateKmsKey"] == 5.0
    assert values["StartQuery"] == values["GetQueryResults"] == 10.0
    assert "DisassociateKmsKey" not in values
    (describe,) = [quota for quota in all_quotas if quota["QuotaCode"] == "L-4284EEDE"]
    assert (describe["QuotaName"], describe["Adjustable"]) == (f"DescribeLogGroups{NAME}", True)
    assert describe["Period"] == {"PeriodValue": 1, "PeriodUnit": "SECOND"}
    assert list_quotas(quotas, PageSize=2) == all_quotas


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"ServiceCode": "ec2"}, "NoSuchResourceException"),
        ({"ServiceCode": "logs", "NextToken": "none"}, "InvalidPaginationTokenException"),
    ],
)
def test_an_unknown_service_and_an_invalid_token_are_refused(quotas, arguments, code):
    with pytest.raises(ClientError) as caught:
        quotas.list_service_quotas(**arguments)
    assert caught.value.response["Error"]["Code"] == code


def test_a_role_without_permission_is_refused(sandbox):
    only_logs = {"Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}
    quotas = sandbox.as_role("service-quotas", Policy=json.dumps(only_logs))
    with pytest.raises(ClientError) as caught:
        quotas.list_service_quotas(ServiceCode="logs")
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert "no session policy allows the servicequotas:ListServiceQuotas action" in error["Message"]
