"""One service for all tests, and a caller for each token."""

import pathlib
import sys

import grpc
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from reflected import Caller  # noqa: E402
from service import Service, binary  # noqa: E402


@pytest.fixture(scope="session")
def service():
    with Service(binary()) as running:
        yield running


@pytest.fixture(scope="session")
def channel(service):
    # gRPC's Python client takes 4 MiB and 16 KiB of metadata at most, unless told otherwise.
    options = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 20)]
    with grpc.insecure_channel(service.address, options=options) as channel:
        yield channel


@pytest.fixture
def payments(service, channel):
    return Caller(channel, service.token("payments"))


@pytest.fixture
def reader(service, channel):
    return Caller(channel, service.token("reader"))


@pytest.fixture
def orders(service, channel):
    return Caller(channel, service.token("orders"))


@pytest.fixture
def auditor(service, channel):
    return Caller(channel, service.token("auditor"))


@pytest.fixture
def operator(service, channel):
    return Caller(channel, service.token("operator"))


@pytest.fixture
def metered(service, channel):
    return Caller(channel, service.token("metered"))


@pytest.fixture
def nobody(channel):
    return Caller(channel)
