"""One service, with an encryption rule for the tenant `fleet`, and the report of `logkey report` in each form."""

import os
import pathlib
import subprocess
import sys

import grpc
import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "python"), str(HERE.parent / "audit")]

from reflected import Caller  # noqa: E402
from service import Service, binary  # noqa: E402

# Text that a tenant chooses: markup, a script's end, and a formula of a spreadsheet.
HOSTILE = '=HYPERLINK("http://127.0.0.1:1/") </script><script>window.attacked = 1</script><img src=x onerror="attacked=1">'
KEY = "arn:aws:kms:{}:222233334444:key/99999999-9999-4999-8999-999999999999"


@pytest.fixture(scope="session")
def service():
    with Service(binary()) as running:
        with grpc.insecure_channel(running.address) as channel:
            prepare(running, Caller(channel, running.token("fleet")))
        yield running


def prepare(service, fleet):
    """Two log groups have the required key, one is exempt, and the others do not conform."""
    for name in ("/fleet/app-0", "/fleet/app-1"):
        target = {"region": "us-east-1", "log_group_name": name}
        fleet("AssociateKmsKey", {**target, "kms_key_id": "alias/logs"})
    rule = {
        "display_name": "logs",
        "selection": {},
        "key": {"kms_key_id": "alias/logs"},
        "mode": "RULE_MODE_REPORT",
        "exemptions": [{"pattern": "/fleet/app-2", "reason": HOSTILE}],
    }
    created = fleet("CreateEncryptionRule", {"encryption_rule": rule})
    service.rule = created["encryption_rule"]["id"]
    service.wait_until("the rule is evaluated", lambda: evaluated(fleet))


def evaluated(fleet):
    coverage = fleet("GetCoverage")
    return coverage["total"].get("compliant") == 2 and all("known_as_of" in it for it in coverage["locations"])


@pytest.fixture(scope="session")
def logkey(service):
    """Runs a client command as a caller."""

    def run(*arguments, caller="fleet"):
        environment = os.environ | {"LOGKEY_SERVER": f"http://{service.address}", "LOGKEY_TOKEN": service.token(caller)}
        command = [service.binary, *arguments]
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def report(logkey):
    """The report of a caller in a form."""

    def make(form, *arguments, caller="fleet"):
        done = logkey("report", "-o", form, *arguments, caller=caller)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return make
