"""Real faults of real services, watched by a real Prometheus: each alert fires while the state lasts.

Needs root to mount a small file system, the programs `prometheus` and `cc`, and the binary in LOGKEY_BINARY.
The rules are those of deploy/prometheus/alerts.yaml; only their `for:` is shortened.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = pathlib.Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "tests/clients"), str(ROOT / "tests/clients/python")]

from reflected import Caller  # noqa: E402
from service import Service, binary, free_port  # noqa: E402

WAIT_SECONDS = 90
CHANGE = {
    "log_group_name": "/payments/api",
    "kms_key_id": "arn:aws:kms:us-east-1:111122223333:key/11111111-1111-4111-8111-111111111111",
    "request_id": "0b0f6a3e-7d0e-4c7e-9f6b-3f1c2a5d8e90",
}


class Watched(Service):
    """A service whose store is in a folder of its own, with extra settings and environment variables."""

    def __init__(self, environment=None, server=""):
        super().__init__(binary())
        self.store = self.folder / "store"
        self.store.mkdir()
        self.extra = environment or {}
        self.server = server

    def write_files(self):
        super().write_files()
        config = self.folder / "logkey.toml"
        text = config.read_text().replace(f"{self.folder}/logkey.db", f"{self.store}/logkey.db")
        config.write_text(text.replace("[server]\n", f"[server]\n{self.server}", 1))

    def start(self, *arguments):
        before = dict(os.environ)
        try:
            if arguments[0] == "serve":
                os.environ.update(self.extra)
            super().start(*arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def serving(self):
        try:
            with urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def reload(self):
        self.processes[-1].send_signal(signal.SIGHUP)

    def stop(self):
        self.processes[-1].terminate()
        self.processes.pop().wait(timeout=30)


class Prometheus:
    """Prometheus with the alerts of the repository."""

    def __init__(self, folder, targets):
        self.address = f"127.0.0.1:{free_port()}"
        rules = (ROOT / "deploy/prometheus/alerts.yaml").read_text()
        (folder / "alerts.yaml").write_text(re.sub(r"( for:) \d+[smh]\b", r"\1 2s", rules))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "alerts.yaml")],
            "scrape_configs": [{"job_name": "logkey-admin", "static_configs": [{"targets": targets}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        log = open(folder / "prometheus.log", "wb")
        command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={self.address}"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def firing(self):
        """The names of the firing alerts with their instances."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/alerts", timeout=2) as answer:
                alerts = json.load(answer)["data"]["alerts"]
        except OSError:
            return None
        return {(it["labels"]["alertname"], it["labels"].get("instance")) for it in alerts if it["state"] == "firing"}

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)


