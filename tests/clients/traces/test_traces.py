"""Traces in a real OpenTelemetry Collector: a caller's span, the spans of the service, and the calls to AWS.

Needs the binary in LOGKEY_BINARY and the collector in COLLECTOR. What the collector got is read after the service has
stopped, because a stop sends the last spans.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc
import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "python")]

from reflected import Caller  # noqa: E402
from service import Service, binary, free_port  # noqa: E402

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-1111-4111-8111-111111111111"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
# The collector refuses requests without it.
COLLECTOR_TOKEN = "a-secret-that-only-the-collector-may-see"
EXTERNAL_ID = "external-payments"
SERVER = "keyassociation.v1.KeyAssociationService/AssociateKmsKey"
# The service sends a batch when it is this old.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
STEPS = ["authentication", "intent", "outcome", "permit", "policy", "quota"]

COLLECTOR = """
extensions:
  bearertokenauth:
    token: {token}
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "{grpc}", auth: {{ authenticator: bearertokenauth }} }}
      http: {{ endpoint: "{http}", auth: {{ authenticator: bearertokenauth }} }}
exporters:
  file: {{ path: "{file}" }}
service:
  extensions: [bearertokenauth]
  telemetry: {{ metrics: {{ level: none }}, logs: {{ level: debug }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [file] }}
"""


class Collector:
    """A running collector."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="logkey-collector-")
        folder = pathlib.Path(self.folder.name)
        self.file, self.log = folder / "spans.json", folder / "log"
        self.grpc, self.http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        config = folder / "collector.yaml"
        config.write_text(COLLECTOR.format(token=COLLECTOR_TOKEN, grpc=self.grpc, http=self.http, file=self.file))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.environ["COLLECTOR"], "--config", str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while b"Everything is ready" not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the collector does not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def stop(self):
        """Ends the collector, which then has written everything."""
        self.process.terminate()
        self.process.wait(timeout=60)

    def text(self):
        return self.file.read_text()

    def spans(self):
        found = []
        for line in self.text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                attributes = values(resource["resource"])
                for scope in resource["scopeSpans"]:
                    found += [Span(span, attributes) for span in scope["spans"]]
        return found


class Span:
    """A span as the collector wrote it."""

    def __init__(self, span, resource):
        self.name, self.kind, self.resource = span["name"], span["kind"], resource
        self.trace, self.id, self.parent = span["traceId"], span["spanId"], span.get("parentSpanId", "")
        self.attributes = values(span)
        self.failed = span.get("status", {}).get("code") == 2


def values(part):
    return {pair["key"]: next(iter(pair["value"].values())) for pair in part.get("attributes", [])}


class Traced(Service):
    """A service that exports traces."""

    def __init__(self, otlp, headers=True, more="", **environment):
        super().__init__(binary())
        self.otlp, self.settings, self.extra = otlp, more, environment
        if headers:
            self.otlp += '\nheaders_file = "headers"'
            path = self.folder / "headers"
            path.write_text(f"Authorization: Bearer {COLLECTOR_TOKEN}\n")
            path.chmod(0o600)

    def write_files(self):
        super().write_files()
        config = self.folder / "logkey.toml"
        traces = f"{self.settings}\n[telemetry.otlp]\n{self.otlp}\n"
        config.write_text(config.read_text().replace("[store]\n", f"{traces}\n[store]\n", 1))

    def start(self, *arguments):
        before = dict(os.environ)
        os.environ.update(self.extra)
        try:
            super().start(*arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def stop(self):
        """Ends the service, which sends its last spans, and returns its log."""
        process = self.processes.pop()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0, self.logs()
        return (self.folder / "serve.log").read_text()

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


def associate(channel, token, flags):
    fields = {"log_group_name": "/payments/api", "kms_key_id": KEY}
    metadata = [("traceparent", f"00-{TRACE}-{PARENT}-{flags}"), ("tracestate", "vendor=kept")]
    return Caller(channel, token)("AssociateKmsKey", fields, metadata=metadata)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_callers_span_is_joined_with_the_calls_to_aws(collector, protocol):
    address = getattr(collector, protocol)
    # The caller decides that its trace is recorded.
    otlp = f'endpoint = "http://{address}"\nprotocol = "{protocol}"\nsample_ratio = 0'
    attributes = "service.namespace=tests,deployment.environment.name=a%20test"
    environment = {"OTEL_SERVICE_NAME": "keys", "OTEL_RESOURCE_ATTRIBUTES": attributes}
    verbose = '[telemetry]\nlog_format = "json"\nlog_level = "trace"'
    with Traced(otlp, more=verbose, **environment) as service:
        token = service.token("payments")
        with grpc.insecure_channel(service.address) as channel:
            associate(channel, token, "01")
        journal = service.journal()
        assert service.metric("logkey_spans_dropped_total") == 0
        log = service.stop()
    collector.stop()

    spans = collector.spans()
    assert {span.trace for span in spans} == {TRACE}, "only the caller's trace is recorded"
    # The collector has metrics of its own, which count the spans it got.
    by_name = {span.name: span for span in spans}
    server = by_name[SERVER]
    assert (server.parent, server.kind, server.failed) == (PARENT, 2, False)
    assert server.resource["service.name"] == "keys"
    assert server.resource["service.namespace"] == "tests"
    assert server.resource["deployment.environment.name"] == "a test"
    assert server.attributes["rpc.system"] == "grpc"
    assert server.attributes["rpc.service"] == "keyassociation.v1.KeyAssociationService"
    assert server.attributes["rpc.method"] == "AssociateKmsKey"
    assert server.attributes["rpc.grpc.status_code"] == "0"
    assert server.attributes["logkey.tenant"] == "payments"
    assert server.attributes["cloud.account.id"] == ACCOUNT

    ids = {span.id: span for span in spans}

    def ancestors(span):
        names = []
        while span.parent in ids:
            span = ids[span.parent]
            names.append(span.name)
        return names

    for name in STEPS:
        assert SERVER in ancestors(by_name[name]), (name, sorted(by_name))
    for name in ["STS.AssumeRole", "CloudWatch Logs.AssociateKmsKey"]:
        call = by_name[name]
        operation = name.partition(".")[2]
        assert SERVER in ancestors(call), name
        assert (call.kind, call.failed) == (3, False)
        assert call.attributes["rpc.system"] == "aws-api"
        assert call.attributes["rpc.service"] == name.partition(".")[0]
        assert call.attributes["rpc.method"] == operation
        assert call.attributes["cloud.region"] == "us-east-1"
        assert call.attributes["cloud.account.id"] == ACCOUNT
        [entry] = [entry for entry in journal if entry["request_id"] == call.attributes["aws.request_id"]]
        assert entry["operation"] == operation
        assert entry["traceparent"] == f"00-{TRACE}-{call.id}-01"
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    [ended] = [line for line in lines if line.get("message") == "call ended" and line.get("trace_id")]
    assert ended["trace_id"] == TRACE

    for name, secret in [("token", token), ("external id", EXTERNAL_ID), ("headers file", COLLECTOR_TOKEN)]:
        assert secret not in collector.text(), f"the {name} is in the spans"
        assert secret not in log, f"the {name} is in the log"
    assert token not in collector.log.read_text()
    assert EXTERNAL_ID not in collector.log.read_text()


def test_a_trace_that_the_caller_does_not_record_is_passed_on_and_not_exported(collector):
    # A trace without a parent is recorded.
    with Traced(f'endpoint = "http://{collector.grpc}"\nsample_ratio = 1.0') as service:
        with grpc.insecure_channel(service.address) as channel:
            associate(channel, service.token("payments"), "00")
            Caller(channel, service.token("payments")).refused("GetKeyAssociation", {"log_group_name": "/hidden/api"})
            unknown = service.token("payments", tenant="nobody")
            Caller(channel, unknown).refused("GetCaller")
        [sent] = [entry["traceparent"] for entry in service.journal() if entry["operation"] == "AssociateKmsKey"]
        service.stop()
    collector.stop()
    assert sent.startswith(f"00-{TRACE}-") and sent.endswith("-00"), sent
    spans = collector.spans()
    assert TRACE not in {span.trace for span in spans}
    servers = {span.name: span for span in spans if span.kind == 2}
    refused = servers["keyassociation.v1.KeyAssociationService/GetKeyAssociation"]
    # A refusal is no error of the server, and has its reason.
    assert not refused.failed and refused.attributes["logkey.reason"] == "LOG_GROUP_NOT_FOUND", refused.attributes
    [failed] = [span for span in spans if span.name == "authentication" and span.failed]
    assert failed.attributes["error.type"] == "TOKEN_INVALID", failed.attributes


def test_a_changed_headers_file_counts_without_a_restart(collector):
    with Traced(f'endpoint = "http://{collector.grpc}"\nsample_ratio = 1', headers=False, **SOON) as service:
        with grpc.insecure_channel(service.address) as channel:
            Caller(channel, service.token("payments"))("GetCaller")
            # The collector refuses the spans, and the service does not repeat what was refused.
            service.wait_until("spans are dropped", lambda: service.metric("logkey_spans_dropped_total") > 0)
            config = service.folder / "logkey.toml"
            headers = service.folder / "headers"
            headers.write_text(f"authorization: Bearer {COLLECTOR_TOKEN}\n")
            text = config.read_text()
            config.write_text(text.replace("[telemetry.otlp]\n", '[telemetry.otlp]\nheaders_file = "headers"\n'))
            service.wait_until("the settings are reloaded", lambda: "were reloaded" in service.logs())
            Caller(channel, service.token("payments"))("GetCaller")
        log = service.stop()
    collector.stop()
    assert log.count("spans cannot be exported") == 1
    assert log.count("spans are exported again") == 1
    assert "keyassociation.v1.TenantService/GetCaller" in {span.name for span in collector.spans()}


@pytest.mark.parametrize("state", ["absent", "hanging"])
def test_a_collector_that_does_not_answer_delays_no_call(state):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if state == "hanging":
            silent.listen()
        otlp = f'endpoint = "http://127.0.0.1:{silent.getsockname()[1]}"\nsample_ratio = 1'
        # A call that waited for the collector would outlast its own deadline.
        environment = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600000", "LOGKEY__SERVER__DRAIN_TIMEOUT": "1s", **SOON}
        with Traced(otlp, headers=False, **environment) as service:
            with grpc.insecure_channel(service.address) as channel:
                caller = Caller(channel, service.token("payments"))
                body = caller.encode("GetCaller", {})
                path = "/keyassociation.v1.TenantService/GetCaller"
                method = channel.unary_unary(path, _registered_method=False)
                metadata = [("authorization", f"Bearer {caller.token}")]
                # More spans than the queue and a batch hold, in parts, so that no call waits long for its turn.
                for _ in range(20):
                    calls = [method.future(body, timeout=120, metadata=metadata) for _ in range(50)]
                    for call in calls:
                        call.result()
            service.wait_until("spans are dropped", lambda: service.metric("logkey_spans_dropped_total") > 0)
            log = service.stop()
    assert log.count("spans cannot be exported") <= 1
    if state == "absent":
        assert log.count("spans cannot be exported") == 1
    assert "the collector of traces does not respond" in log or state == "absent"
