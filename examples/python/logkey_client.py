"""Calls logkey with a token and a deadline, and retries when the service says that a retry can succeed."""

import os
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


METADATA = [("authorization", "Bearer " + os.environ["LOGKEY_TOKEN"])]


def call(method, request, seconds=20):
    """Calls a method. Retries after the delay of `RetryInfo`, as long as the deadline permits."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return method(request, timeout=deadline - time.monotonic(), metadata=METADATA)
        except grpc.RpcError as error:
            delay = retry_delay(error)
            if delay is None or time.monotonic() + delay >= deadline:
                raise
            time.sleep(delay)


def retry_delay(error):
    """The seconds after which a retry can succeed. None if a retry does not help."""
    retry = detail(error, error_details_pb2.RetryInfo)
    return retry and retry.retry_delay.ToTimedelta().total_seconds()


def detail(error, kind):
    """The detail of this kind in an error, such as `ErrorInfo`. None if the error has none."""
    status, message = rpc_status.from_call(error), kind()
    return message if status and any(it.Unpack(message) for it in status.details) else None