class Report:
    """Waits for alerts, and counts what was seen."""

    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.passed = self.failed = 0

    def _wait(self, alert, expected, what):
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = self.prometheus.firing()
            if found is not None and (alert in found) == expected:
                self.passed += 1
                print(f"ok   {alert[0]} {what}", flush=True)
                return
            time.sleep(0.5)
        self.failed += 1
        print(f"FAIL {alert[0]} {what}; firing: {self.prometheus.firing()}", flush=True)

    def fires(self, name, instance, while_):
        self._wait((name, instance), True, f"fires: {while_}")

    def stays(self, name, instance, seconds=15):
        """An alert on a counter would still fire, but one on a gauge must not flap."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.prometheus.firing()
            if found is not None and (name, instance) not in found:
                self.failed += 1
                print(f"FAIL {name} ended while the state lasts", flush=True)
                return
            time.sleep(0.5)
        self.passed += 1
        print(f"ok   {name} fires as long as the state lasts", flush=True)

    def resolves(self, name, instance, after):
        self._wait((name, instance), False, f"resolves: {after}")


def certificate(folder, days):
    """Writes a certificate that expires in so many days, which can be negative."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "logkey.example.com")])
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(end - datetime.timedelta(days=400)).not_valid_after(end)
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file = folder / "tls.key"
    key_file.write_bytes(key.private_bytes(pem, *form))
    key_file.chmod(0o600)
    (folder / "tls.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))


@contextlib.contextmanager
def small_disk(folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "logkey-alerts", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def preloaded_disk(folder, store):
    """Builds the disk of the kill tests. Returns its control file and its environment variables."""
    library, shadow = folder / "disk.so", folder / "shadow"
    shadow.mkdir()
    source = ROOT / "tests/kill/disk.c"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    names = {"LD_PRELOAD": library, "LOGKEY_DISK_FOLDER": store, "LOGKEY_DISK_SHADOW": shadow}
    return shadow / ".control", {name: str(value) for name, value in names.items()}


def disk_full(report, service):
    ballast = service.store / "ballast"
    subprocess.run(["cp", "/dev/zero", ballast], stderr=subprocess.DEVNULL)
    # A reload is recorded in the audit log, so it needs the disk.
    service.reload()
    report.fires("LogkeyAuditCannotBeWritten", service.admin, "the disk is full")
    report.fires("LogkeyNotReady", service.admin, "the disk is full")
    report.stays("LogkeyAuditCannotBeWritten", service.admin)
    ballast.unlink()
    report.resolves("LogkeyAuditCannotBeWritten", service.admin, "the disk has space again")
    report.resolves("LogkeyNotReady", service.admin, "the disk has space again")


def disk_hangs(report, service, control):
    control.write_text("hang")
    service.reload()
    report.fires("LogkeyAuditCannotBeWritten", service.admin, "the disk hangs")
    report.stays("LogkeyAuditCannotBeWritten", service.admin)
    control.write_text("")
    report.resolves("LogkeyAuditCannotBeWritten", service.admin, "the disk responds again")


def refused_reload(report, service):
    config = service.folder / "logkey.toml"
    good = config.read_text()
    config.write_text("nonsense = 1\n" + good)
    service.reload()
    report.fires("LogkeySettingsRefused", service.admin, "a reload was refused")
    report.stays("LogkeySettingsRefused", service.admin)
    config.write_text(good)
    service.reload()
    report.resolves("LogkeySettingsRefused", service.admin, "a reload was accepted")


def defect(report, service):
    """Makes a recorded response unreadable, so that its repetition is an internal error."""
    with grpc.insecure_channel(service.address) as channel:
        payments = Caller(channel, service.token("payments"))
        payments("AssociateKmsKey", CHANGE)
        with contextlib.closing(sqlite3.connect(service.store / "logkey.db", timeout=10)) as store, store:
            assert store.execute("UPDATE request SET answer = '{}'").rowcount == 1
        refused = payments.refused("AssociateKmsKey", CHANGE)
    assert refused.code == grpc.StatusCode.INTERNAL, refused
    report.fires("LogkeyDefect", service.admin, "a call ended with INTERNAL")


def main():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logkey-alerting-")))
        tls = folder / "tls"
        tls.mkdir()
        certificate(tls, days=-1)
        server = f'tls = {{ cert_file = "{tls}/tls.crt", key_file = "{tls}/tls.key" }}\n'
        first = Watched(server=server)
        stack.enter_context(small_disk(first.store))
        stack.enter_context(first)
        second = Watched()
        control, second.extra = preloaded_disk(folder, second.store)
        stack.enter_context(second)
        prometheus = Prometheus(folder, [first.admin, second.admin])
        stack.callback(prometheus.close)
        report = Report(prometheus)

        report.fires("LogkeyCertificateExpired", first.admin, "the certificate has expired")
        report.fires("LogkeyDiskFillsUp", first.admin, "the disk has 24 MB")
        report.fires("LogkeyLimitsNotShared", None, "two replicas have no limits backend")
        certificate(tls, days=100)
        first.reload()
        report.resolves("LogkeyCertificateExpired", first.admin, "the certificate was replaced")
        disk_full(report, first)
        refused_reload(report, first)
        disk_hangs(report, second, control)
        defect(report, second)
        second.stop()
        report.fires("LogkeyDown", second.admin, "a replica cannot be scraped")
        report.resolves("LogkeyLimitsNotShared", None, "one replica is left")
        second.start("serve", "--config", str(second.folder / "logkey.toml"))
        report.resolves("LogkeyDown", second.admin, "the replica is back")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
