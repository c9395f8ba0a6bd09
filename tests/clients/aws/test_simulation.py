"""IAM's policy simulation of the embedded AWS, tested with boto3."""

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


def test_an_action_gets_the_worst_decision_of_its_resources(sandbox):
    results = simulate(sandbox, "Simulator", ["kms:Encrypt", "kms:Decrypt"], [key("good"), key("off")], [VIA])
    encrypt = results["kms:Encrypt"]
    each = {one["EvalResourceName"]: one["EvalResourceDecision"] for one in encrypt["ResourceSpecificResults"]}
    assert each == {key("good"): "allowed", key("off"): "implicitDeny"}
    assert encrypt["EvalDecision"] == "implicitDeny"
    assert results["kms:Decrypt"]["EvalDecision"] == "explicitDeny"


def test_a_missing_condition_value_is_reported_and_denies(sandbox):
    results = simulate(sandbox, "Simulator", ["kms:Encrypt"], [key("good")])["kms:Encrypt"]
    (one,) = results["ResourceSpecificResults"]
    assert (one["EvalResourceDecision"], one["MissingContextValues"]) == ("implicitDeny", ["kms:ViaService"])
    assert results["MissingContextValues"] == ["kms:ViaService"]
    wrong = VIA | {"ContextKeyValues": ["ec2.us-east-1.amazonaws.com"]}
    results = simulate(sandbox, "Simulator", ["kms:Encrypt"], [key("good")], [wrong])["kms:Encrypt"]
    assert (results["EvalDecision"], results["MissingContextValues"]) == ("implicitDeny", [])


def test_denials_by_the_organization_are_reported(sandbox):
    results = simulate(sandbox, "Denied", ["logs:AssociateKmsKey", "logs:DisassociateKmsKey"])
    allowed = {name: one["OrganizationsDecisionDetail"]["AllowedByOrganizations"] for name, one in results.items()}
    assert allowed == {"logs:AssociateKmsKey": False, "logs:DisassociateKmsKey": True}


def test_results_are_paged(sandbox):
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
def test_invalid_simulations_are_refused(sandbox, source, arguments, code, status):
    iam = sandbox.as_role("iam", "Associator")
    arguments = {"PolicySourceArn": source, "ActionNames": ["kms:Encrypt"]} | arguments
    error = refused(iam.simulate_principal_policy, **arguments)
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


def test_a_role_that_may_not_simulate_gets_the_error_text_of_aws(sandbox):
    iam = sandbox.as_role("iam", "WithoutKms")
    error = refused(iam.simulate_principal_policy, PolicySourceArn=role("WithoutKms"), ActionNames=["kms:Encrypt"])
    user = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/WithoutKms/tests"
    denial = f"is not authorized to perform: iam:SimulatePrincipalPolicy on resource: {role('WithoutKms')}"
    why = "because no identity-based policy allows the iam:SimulatePrincipalPolicy action"
    assert error["Error"]["Message"] == f"{user} {denial} {why}"
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDenied", 403)


def test_faults_apply_to_iam(sandbox):
    iam = sandbox.as_role("iam", "Associator")
    sandbox.fault(operation="SimulatePrincipalPolicy", effect="throttle", times=1)
    ask = {"PolicySourceArn": role("Associator"), "ActionNames": ["kms:Encrypt"]}
    assert refused(iam.simulate_principal_policy, **ask)["Error"]["Code"] == "Throttling"
    iam.simulate_principal_policy(**ask)
