"""A whole bulk job as a portal drives it, over grpcio and reflection. boto3 breaks and repairs the key in the
embedded AWS, and reads there what the job changed."""

import json
import pathlib
import sys
import time

import boto3
import grpc
import pytest

HERE = pathlib.Path(__file__).parent
sys.path += [str(HERE.parent), str(HERE.parent / "python")]

from reflected import Caller  # noqa: E402
from service import Service, binary  # noqa: E402

ACCOUNT = "222233334444"
REGIONS = ["eu-west-1", "us-east-1"]
KEY_ID = "99999999-9999-4999-8999-999999999999"
FORMER = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
APPS = {("us-east-1", f"/fleet/app-{n}") for n in range(4)} | {("eu-west-1", f"/fleet/app-{n}") for n in range(3)}
ALL = APPS | {("eu-west-1", "/fleet/keyed")}
JOB = {"key": {"kms_key_id": "alias/logs"}, "selection": {"log_group_patterns": ["/fleet/*"]}}


def key(region):
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{KEY_ID}"


class Fleet:
    """The caller, and the account as its administrator sees it."""

    def __init__(self, service, channel):
        self.service = service
        self.call = Caller(channel, service.token("fleet"))
        self.orders = Caller(channel, service.token("orders", scope="logkey:associate logkey:bulk"))
        self.payments = Caller(channel, service.token("payments"))

    def admin(self, name, region):
        return boto3.client(
            name,
            region_name=region,
            endpoint_url=self.service.sandbox,
            aws_access_key_id=f"AKIAADMIN{ACCOUNT}",
            aws_secret_access_key="any",
        )

    def keys(self):
        """The key of each log group in AWS, without those of others."""
        return {
            (region, group["logGroupName"]): group.get("kmsKeyId")
            for region in REGIONS
            for group in self.admin("logs", region).describe_log_groups(logGroupNamePrefix="/fleet/")["logGroups"]
        }

    def accepted(self):
        """The changes that AWS accepted."""
        journal = [entry for entry in self.service.journal() if entry["operation"].endswith("ociateKmsKey")]
        return [entry for entry in journal if entry["outcome"] == "executed"]

    def planned(self, **fields):
        job = self.call("CreateBulkAssociation", JOB | fields)["bulk_association"]
        assert job["state"] == "BULK_STATE_PLANNING"
        deadline = time.monotonic() + 30
        while job["state"] == "BULK_STATE_PLANNING":
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
            job = self.call("GetBulkAssociation", {"id": job["id"]})["bulk_association"]
        return job

    def watch(self, job):
        """Everything that the stream sends until the job has ended."""
        stream = self.call.stream("WatchBulkAssociation", {"id": job["id"]}, timeout=60)
        return [answer["bulk_association"] for answer in stream]

    def items(self, job, **filters):
        items, page_token = [], ""
        while True:
            request = filters | {"id": job["id"], "page_size": 3, "page_token": page_token}
            page = self.call("ListBulkAssociationItems", request)
            items += page.get("items", [])
            page_token = page.get("next_page_token", "")
            if not page_token:
                return items


@pytest.fixture(scope="module")
def fleet():
    with Service(binary()) as service, grpc.insecure_channel(service.address) as channel:
        yield Fleet(service, channel)


def names(items):
    return {(item["region"], item["log_group_name"]) for item in items}


def refused(refusal):
    assert refusal.details["ErrorInfo"].domain == "keyassociation.v1"
    return refusal.code.name, refusal.reason


