"""Reads the audit log as a tenant and as an operator, and checks a proof with RFC 6962 only."""

import base64
import hashlib

import grpc
from google.protobuf import message_factory

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-1111-4111-8111-111111111111"
GROUP = {"account_id": ACCOUNT, "region": "us-east-1", "log_group_name": "/payments/grpcurl"}


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from(leaf, index, size, hashes):
    """RFC 9162, section 2.1.3.2."""
    last, root = size - 1, leaf
    for sibling in hashes:
        assert last > 0
        if index & 1 or index == last:
            root = node(sibling, root)
            while index & 1 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            root = node(root, sibling)
        index, last = index >> 1, last >> 1
    assert last == 0
    return root


def events(caller, **filter):
    return caller("ListAuditEvents", {"filter": filter}).get("events", [])


def test_a_change_is_listed_and_proved_to_its_tenant(payments, auditor):
    changed = payments("AssociateKmsKey", GROUP | {"kms_key_id": KEY, "reason": "TICKET-9"})
    proof = auditor("GetInclusionProof", {"event_id": changed["audit_event_id"]})
    (event,) = [it for it in events(auditor, action="AssociateKmsKey") if it["id"] == changed["audit_event_id"]]
    assert event["outcome"] == "OK" and event["tenant_id"] == "payments" and "TICKET-9" in event["json"]
    leaf = hashlib.sha256(b"\x00" + event["json"].encode()).digest()
    hashes = [base64.b64decode(it) for it in proof.get("hashes", [])]
    root = root_from(leaf, int(proof.get("leaf_index", 0)), int(proof["tree_size"]), hashes)
    _origin, size, signed = proof["checkpoint"].splitlines()[:3]
    assert (int(size), base64.b64decode(signed)) == (int(proof["tree_size"]), root)


def test_events_of_another_tenant_appear_not_to_exist(payments, auditor, operator, orders):
    changed = payments("AssociateKmsKey", GROUP | {"kms_key_id": KEY})
    assert {event["tenant_id"] for event in events(auditor)} == {"payments"}
    assert events(auditor, tenant_id="orders") == []
    assert {event.get("tenant_id") for event in events(operator)} >= {None, "payments"}
    assert operator("GetInclusionProof", {"event_id": changed["audit_event_id"]})["tree_size"]
    missing = auditor.refused("GetInclusionProof", {"event_id": "019a0000-0000-7000-8000-000000000000"})
    assert (missing.reason, missing.code) == ("AUDIT_EVENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert orders.refused("ListAuditEvents").reason == "SCOPE_MISSING"


def test_a_stream_sends_new_events_once(channel, payments, auditor):
    method = auditor.method("WatchAuditEvents")
    request = message_factory.GetMessageClass(method.input_type)()
    answer = message_factory.GetMessageClass(method.output_type)
    watch = channel.unary_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
        _registered_method=False,
    )
    stream = watch(request, timeout=60, metadata=[("authorization", f"Bearer {auditor.token}")])
    # Wait until the stream is open before the change.
    stream.initial_metadata()
    changed = payments("AssociateKmsKey", GROUP | {"kms_key_id": KEY})
    seen = []
    for batch in stream:
        seen += [event.id for event in batch.events]
        if changed["audit_event_id"] in seen:
            break
    stream.cancel()
    assert len(seen) == len(set(seen))
