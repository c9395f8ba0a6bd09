"""Runs the embedded AWS of the real binary, and creates boto3 clients for it."""

import json
import os
import pathlib
import subprocess
import urllib.request

import boto3
import botocore.config
import pytest
from moto.server import ThreadedMotoServer

HERE = pathlib.Path(__file__).parent
REGION = "us-east-1"
ACCOUNT = "111122223333"
OTHER = "444455556666"
ONE_TRY = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=10)


class Sandbox:
    """A running embedded AWS."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def client(self, service, access_key, secret="any", token=None, config=ONE_TRY):
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=config,
        )

    def service_identity(self, service):
        return self.client(service, "AKIASANDBOXHUB")

    def assume(self, role, external_id="external-1", account=ACCOUNT, **more):
        return self.service_identity("sts").assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/{role}",
            RoleSessionName="tests",
            ExternalId=external_id,
            **more,
        )

    def as_role(self, service, role="Associator", **more):
        return self.session(service, self.assume(role, **more)["Credentials"])

    def session(self, service, issued, **more):
        keys = issued["AccessKeyId"], issued["SecretAccessKey"], issued["SessionToken"]
        return self.client(service, *keys, **more)

    def control(self, method, path, body=None):
        request = urllib.request.Request(f"{self.endpoint}/_sandbox/{path}", method=method)
        request.data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["x-logkey-sandbox"] == "1"
            return json.load(answer)

    def fault(self, **fault):
        return self.control("POST", "faults", fault)


@pytest.fixture(scope="session")
def running():
    """The embedded AWS on a free port. It prints its endpoint."""
    command = [os.environ["LOGKEY_BINARY"], "sandbox", "--listen", "127.0.0.1:0"]
    command += ["--seed", str(HERE / "seed.toml")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if line.startswith("endpoint"):
                    yield Sandbox(line.split()[1])
                    break
            else:
                raise RuntimeError(f"logkey sandbox ended with exit code {process.wait()}")
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def moto():
    """moto, another AWS emulator."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def sandbox(running):
    """One embedded AWS for all tests. Faults are removed after each test."""
    yield running
    running.control("DELETE", "faults")


@pytest.fixture
def logs(sandbox):
    return sandbox.as_role("logs")


@pytest.fixture
def kms(sandbox):
    return sandbox.as_role("kms")


def key(name, account=ACCOUNT):
    return f"arn:aws:kms:{REGION}:{account}:key/{name}"