def test_a_job_is_driven_from_its_plan_to_its_revert(fleet):
    job = fleet.planned(reason="CHG-42")
    counts = job["counts"]
    assert (counts["total"], counts["waiting"], counts["overriding"]) == (8, 8, 1)
    assert [place["region"] for place in job["locations"]] == REGIONS
    assert job["expected_end_time"] and fleet.accepted() == []

    # After the plan somebody removes the statement for CloudWatch Logs from one of the two keys.
    kms = fleet.admin("kms", "us-east-1")
    policy = json.loads(kms.get_key_policy(KeyId=KEY_ID, PolicyName="default")["Policy"])
    service = {"Service": "logs.us-east-1.amazonaws.com"}
    own = [statement for statement in policy["Statement"] if statement["Principal"] != service]
    assert len(own) < len(policy["Statement"])
    put_policy(kms, policy | {"Statement": own})

    stale = fleet.call.refused("StartBulkAssociation", {"id": job["id"], "etag": "0"})
    assert refused(stale) == ("ABORTED", "ETAG_MISMATCH")
    fleet.call("StartBulkAssociation", {"id": job["id"], "etag": job["etag"]})
    seen = fleet.watch(job)
    done = [update["counts"].get("succeeded", 0) + update["counts"].get("failed", 0) for update in seen]
    assert done == sorted(done)
    assert seen[-1]["state"] == "BULK_STATE_COMPLETED_WITH_FAILURES"
    assert (seen[-1]["counts"]["succeeded"], seen[-1]["counts"]["failed"]) == (4, 4)

    failed = fleet.items(job, states=["BULK_ITEM_STATE_FAILED"])
    assert names(failed) == {group for group in APPS if group[0] == "us-east-1"}
    assert {item["reason"] for item in failed} == {"KEY_POLICY_LACKS_LOGS_SERVICE"}
    assert fleet.items(job, reasons=["KEY_POLICY_LACKS_LOGS_SERVICE"], region="us-east-1") == failed
    assert fleet.items(job, states=["BULK_ITEM_STATE_FAILED"], region="eu-west-1") == []
    assert all(item["message"] and item["audit_event_id"] for item in failed)

    # The remedy of an item is the statement that its resource needs.
    remedies = [json.loads(item["remedy_document"]) for item in failed]
    assert [statement["Principal"] for statement in remedies] == [service] * 4
    put_policy(kms, policy | {"Statement": [*own, *remedies]})
    fleet.call("RetryBulkAssociation", {"id": job["id"]})
    last = fleet.watch(job)[-1]
    assert (last["state"], last["counts"]["succeeded"]) == ("BULK_STATE_SUCCEEDED", 8)
    attempts = {(item["region"], item["attempts"]) for item in fleet.items(job)}
    assert attempts == {("us-east-1", 2), ("eu-west-1", 1)}
    assert fleet.keys() == {group: key(group[0]) for group in ALL}
    assert len(fleet.accepted()) == 8

    revert = fleet.call("RevertBulkAssociation", {"id": job["id"], "reason": "CHG-43"})["bulk_association"]
    assert (revert["revert_of"], "selection" in revert) == (job["id"], False)
    last = fleet.watch(revert)[-1]
    assert (last["state"], last["counts"]["succeeded"]) == ("BULK_STATE_SUCCEEDED", 8)
    assert fleet.keys() == {group: None for group in APPS} | {("eu-west-1", "/fleet/keyed"): FORMER}
    listed = fleet.call("ListBulkAssociations", {"states": ["BULK_STATE_SUCCEEDED"]})["bulk_associations"]
    assert [each["id"] for each in listed] == [revert["id"], job["id"]]


def put_policy(kms, policy):
    kms.put_key_policy(KeyId=KEY_ID, PolicyName="default", Policy=json.dumps(policy))


def test_a_key_is_retired_with_a_job(fleet):
    moved = {"current_key": "CURRENT_KEY_WITH_KEY", "current_kms_key_id": FORMER, "regions": ["eu-west-1"]}
    job = fleet.planned(selection=moved, start=True, request_id="0196f3a0-0000-7000-8000-000000000001")
    again = JOB | {"selection": moved, "start": True, "request_id": "0196f3a0-0000-7000-8000-000000000001"}
    assert fleet.call("CreateBulkAssociation", again)["bulk_association"]["id"] == job["id"]
    last = fleet.watch(job)[-1]
    assert (last["state"], last["counts"]["total"]) == ("BULK_STATE_SUCCEEDED", 1)
    (item,) = fleet.items(job)
    assert (item["log_group_name"], item["previous_kms_key_arn"]) == ("/fleet/keyed", FORMER)
    assert fleet.keys()["eu-west-1", "/fleet/keyed"] == key("eu-west-1")
    usage = fleet.call("GetKeyUsage", {"kms_key_id": FORMER})
    assert usage["verdict"] == "DELETION_VERDICT_STILL_PROTECTS_DATA"


