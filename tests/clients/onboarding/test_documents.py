"""Checks the output of `logkey onboarding` with third-party validators: parliament for IAM policies, cfn-lint
for the CloudFormation template, and an HCL parser for the Terraform configuration."""

import json
import os
import pathlib
import subprocess

import hcl2
import parliament
import pytest
from cfnlint import api

ROOT = pathlib.Path(__file__).parents[3]
HUB = "arn:aws:iam::999999999999:role/LogKeyHub"
EXTERNAL_ID = "an-external-id.of:this/tenant"
REGIONS = {
    "aws": ["us-east-1", "eu-west-1"],
    "aws-cn": ["cn-north-1"],
    "aws-us-gov": ["us-gov-west-1"],
}


def settings(partition, query_results):
    regions = json.dumps(REGIONS[partition])
    return f"""
[[auth.issuers]]
issuer = "https://idp.example.com"
audiences = ["logkey"]
jwks_uri = "https://idp.example.com/jwks.json"
algorithms = ["RS256"]

[[tenants]]
id = "payments"
issuers = ["https://idp.example.com"]
[[tenants.accounts]]
account_id = "111122223333"
role_arn = "arn:{partition}:iam::111122223333:role/security/LogKeyAssociator"
external_id = "{EXTERNAL_ID}"
regions = {regions}
log_groups = ["/payments/*", "/aws/lambda/payments-*", "exact#1"]
kms_keys = ["arn:{partition}:kms:*:111122223333:key/*", "arn:{partition}:kms:*:444455556666:key/mrk-*"]
query_results = {str(query_results).lower()}
verify_query_results = {str(query_results).lower()}
"""


