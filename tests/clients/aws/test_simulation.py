"""IAM's policy simulation, as boto3 sees it."""

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION, key

VIA = {
    "ContextKeyName": "kms:ViaService",
    "ContextKeyType": "string",
    "ContextKeyValues": [f"logs.{REGION}.amazonaws.com"],
}


def role(name, account=ACCOUNT):
    return f"arn:aws:iam::{account}:role/{name}"


def simulate(sandbox, name, actions, resources=(), entries=()):
    iam = sandbox.as_role("iam", name)
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role(name),
        ActionNames=list(actions),
        ResourceArns=list(resources) or ["*"],
        ContextEntries=list(entries),
    )
    assert not answer["IsTruncated"]
    return {each["EvalActionName"]: each for each in answer["EvaluationResults"]}


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def test_each_resource_has_its_decision_and_the_action_the_worst(sandbox):
    told = simulate(sandbox, "Simulator", ["kms:Encrypt", "kms:Decrypt"], [key("good"), key("off")], [VIA])
    encrypt = told["kms:Encrypt"]
    each = {one["EvalResourceName"]: one["EvalResourceDecision"] for one in encrypt["ResourceSpecificResults"]}
    assert each == {key("good"): "allowed", key("off"): "implicitDeny"}
    assert encrypt["EvalDecision"] == "implicitDeny"
    assert told["kms:Decrypt"]["EvalDecision"] == "explicitDeny"


def test_a_condition_without_its_value_is_told_and_does_not_hold(sandbox):
    told = simulate(sandbox, "Simulator", ["kms:Encrypt"], [key("good")])["kms:Encrypt"]
    (one,) = told["ResourceSpecificResults"]
    assert (one["EvalResourceDecision"], one["MissingContextValues"]) == ("implicitDeny", ["kms:ViaService"])
    assert told["MissingContextValues"] == ["kms:ViaService"]
    wrong = VIA | {"ContextKeyValues": ["ec2.us-east-1.amazonaws.com"]}
    told = simulate(sandbox, "Simulator", ["kms:Encrypt"], [key("good")], [wrong])["kms:Encrypt"]
    assert (told["EvalDecision"], told["MissingContextValues"]) == ("implicitDeny", [])


def test_the_organization_is_told_apart(sandbox):
    told = simulate(sandbox, "Denied", ["logs:AssociateKmsKey", "logs:DisassociateKmsKey"])
    allowed = {name: one["OrganizationsDecisionDetail"]["AllowedByOrganizations"] for name, one in told.items()}
    assert allowed == {"logs:AssociateKmsKey": False, "logs:DisassociateKmsKey": True}


def test_results_come_by_page(sandbox):
    iam = sandbox.as_role("iam", "Associator")
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=role("Associator"),
        ActionNames=[f"kms:Action{n}" for n in range(7)],
        PaginationConfig={"PageSize": 3},
    )
    sizes = [len(page["EvaluationResults"]) for page in pages]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(
    "source, arguments, code, status",
    [
        (role("None"), {}, "NoSuchEntity", 404),
        (role("Associator", "444455556666"), {}, "NoSuchEntity", 404),
        (role("Associator"), {"ActionNames": ["Encrypt"]}, "InvalidInput", 400),
        (role("Associator"), {"ResourcePolicy": "{}"}, "InvalidInput", 400),
    ],
)
def test_what_cannot_be_simulated_is_refused(sandbox, source, arguments, code, status):
    iam = sandbox.as_role("iam", "Associator")
    arguments = {"PolicySourceArn": source, "ActionNames": ["kms:Encrypt"]} | arguments
    error = refused(iam.simulate_principal_policy, **arguments)
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


def test_a_role_that_may_not_simulate_is_refused_in_awss_words(sandbox):
    iam = sandbox.as_role("iam", "WithoutKms")
    error = refused(iam.simulate_principal_policy, PolicySourceArn=role("WithoutKms"), ActionNames=["kms:Encrypt"])
    user = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/WithoutKms/tests"
    told = f"is not authorized to perform: iam:SimulatePrincipalPolicy on resource: {role('WithoutKms')}"
    why = "because no identity-based policy allows the iam:SimulatePrincipalPolicy action"
    assert error["Error"]["Message"] == f"{user} {told} {why}"
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDenied", 403)


def test_iam_can_be_made_to_fail(sandbox):
    iam = sandbox.as_role("iam", "Associator")
    sandbox.fault(operation="SimulatePrincipalPolicy", effect="throttle", times=1)
    ask = {"PolicySourceArn": role("Associator"), "ActionNames": ["kms:Encrypt"]}
    assert refused(iam.simulate_principal_policy, **ask)["Error"]["Code"] == "Throttling"
    iam.simulate_principal_policy(**ask)