def test_a_call_that_does_not_fit_the_state_names_the_state(fleet):
    job = fleet.planned()
    for name in ("PauseBulkAssociation", "ResumeBulkAssociation", "RetryBulkAssociation", "RevertBulkAssociation"):
        refusal = fleet.call.refused(name, {"id": job["id"]})
        assert refused(refusal) == ("FAILED_PRECONDITION", "JOB_STATE"), name
        assert refusal.metadata["state"] == "PLANNED"
    fleet.call("CancelBulkAssociation", {"id": job["id"]})
    refusal = fleet.call.refused("StartBulkAssociation", {"id": job["id"]})
    assert (refused(refusal), refusal.metadata["state"]) == (("FAILED_PRECONDITION", "JOB_STATE"), "CANCELLED")
    assert [update["state"] for update in fleet.watch(job)] == ["BULK_STATE_CANCELLED"]


def test_a_job_of_another_tenant_looks_absent(fleet):
    job = fleet.planned()
    for name in ("GetBulkAssociation", "ListBulkAssociationItems", "CancelBulkAssociation"):
        for id in (job["id"], "0196f3a0-0000-7000-8000-000000000000"):
            refusal = fleet.orders.refused(name, {"id": id})
            assert refused(refusal) == ("NOT_FOUND", "BULK_ASSOCIATION_NOT_FOUND"), name
    assert "bulk_associations" not in fleet.orders("ListBulkAssociations")
    assert fleet.call("CancelBulkAssociation", {"id": job["id"]})["bulk_association"]["state"] == "BULK_STATE_CANCELLED"


def test_the_scopes_of_bulk_jobs_are_required(fleet):
    refusal = fleet.payments.refused("CreateBulkAssociation", JOB)
    assert refused(refusal) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert "logkey:bulk" in refusal.metadata.values()
    removal = {"selection": {}, "disassociate": True}
    refusal = fleet.orders.refused("CreateBulkAssociation", removal)
    assert refused(refusal) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert "logkey:disassociate" in refusal.metadata.values()


@pytest.mark.parametrize(
    ("fields", "invalid"),
    [
        ({}, ["change", "selection"]),
        ({"selection": {}, "disassociate": False}, ["disassociate"]),
        (JOB | {"selection": {"current_kms_key_id": FORMER}}, ["selection.current_kms_key_id"]),
        (JOB | {"safety": {"end_time": "2020-01-01T00:00:00Z"}}, ["safety.end_time"]),
        (JOB | {"selection": {"account_ids": ["12"], "regions": ["nowhere"]}}, ["selection.account_ids[0]", "selection.regions[0]"]),
    ],
)
def test_every_invalid_field_of_a_job_is_named(fleet, fields, invalid):
    refusal = fleet.call.refused("CreateBulkAssociation", fields)
    assert refused(refusal) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.fields == invalid


def test_a_tenant_has_a_maximum_of_open_jobs(fleet):
    job = {"selection": {}, "key": {"kms_key_id": "alias/none"}}
    jobs = [fleet.orders("CreateBulkAssociation", job)["bulk_association"]["id"] for _ in range(20)]
    refusal = fleet.orders.refused("CreateBulkAssociation", job)
    assert refused(refusal) == ("RESOURCE_EXHAUSTED", "TENANT_JOBS_LIMITED")
    assert refusal.retry_seconds > 0
    fleet.orders("CancelBulkAssociation", {"id": jobs[0]})
    fleet.orders("CreateBulkAssociation", job)
