"""Sets the key of all log groups that the tenant may see with a bulk job.

    LOGKEY_ADDRESS=127.0.0.1:50051 LOGKEY_TOKEN=... python main.py KEY
"""

import os
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "generated"))

from keyassociation.v1 import bulk_association_service_pb2 as bulk  # noqa: E402
from keyassociation.v1 import bulk_association_service_pb2_grpc as bulk_grpc  # noqa: E402
from keyassociation.v1 import fleet_pb2 as fleet  # noqa: E402
from keyassociation.v1 import key_association_service_pb2 as keys  # noqa: E402
from keyassociation.v1 import key_association_service_pb2_grpc as keys_grpc  # noqa: E402
from keyassociation.v1 import tenant_service_pb2 as tenant  # noqa: E402
from keyassociation.v1 import tenant_service_pb2_grpc as tenant_grpc  # noqa: E402
from logkey_client import METADATA, call, detail, retry_delay  # noqa: E402


def list_log_groups(channel):
    """The log groups of every account and Region of the tenant."""
    caller = call(tenant_grpc.TenantServiceStub(channel).GetCaller, tenant.GetCallerRequest())
    method = keys_grpc.KeyAssociationServiceStub(channel).ListKeyAssociations
    for account in caller.accounts:
        for region in account.regions:
            request = keys.ListKeyAssociationsRequest(account_id=account.account_id, region=region, page_size=2)
            while True:
                page = call(method, request)
                yield from page.associations
                if not page.next_page_token:  # Only an empty token marks the last page.
                    break
                request.page_token = page.next_page_token


def run_job(channel, key):
    """Plans a job, starts the plan and watches the job to its end."""
    jobs = bulk_grpc.BulkAssociationServiceStub(channel)
    # With one `request_id` for all attempts, a retry cannot create a second job.
    request = bulk.CreateBulkAssociationRequest(
        selection=fleet.Selection(), key=fleet.KeyChoice(kms_key_id=key), request_id=str(uuid.uuid4())
    )
    job = call(jobs.CreateBulkAssociation, request).bulk_association
    for job in watch(jobs, job.id):
        if job.state != bulk.BULK_STATE_PLANNING:
            break
    print(f"plan: {job.counts.total} log groups, {job.counts.waiting} to change", flush=True)
    call(jobs.StartBulkAssociation, bulk.StartBulkAssociationRequest(id=job.id, etag=job.etag))
    for job in watch(jobs, job.id):
        print(f"{job.counts.succeeded} of {job.counts.total}", file=sys.stderr)
    return job


def watch(jobs, job_id):
    """The states of a job, until it ends. Opens the stream again if it breaks: the job is not affected."""
    while True:
        stream = jobs.WatchBulkAssociation(
            bulk.WatchBulkAssociationRequest(id=job_id), timeout=3600, metadata=METADATA
        )
        try:
            yield from (update.bulk_association for update in stream)
            return
        except grpc.RpcError as error:
            delay = retry_delay(error)
            if delay is None and error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(delay or 1)
        finally:
            stream.cancel()


def main():
    with grpc.insecure_channel(os.environ["LOGKEY_ADDRESS"]) as channel:
        try:
            groups = list(list_log_groups(channel))
            print(f"{len(groups)} log groups, {sum(not group.kms_key_arn for group in groups)} without a key")
            job = run_job(channel, sys.argv[1])
            print(f"{bulk.BulkState.Name(job.state)}: {job.counts.succeeded} log groups changed")
        except grpc.RpcError as error:
            # Programs use the reason, never the message: docs/errors.md lists the reasons.
            info = detail(error, error_details_pb2.ErrorInfo)
            sys.exit(f"{error.code().name} {info.reason if info else ''}: {error.details()}")


if __name__ == "__main__":
    main()
