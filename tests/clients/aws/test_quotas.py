"""Service Quotas of the embedded AWS, through boto3: what it tells is what it holds to."""

import json

import pytest
from botocore.exceptions import ClientError

NAME = " throttle limit in transactions per second"


@pytest.fixture
def quotas(sandbox):
    return sandbox.as_role("service-quotas")


def told(quotas, **page):
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="logs", PaginationConfig=page)
    return [quota for page in pages for quota in page["Quotas"]]


def test_quotas_are_told_by_their_names_whatever_the_page(quotas):
    whole = told(quotas)
    values = {quota["QuotaName"].removesuffix(NAME): quota["Value"] for quota in whole}
    assert values["AssociateKmsKey"] == 5.0
    assert values["StartQuery"] == values["GetQueryResults"] == 10.0
    assert "DisassociateKmsKey" not in values
    (describe,) = [quota for quota in whole if quota["QuotaCode"] == "L-4284EEDE"]
    assert (describe["QuotaName"], describe["Adjustable"]) == (f"DescribeLogGroups{NAME}", True)
    assert describe["Period"] == {"PeriodValue": 1, "PeriodUnit": "SECOND"}
    assert told(quotas, PageSize=2) == whole


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"ServiceCode": "ec2"}, "NoSuchResourceException"),
        ({"ServiceCode": "logs", "NextToken": "none"}, "InvalidPaginationTokenException"),
    ],
)
def test_what_cannot_be_told_is_refused(quotas, arguments, code):
    with pytest.raises(ClientError) as caught:
        quotas.list_service_quotas(**arguments)
    assert caught.value.response["Error"]["Code"] == code


def test_who_may_not_is_refused(sandbox):
    only_logs = {"Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}
    quotas = sandbox.as_role("service-quotas", Policy=json.dumps(only_logs))
    with pytest.raises(ClientError) as caught:
        quotas.list_service_quotas(ServiceCode="logs")
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert "no session policy allows the servicequotas:ListServiceQuotas action" in error["Message"]
