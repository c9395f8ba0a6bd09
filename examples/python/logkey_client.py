"""Calls logkey with a token and a deadline, and retries when the service says that a retry can succeed."""

import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Client:
    def __init__(self, token, seconds=20):
        self.token, self.seconds = token, seconds

    def call(self, method, request):
        """Calls a method. Retries after the delay of `RetryInfo`, as long as the deadline permits."""
        deadline = time.monotonic() + self.seconds
        while True:
            try:
                return method(request, timeout=deadline - time.monotonic(), metadata=self.metadata())
            except grpc.RpcError as error:
                delay = retry_delay(error)
                if delay is None or time.monotonic() + delay >= deadline:
                    raise
                time.sleep(delay)

    def pages(self, method, request):
        """Every page of a list. Only an empty `next_page_token` marks the last one."""
        while True:
            page = self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def metadata(self):
        return [("authorization", f"Bearer {self.token}")]


def retry_delay(error):
    """The seconds after which a retry can succeed. None if a retry does not help."""
    retry = detail(error, error_details_pb2.RetryInfo)
    return retry.retry_delay.ToTimedelta().total_seconds() if retry else None


def detail(error, kind):
    """The detail of this kind in an error, such as `ErrorInfo`. None if the error has none."""
    status = rpc_status.from_call(error)
    for any_detail in status.details if status else ():
        message = kind()
        if any_detail.Unpack(message):
            return message
    return None