def run(*arguments):
    command = [os.environ["LOGKEY_BINARY"], "onboarding", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


@pytest.fixture(params=[(partition, results) for partition in REGIONS for results in (True, False)], ids=str)
def onboarding(request, tmp_path):
    """Returns a function that runs `logkey onboarding` for one output format."""
    partition, query_results = request.param
    config = tmp_path / "logkey.toml"
    config.write_text(settings(partition, query_results))

    def in_format(output_format):
        done = run("payments", "111122223333", "--config", config, "--service-role", HUB, "--format", output_format)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return in_format


# IAM has no resource type for query results, so their statement must use the resource *.
CHANGES = {("RESOURCE_STAR", "['logs:AssociateKmsKey', 'logs:DisassociateKmsKey']")}
# GetQueryResults names a query by its id only, so its statement must use the resource *.
QUERIES = {("RESOURCE_STAR", "['logs:GetQueryResults']")}
STAR = CHANGES | QUERIES
# The accepted parliament findings for the files in deploy/iam. The comments above give the reasons.
ACCEPTED = {
    "tenant-role-policy-query-results.json": CHANGES,
    "tenant-role-policy-verify-query-results.json": QUERIES,
}


def issues(policy):
    """The findings of parliament for a policy."""
    found = parliament.analyze_policy_string(json.dumps(policy)).findings
    return {(each.issue, str(each.detail)) for each in found}


def without_principals(statements, resource):
    """Turns statements of a trust or key policy into an identity policy, the only kind that parliament supports."""
    changed = [
        {name: value for name, value in statement.items() if name != "Principal"} | {"Resource": resource}
        for statement in statements
    ]
    return {"Version": "2012-10-17", "Statement": changed}


def documented_statement(condition):
    """The key policy statement from the AWS documentation. parliament has findings for it too."""
    actions = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    return {"Effect": "Allow", "Action": actions, "Condition": condition}


ROLE = "arn:aws:iam::111122223333:role/security/LogKeyAssociator"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GROUPS = "arn:aws:logs:us-east-1:111122223333:*"


def test_the_role_policies_have_no_unexpected_findings(onboarding):
    documents = json.loads(onboarding("json"))
    results = documents["query_results_key_statements"]
    assert issues(documents["role_policy"]) == (STAR if results else set())
    assert issues(without_principals(documents["trust_policy"]["Statement"], ROLE)) == set()
    (assume, *_) = documents["trust_policy"]["Statement"]
    assert assume["Condition"] == {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}


def test_the_key_statements_have_no_unexpected_findings(onboarding):
    documents = json.loads(onboarding("json"))
    known = issues(without_principals([documented_statement({"ArnLike": {"kms:EncryptionContext:aws:logs:arn": GROUPS}})], KEY))
    for statement in documents["log_group_key_statements"] + documents["query_results_key_statements"]:
        found = issues(without_principals([statement], KEY))
        assert found <= (known if statement in documents["log_group_key_statements"] else set())
        (service,) = statement["Principal"].values()
        assert service.startswith("logs.")


def test_parliament_finds_errors_in_a_bad_policy(onboarding):
    """Without this, the tests above could pass because parliament finds nothing at all."""
    policy = json.loads(onboarding("json"))["role_policy"]
    policy["Statement"][0]["Action"] = "logs:DescribeLogGrups"
    assert {issue for issue, _ in issues(policy) - STAR} == {"UNKNOWN_ACTION"}
    policy["Statement"][0] |= {"Action": "logs:DescribeLogGroups", "Resource": "log-group:x"}
    assert {issue for issue, _ in issues(policy)} >= {"INVALID_ARN"}


def test_the_cloudformation_template_has_no_findings(onboarding):
    matches = api.lint_all(onboarding("cloudformation"))
    # Ignore informational findings, which are about style.
    assert [str(match) for match in matches if match.rule.id[0] != "I"] == []
    template = json.loads(onboarding("cloudformation"))
    template["Resources"]["LogKeyRole"]["Properties"]["RolName"] = "x"
    assert any("RolName" in str(match) for match in api.lint_all(json.dumps(template)))


def heredoc(text):
    """The JSON document in a heredoc. The parser may or may not keep the heredoc markers."""
    return json.loads(text.split("<<-JSON")[1].rsplit("JSON", 1)[0])


def test_the_terraform_configuration_holds_the_same_documents(onboarding):
    documents = json.loads(onboarding("json"))
    parsed = hcl2.loads(onboarding("terraform"))
    resources = {kind.strip('"'): inner for each in parsed["resource"] for kind, inner in each.items()}
    (role,) = resources["aws_iam_role"].values()
    assert (role["name"].strip('"'), role["path"].strip('"')) == ("LogKeyAssociator", "/security/")
    assert heredoc(role["assume_role_policy"]) == documents["trust_policy"]
    (policy,) = resources["aws_iam_role_policy"].values()
    assert heredoc(policy["policy"]) == documents["role_policy"]
    (local,) = parsed["locals"]
    for kind in ("log_group_key_statements", "query_results_key_statements"):
        by_region = heredoc(local[f"logkey_{kind}"])
        assert sorted(by_region.values(), key=str) == sorted(documents[kind], key=str)
        assert all(region in json.dumps(statement) for region, statement in by_region.items())
    with pytest.raises(Exception):
        hcl2.loads(onboarding("terraform").replace("locals {", "locals {{"))


@pytest.mark.parametrize("name", ["tenant-role-policy.json", "hub-role-policy.json", *ACCEPTED])
def test_the_files_in_deploy_iam_have_no_unexpected_findings(name):
    policy = json.loads((ROOT / "deploy/iam" / name).read_text())
    assert issues(policy) == ACCEPTED.get(name, set())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["other", "111122223333"], "there is no tenant other"),
        (["payments", "444455556666"], "tenant payments has no account 444455556666; it has 111122223333"),
        (["payments", "111122223333", "--service-role", "LogKeyHub"], "--service-role LogKeyHub is not the ARN of a role or user"),
    ],
)
def test_wrong_arguments_are_reported(tmp_path, arguments, message):
    config = tmp_path / "logkey.toml"
    config.write_text(settings("aws", True))
    done = run(*arguments[:2], "--config", config, *(arguments[2:] or ["--service-role", HUB]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
