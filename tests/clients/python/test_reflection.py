"""What a caller can read without a token: services, their comments and their health."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from reflected import PACKAGE, SERVICES

METHODS = [
    "AssociateKmsKey",
    "CheckKeyAssociation",
    "DisassociateKmsKey",
    "GetKeyAssociation",
    "GetKeyUsage",
    "ListKeyAssociations",
]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_reflection_versions_list_the_services(channel, version):
    # Both versions use the same messages.
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = reflect(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]), timeout=10)
    listed = {service.name for service in answer.list_services_response.service}
    assert {f"{PACKAGE}.{service}" for service in SERVICES} <= listed
    assert {"grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"} <= listed


def test_reflection_describes_every_method(anonymous):
    service = anonymous.pool.FindServiceByName(f"{PACKAGE}.KeyAssociationService")
    assert sorted(service.methods_by_name) == METHODS


def test_reflection_carries_the_comments(channel):
    file = ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(f"{PACKAGE}.KeyAssociationService")
    comments = [location.leading_comments for location in file.source_code_info.location]
    assert any("Sets the key of one log group" in comment for comment in comments)


@pytest.mark.parametrize("name", ["", *(f"{PACKAGE}.{service}" for service in SERVICES)])
@pytest.mark.parametrize("caller", ["anonymous", "reader"])
def test_health_needs_no_token(request, channel, name, caller):
    token = request.getfixturevalue(caller).token
    metadata = [("authorization", f"Bearer {token}")] if token else []
    question = health_pb2.HealthCheckRequest(service=name)
    answer = health_pb2_grpc.HealthStub(channel).Check(question, timeout=10, metadata=metadata)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_lists_every_service(channel):
    answer = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=10)
    states = {name: status.status for name, status in answer.statuses.items()}
    names = ["", *(f"{PACKAGE}.{service}" for service in SERVICES)]
    assert states == dict.fromkeys(names, health_pb2.HealthCheckResponse.SERVING)


def test_health_of_an_unknown_service_is_not_found(channel):
    question = health_pb2.HealthCheckRequest(service="no.such.Service")
    with pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(question, timeout=10)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
