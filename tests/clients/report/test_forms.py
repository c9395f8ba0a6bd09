"""The forms of `logkey report` for programs: JSON, CSV, OCSF and ASFF."""

import csv
import io
import json

import validate
from botocore import session as botocore
from botocore.validate import ParamValidator
from conftest import HOSTILE, KEY
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

STATUSES = {
    ("us-east-1", "/fleet/app-0"): "COMPLIANT",
    ("us-east-1", "/fleet/app-1"): "COMPLIANT",
    ("us-east-1", "/fleet/app-2"): "EXEMPT",
    ("us-east-1", "/fleet/app-3"): "NO_KEY",
    ("eu-west-1", "/fleet/app-0"): "NO_KEY",
    ("eu-west-1", "/fleet/app-1"): "NO_KEY",
    ("eu-west-1", "/fleet/app-2"): "EXEMPT",
    ("eu-west-1", "/fleet/keyed"): "OTHER_KEY",
}


def statuses(rows):
    return {(row["region"], row["resource"]): row["status"] for row in rows}


def test_each_resource_has_one_row_with_the_verdict_of_the_rules(service, report):
    document = json.loads(report("json"))
    assert statuses(document["resources"]) == STATUSES
    assert (document["basis"], document["complete"], document["compliantPercent"]) == ("RULES", True, 33)
    assert [(document[it]) for it in ("total", "compliant", "nonCompliant")] == [8, 2, 4]
    other = next(row for row in document["resources"] if row["status"] == "OTHER_KEY")
    assert other["requiredKmsKeyArn"] == KEY.format("eu-west-1")
    assert other["ruleId"] == service.rule and other["startTime"] and other["remedy"]
    assert len(document["history"]) == 1


def test_without_rules_a_log_group_without_a_key_is_not_compliant(report):
    document = json.loads(report("json", caller="reader"))
    by_name = {row["resource"]: row for row in document["resources"]}
    assert document["basis"] == "ANY_KEY"
    assert by_name["/payments/keyed"]["status"] == "COMPLIANT"
    assert {row["status"] for name, row in by_name.items() if name != "/payments/keyed"} == {"NO_KEY"}


def test_an_expected_key_can_be_an_alias_or_an_arn(report):
    for key, region in (("alias/logs", "us-east-1"), (KEY.format("us-east-1"), "us-east-1")):
        document = json.loads(report("json", "--expect", key, "--region", region))
        found = statuses(document["resources"])
        assert found[region, "/fleet/app-0"] == "COMPLIANT"
        assert found[region, "/fleet/app-2"] == "NO_KEY"
    found = statuses(json.loads(report("json", "--expect", "alias/former"))["resources"])
    assert found["eu-west-1", "/fleet/keyed"] == "COMPLIANT"
    # The alias does not exist there: what has a key cannot be judged.
    assert found["us-east-1", "/fleet/app-0"] == "UNKNOWN"


def test_an_account_that_cannot_be_read_makes_the_report_incomplete(logkey):
    done = logkey("report", "-o", "json", "--fail-on", "non-compliant", caller="unread")
    document = json.loads(done.stdout)
    assert (done.returncode, document["complete"]) == (1, False)
    assert document["locations"][0]["error"]["reason"] == "ROLE_NOT_ASSUMABLE"
    assert "INCOMPLETE: 999900001111 us-east-1: ROLE_NOT_ASSUMABLE" in logkey("report", caller="unread").stdout


def test_non_compliant_resources_fail_only_if_asked(logkey):
    assert logkey("report").returncode == 0
    failed = logkey("report", "--fail-on", "non-compliant")
    assert failed.returncode == 1
    assert "4 resources are not compliant" in failed.stderr
    region = ["--region", "us-east-1", "--expect", "alias/logs"]
    assert logkey("report", *region, "--fail-on", "non-compliant").returncode == 1
    unknown = logkey("report", "--region", "mars-1")
    assert unknown.returncode == 2 and "mars-1" in unknown.stderr


def test_a_table_shows_what_was_compared_and_the_counts(report):
    text = report("table")
    assert "33 %" in text and "4 resources" not in text
    assert "2 COMPLIANT, 3 NO_KEY, 1 OTHER_KEY, 2 EXEMPT" in text
    assert "/fleet/keyed" in text


def test_no_cell_of_the_csv_is_a_formula(report):
    rows = list(csv.DictReader(io.StringIO(report("csv"))))
    assert statuses(rows) == STATUSES
    assert any(HOSTILE in cell for row in rows for cell in row.values())
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_ocsf_events_conform_to_the_schema(report):
    raw = get_ocsf_schema(version="1.8.0")
    schema = OcsfJsonSchemaEmbedded(raw).get_class_schema(class_name="compliance_finding", profiles=["cloud"])
    validators = {"compliance_finding": Draft202012Validator(schema)}
    lines = report("ocsf").splitlines()
    events = [json.loads(line) for line in lines]
    for event, line in zip(events, lines):
        assert not list(validate.errors(event, line, raw, validators))
    by_resource = {(it["cloud"]["region"], it["resources"][0]["name"]): it["status_code"] for it in events}
    assert by_resource == STATUSES
    outcomes = {it["status_code"]: it["compliance"]["status"] for it in events}
    assert outcomes == {"COMPLIANT": "Pass", "NO_KEY": "Fail", "OTHER_KEY": "Fail", "EXEMPT": "Warning"}


def test_asff_findings_are_accepted_by_the_client_of_security_hub(report):
    model = botocore.get_session().get_service_model("securityhub")
    shape = model.operation_model("BatchImportFindings").input_shape
    findings = json.loads(report("asff"))
    result = ParamValidator().validate({"Findings": findings}, shape)
    assert not result.has_errors(), result.generate_report()
    assert {it["Compliance"]["Status"] for it in findings} == {"PASSED", "FAILED", "NOT_AVAILABLE"}
    assert len({it["Id"] for it in findings}) == len(findings) == len(STATUSES)
    assert [it["Id"] for it in findings] == [it["Id"] for it in json.loads(report("asff"))]
    for finding in findings:
        # Limits that the client does not check:
        # https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html
        assert finding["ProductArn"].endswith(f"product/{finding['AwsAccountId']}/default")
        assert len(finding["Title"]) <= 256 and 0 < len(finding["Description"]) <= 1024 and len(finding["Id"]) <= 512
        other = finding["Resources"][0]["Details"]["Other"]
        assert all(0 < len(value) < 1024 for value in other.values())
