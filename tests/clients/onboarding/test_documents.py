"""What `logkey onboarding` prints, by validators that others wrote: parliament for IAM policies, cfn-lint
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
PLACES = {
    "aws": ["us-east-1", "eu-west-1"],
    "aws-cn": ["cn-north-1"],
    "aws-us-gov": ["us-gov-west-1"],
}


def settings(partition, query_results):
    regions = json.dumps(PLACES[partition])
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


@pytest.fixture(params=[(partition, results) for partition in PLACES for results in (True, False)], ids=str)
def printed(request, tmp_path):
    """Prints in one form, for one partition, with and without query results."""
    partition, query_results = request.param
    config = tmp_path / "logkey.toml"
    config.write_text(settings(partition, query_results))

    def in_form(form):
        done = run("payments", "111122223333", "--config", config, "--hub", HUB, "--format", form)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return in_form


# IAM has no resource type for query results: their statement is for every log group too.
CHANGES = {("RESOURCE_STAR", "['logs:AssociateKmsKey', 'logs:DisassociateKmsKey']")}
# A query is read by its id, and nothing says which spelling of its log groups decides then.
QUERIES = {("RESOURCE_STAR", "['logs:GetQueryResults']")}
STAR = CHANGES | QUERIES
# What parliament has against the files that are shipped: each what is argued above, and nothing else.
ARGUED = {
    "tenant-role-policy-query-results.json": CHANGES,
    "tenant-role-policy-verify-query-results.json": QUERIES,
}


def issues(policy):
    """What parliament has against a policy."""
    found = parliament.analyze_policy_string(json.dumps(policy)).findings
    return {(each.issue, str(each.detail)) for each in found}


def without_principals(statements, resource):
    """A policy of a role or key as parliament takes it, which knows policies of identities only."""
    changed = [
        {name: value for name, value in statement.items() if name != "Principal"} | {"Resource": resource}
        for statement in statements
    ]
    return {"Version": "2012-10-17", "Statement": changed}


def documented(condition):
    """The statement for a key that AWS documents, which parliament has things against too."""
    actions = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    return {"Effect": "Allow", "Action": actions, "Condition": condition}


ROLE = "arn:aws:iam::111122223333:role/security/LogKeyAssociator"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GROUPS = "arn:aws:logs:us-east-1:111122223333:*"


def test_the_policies_are_good_ones(printed):
    told = json.loads(printed("json"))
    results = told["query_results_key_statements"]
    assert issues(told["role_policy"]) == (STAR if results else set())
    assert issues(without_principals(told["trust_policy"]["Statement"], ROLE)) == set()
    (assume, *_) = told["trust_policy"]["Statement"]
    assert assume["Condition"] == {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}


def test_the_statements_for_keys_are_good_ones(printed):
    told = json.loads(printed("json"))
    known = issues(without_principals([documented({"ArnLike": {"kms:EncryptionContext:aws:logs:arn": GROUPS}})], KEY))
    for statement in told["log_group_key_statements"] + told["query_results_key_statements"]:
        found = issues(without_principals([statement], KEY))
        assert found <= (known if statement in told["log_group_key_statements"] else set())
        (service,) = statement["Principal"].values()
        assert service.startswith("logs.")


def test_a_bad_policy_is_found_by_the_same_means(printed):
    """So that no finding above means something."""
    policy = json.loads(printed("json"))["role_policy"]
    policy["Statement"][0]["Action"] = "logs:DescribeLogGrups"
    assert {issue for issue, _ in issues(policy) - STAR} == {"UNKNOWN_ACTION"}
    policy["Statement"][0] |= {"Action": "logs:DescribeLogGroups", "Resource": "log-group:x"}
    assert {issue for issue, _ in issues(policy)} >= {"INVALID_ARN"}


def test_the_template_is_a_good_one(printed):
    matches = api.lint_all(printed("cloudformation"))
    # Errors and warnings; what is for information only asks for things that are matters of taste.
    assert [str(match) for match in matches if match.rule.id[0] != "I"] == []
    template = json.loads(printed("cloudformation"))
    template["Resources"]["LogKeyRole"]["Properties"]["RolName"] = "x"
    assert any("RolName" in str(match) for match in api.lint_all(json.dumps(template)))


def heredoc(text):
    """The document in a heredoc, which the parser hands on with its marks or without."""
    return json.loads(text.split("<<-JSON")[1].rsplit("JSON", 1)[0])


def test_the_terraform_configuration_holds_the_same_documents(printed):
    told = json.loads(printed("json"))
    parsed = hcl2.loads(printed("terraform"))
    resources = {kind.strip('"'): inner for each in parsed["resource"] for kind, inner in each.items()}
    (role,) = resources["aws_iam_role"].values()
    assert (role["name"].strip('"'), role["path"].strip('"')) == ("LogKeyAssociator", "/security/")
    assert heredoc(role["assume_role_policy"]) == told["trust_policy"]
    (policy,) = resources["aws_iam_role_policy"].values()
    assert heredoc(policy["policy"]) == told["role_policy"]
    (local,) = parsed["locals"]
    assert heredoc(local["logkey_log_group_key_statements"]) == told["log_group_key_statements"]
    with pytest.raises(Exception):
        hcl2.loads(printed("terraform").replace("locals {", "locals {{"))


@pytest.mark.parametrize("name", ["tenant-role-policy.json", "hub-role-policy.json", *ARGUED])
def test_what_is_shipped_to_be_installed_is_good_too(name):
    policy = json.loads((ROOT / "deploy/iam" / name).read_text())
    assert issues(policy) == ARGUED.get(name, set())


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["other", "111122223333"], "there is no tenant other"),
        (["payments", "444455556666"], "tenant payments has no account 444455556666; it has 111122223333"),
        (["payments", "111122223333", "--hub", "LogKeyHub"], "--hub LogKeyHub is no ARN of a role or user"),
    ],
)
def test_what_cannot_be_said_is_told(tmp_path, arguments, told):
    config = tmp_path / "logkey.toml"
    config.write_text(settings("aws", True))
    done = run(*arguments[:2], "--config", config, *(arguments[2:] or ["--hub", HUB]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told)
