"""A caller that knows only the server's address and gets everything else from server reflection."""

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "keyassociation.v1"
SERVICES = [
    "AuditService",
    "BulkAssociationService",
    "CoverageService",
    "EncryptionRuleService",
    "KeyAssociationService",
    "TenantService",
]
DETAILS = {
    message.DESCRIPTOR.full_name: message
    for message in (
        error_details_pb2.BadRequest,
        error_details_pb2.ErrorInfo,
        error_details_pb2.Help,
        error_details_pb2.PreconditionFailure,
        error_details_pb2.QuotaFailure,
        error_details_pb2.RequestInfo,
        error_details_pb2.ResourceInfo,
        error_details_pb2.RetryInfo,
    )
}


class Refused(Exception):
    """A status other than OK, with its details decoded."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.trailers = {key: value for key, value in error.trailing_metadata() or ()}
        self.status = status_pb2.Status.FromString(self.trailers.get("grpc-status-details-bin", b""))
        self.details = {}
        for detail in self.status.details:
            name = detail.TypeName()
            self.details[name.rpartition(".")[2]] = DETAILS[name].FromString(detail.value)
        super().__init__(f"{self.code.name}: {self.message}")

    @property
    def reason(self):
        return self.details["ErrorInfo"].reason

    @property
    def metadata(self):
        return dict(self.details["ErrorInfo"].metadata)

    @property
    def fields(self):
        return sorted(violation.field for violation in self.details["BadRequest"].field_violations)

    @property
    def retry_seconds(self):
        delay = self.details["RetryInfo"].retry_delay
        return delay.seconds + delay.nanos / 1e9


class Caller:
    """Calls methods by name with plain values, with one token or without."""

    def __init__(self, channel, token=None):
        self.channel = channel
        self.token = token
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))

    def method(self, name):
        for service in SERVICES:
            found = self.pool.FindServiceByName(f"{PACKAGE}.{service}").methods_by_name.get(name)
            if found:
                return found
        raise KeyError(name)

    def __call__(self, name, fields=None, timeout=30, metadata=()):
        answer = self.raw(name, self.encode(name, fields), timeout=timeout, metadata=metadata)
        return self.decode(name, answer)

    def stream(self, name, fields=None, timeout=30):
        """The responses of a server stream, as they arrive."""
        path = f"/{self.method(name).containing_service.full_name}/{name}"
        authorization = [("authorization", f"Bearer {self.token}")] if self.token else []
        call = self.channel.unary_stream(path, _registered_method=False)
        try:
            for answer in call(self.encode(name, fields), timeout=timeout, metadata=authorization):
                yield self.decode(name, answer)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def encode(self, name, fields):
        request = message_factory.GetMessageClass(self.method(name).input_type)()
        return json_format.ParseDict(fields or {}, request).SerializeToString()

    def decode(self, name, answer):
        message = message_factory.GetMessageClass(self.method(name).output_type).FromString(answer)
        return json_format.MessageToDict(message, preserving_proto_field_name=True)

    def raw(self, name, body, timeout=30, metadata=(), service=None):
        """Sends bytes unchanged."""
        path = f"/{service or self.method(name).containing_service.full_name}/{name}"
        authorization = [("authorization", f"Bearer {self.token}")] if self.token else []
        call = self.channel.unary_unary(path, _registered_method=False)
        try:
            return call(body, timeout=timeout, metadata=[*authorization, *metadata])
        except grpc.RpcError as error:
            raise Refused(error) from None

    def refused(self, name, fields=None, **options):
        """Makes the call, which must fail, and returns its error."""
        try:
            answer = self(name, fields, **options)
        except Refused as refusal:
            return refusal
        raise AssertionError(f"{name} {fields} succeeded: {answer}")
