"""One service for all tests, and one caller per token."""

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
    # By default, gRPC's Python client allows 4 MiB messages and 16 KiB of metadata.
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
def anonymous(channel):
    return Caller(channel)
