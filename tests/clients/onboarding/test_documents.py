"""Checks the output of `logkey onboarding` with third-party validators: parliament for IAM policies, cfn-lint
for the CloudFormation template, and an HCL parser for the Terraform configuration."""

import json
import os
import pathlib
import re
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
    "aws-eusc": ["eusc-de-east-1"],
    "aws-iso": ["us-iso-east-1"],
    "aws-iso-b": ["us-isob-east-1"],
    "aws-iso-e": ["eu-isoe-west-1"],
    "aws-iso-f": ["us-isof-south-1"],
}
# The partitions whose Regions and ARNs parliament knows.
KNOWN_TO_PARLIAMENT = ["aws", "aws-cn", "aws-us-gov"]
ORGANIZATION = "o-exampleorgid"


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


@pytest.fixture(params=[(partition, results) for partition in KNOWN_TO_PARLIAMENT for results in (True, False)], ids=str)
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
    """The findings of parliament for a policy. It knows the partitions aws, aws-cn and aws-us-gov only."""
    text = re.sub("arn:aws-(eusc|iso(-[a-z])?):", "arn:aws:", json.dumps(policy))
    found = parliament.analyze_policy_string(text).findings
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


@pytest.fixture(params=REGIONS)
def in_partition(request, tmp_path):
    """The partition, and the directory with the files of deploy/iam for it."""
    partition = request.param
    script = ROOT / "deploy/iam/for-partition.sh"
    subprocess.run([script, partition, REGIONS[partition][0], tmp_path / "iam"], check=True, timeout=30)
    return partition, tmp_path / "iam"


@pytest.mark.parametrize("name", ["tenant-role-policy.json", "hub-role-policy.json", *ACCEPTED])
def test_the_files_in_deploy_iam_have_no_unexpected_findings(in_partition, name):
    _, files = in_partition
    policy = json.loads((files / name).read_text())
    assert issues(policy) == ACCEPTED.get(name, set())


def test_the_files_of_a_partition_have_its_arns_and_the_principal_that_the_service_expects(in_partition, tmp_path):
    partition, files = in_partition
    config = tmp_path / "logkey.toml"
    config.write_text(settings(partition, True))
    done = run("payments", "111122223333", "--config", config, "--service-role", HUB)
    (expected,) = {each["Principal"]["Service"] for each in json.loads(done.stdout)["log_group_key_statements"] if REGIONS[partition][0] in str(each)}
    for name in ["key-policy-log-groups.json", "key-policy-query-results.json"]:
        statement = json.loads((files / name).read_text())
        assert statement["Principal"] == {"Service": expected}
        assert REGIONS[partition][0] in json.dumps(statement["Condition"])
    for file in files.iterdir():
        text = file.read_text()
        json.loads(text)
        assert all(arn.startswith(f"{partition}:") for arn in text.split("arn:")[1:]), file
        assert partition == "aws" or "us-east-1" not in text.replace("us-iso-east-1", ""), file


def test_an_unknown_partition_or_region_is_refused(tmp_path):
    for partition, region in [("aws-mars", "mars-1"), ("aws-cn", "eu-west-1")]:
        command = [ROOT / "deploy/iam/for-partition.sh", partition, region, tmp_path / "iam"]
        assert subprocess.run(command, capture_output=True, timeout=30).returncode == 2
        assert not (tmp_path / "iam").exists()


def test_only_the_organization_is_trusted_and_reached(tmp_path):
    hub = json.loads((ROOT / "deploy/iam/hub-role-policy.json").read_text())
    assert [each["Condition"] for each in hub["Statement"]] == [{"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}]
    config = tmp_path / "logkey.toml"
    config.write_text(settings("aws", False))
    arguments = ["payments", "111122223333", "--config", config, "--service-role", HUB, "--organization", ORGANIZATION]
    trust = json.loads(run(*arguments).stdout)["trust_policy"]
    assert issues(without_principals(trust["Statement"], ROLE)) == set()
    files = [json.loads((ROOT / "deploy/iam" / name).read_text()) for name in ["tenant-role-trust.json", "sink-role-trust.json"]]
    for policy in [trust, *files]:
        for statement in policy["Statement"]:
            assert statement["Condition"]["StringEquals"]["aws:PrincipalOrgID"] == ORGANIZATION
    for output_format in ["terraform", "cloudformation"]:
        assert ORGANIZATION in run(*arguments, "--format", output_format).stdout
    wrong = run(*arguments[:-1], "o-*")
    assert (wrong.returncode, wrong.stdout) == (2, "") and "not the id of an AWS organization" in wrong.stderr


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
