"""Calls that no correct client makes. Each gets a clear status, and the service stays available."""

import pytest

from reflected import PACKAGE, Refused


@pytest.fixture(autouse=True)
def service_stays_available(payments):
    yield
    assert payments("GetCaller")["tenant_id"] == "payments"


def status(caller, name, body, **options):
    with pytest.raises(Refused) as refused:
        caller.raw(name, body, **options)
    assert refused.value.message
    return refused.value.code.name


def test_a_message_of_five_mebibytes_is_refused(payments):
    reason = b"\x42" + varint(5 << 20) + b"x" * (5 << 20)
    assert status(payments, "AssociateKmsKey", reason) in {"OUT_OF_RANGE", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"}


def test_64_kib_of_metadata_is_refused(payments):
    many = [(f"x-filler-{n}", "y" * 1024) for n in range(64)]
    assert status(payments, "GetCaller", b"", metadata=many) == "INVALID_ARGUMENT"


def test_an_unknown_method_is_unimplemented(payments):
    service = f"{PACKAGE}.KeyAssociationService"
    assert status(payments, "RotateEverything", b"", service=service) == "UNIMPLEMENTED"


def test_an_unknown_service_is_unimplemented(payments):
    assert status(payments, "Anything", b"", service="no.such.Service") == "UNIMPLEMENTED"


def test_a_body_that_is_not_protobuf_is_refused(payments):
    assert status(payments, "AssociateKmsKey", b"\xff" * 64) in {"INTERNAL", "INVALID_ARGUMENT"}


def test_text_that_is_not_utf8_is_refused(payments):
    assert status(payments, "GetKeyAssociation", b"\x1a\x02\xc3\x28") in {"INTERNAL", "INVALID_ARGUMENT"}


def varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
