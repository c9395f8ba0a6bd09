"""Runs the real binary for the client tests: the embedded AWS, the service, and tokens.

pytest uses it as a fixture. Other clients use the command line: `python service.py PROGRAM ARGUMENTS...`
starts everything, runs the program with `LOGKEY_*` in its environment, and stops everything.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

HERE = pathlib.Path(__file__).parent
ISSUER = "https://idp.example.com"
AUDIENCE = "logkey"
KEY_ID = "clients-1"
SCOPES = "logkey:read logkey:associate logkey:disassociate logkey:query-results"
START_SECONDS = 30

# The tenant and scopes of each caller's token.
CALLERS = {
    "payments": ("payments", SCOPES),
    "reader": ("payments", "logkey:read"),
    "orders": ("orders", SCOPES),
    "auditor": ("payments", "logkey:audit"),
    "operator": ("orders", "logkey:audit logkey:admin"),
    "metered": ("metered", SCOPES),
    "portal": ("portal", SCOPES),
    "fleet": ("fleet", f"{SCOPES} logkey:bulk"),
    "examples": ("examples", f"{SCOPES} logkey:bulk"),
    "unread": ("unread", "logkey:read"),
}

CONFIG = """
[server]
listen = "{address}"
admin_listen = "{admin}"
drain_delay = "0s"

[store]
url = "sqlite://{folder}/logkey.db"

[[auth.issuers]]
issuer = "{issuer}"
audiences = ["{audience}"]
jwks_file = "{folder}/jwks.json"
algorithms = ["ES256"]
may_grant_admin = true

[aws]
region = "us-east-1"
endpoint_url = "{sandbox}"

{tenants}
"""

TENANT = """
[[tenants]]
id = "{id}"
issuers = ["{issuer}"]
limits = {{ per_second = {per_second}, burst = {burst}, max_in_flight = 32 }}
[[tenants.accounts]]
account_id = "{account}"
role_arn = "arn:aws:iam::{account}:role/LogKeyAssociator"
external_id = "{external_id}"
regions = {regions}
log_groups = ["/{id}/*"]
kms_keys = ["arn:aws:kms:*:{account}:key/*"]
query_results = true
{more}
"""

# Account, Regions, calls per second, burst.
TENANTS = {
    "payments": ("111122223333", ["us-east-1"], 1000, 1000),
    "orders": ("444455556666", ["us-east-1"], 1000, 1000),
    "metered": ("777788889999", ["us-east-1"], 1, 2),
    "portal": ("888899990000", ["us-east-1"], 1, 2),
    "fleet": ("222233334444", ["us-east-1", "eu-west-1"], 1000, 1000),
    "examples": ("555566667777", ["us-east-1", "eu-west-1"], 2, 2),
    # No such account exists.
    "unread": ("999900001111", ["us-east-1"], 1000, 1000),
}


class Service:
    """The running processes, and what a client needs to use them."""

    def __init__(self, binary, aws=None, more=""):
        """`aws` is the address of another AWS emulator; without it, the embedded AWS is started. `more` is
        extra TOML for each tenant's account."""
        self.more = more
        self.binary = binary
        self.starts_sandbox = aws is None
        self.processes = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="logkey-clients-"))
        self.address = f"127.0.0.1:{free_port()}"
        self.admin = f"127.0.0.1:{free_port()}"
        self.sandbox = aws or f"http://127.0.0.1:{free_port()}"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_file = self.folder / "issuer.pem"

    def __enter__(self):
        try:
            self.write_files()
            if self.starts_sandbox:
                listen = self.sandbox.removeprefix("http://")
                self.start("sandbox", "--listen", listen, "--seed", str(HERE / "seed.toml"))
                self.wait_until("the embedded AWS answers", self.sandbox_answers)
            self.start("serve", "--config", str(self.folder / "logkey.toml"))
            self.wait_until("the service is SERVING", self.serving)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_files(self):
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        jwks = {"keys": [public | {"kid": KEY_ID, "alg": "ES256", "use": "sig"}]}
        (self.folder / "jwks.json").write_text(json.dumps(jwks))
        pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.key_file.write_bytes(self.key.private_bytes(*pem))
        self.key_file.chmod(0o600)
        tenants = "".join(
            TENANT.format(
                id=name,
                issuer=ISSUER,
                account=account,
                external_id=f"external-{name}",
                more=self.more,
                regions=json.dumps(regions),
                per_second=per_second,
                burst=burst,
            )
            for name, (account, regions, per_second, burst) in TENANTS.items()
        )
        config = CONFIG.format(
            address=self.address,
            admin=self.admin,
            sandbox=self.sandbox,
            folder=self.folder,
            issuer=ISSUER,
            audience=AUDIENCE,
            tenants=tenants,
        )
        (self.folder / "logkey.toml").write_text(config)

    def start(self, *arguments):
        """Starts the binary. Its output goes to a log file, which is shown on failure."""
        log = open(self.folder / f"{arguments[0]}.log", "wb")
        environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "AKIACLIENTSHUB",
            "AWS_SECRET_ACCESS_KEY": "not checked",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.processes.append(
            subprocess.Popen(
                [self.binary, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        )

    def wait_until(self, what, condition):
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            ended = [p.args[1] for p in self.processes if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"timed out waiting until {what}; ended processes: {ended}\n{self.logs()}")
            time.sleep(0.05)

    def sandbox_answers(self):
        try:
            with urllib.request.urlopen(f"{self.sandbox}/_sandbox/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def serving(self):
        with grpc.insecure_channel(self.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
            return answer.status == health_pb2.HealthCheckResponse.SERVING

    def logs(self):
        parts = [f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}" for log in self.folder.glob("*.log")]
        return "\n".join(parts)

    def token(self, caller, **claims):
        """A token signed by a library that the service does not use. `claims` override its claims."""
        tenant, scope = CALLERS[caller]
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"{caller}@example.com",
            "tenant": tenant,
            "scope": scope,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        }
        return jwt.encode(payload | claims, self.key, algorithm="ES256", headers={"kid": KEY_ID, "typ": "JWT"})

    def token_by_command(self, caller):
        """A token signed by `logkey token`."""
        tenant, scope = CALLERS[caller]
        command = [self.binary, "token", "--key-file", str(self.key_file), "--kid", KEY_ID]
        command += ["--issuer", ISSUER, "--audience", AUDIENCE, "--tenant", tenant]
        command += ["--subject", f"{caller}@example.com", "--scope", scope, "--ttl", "10m"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise RuntimeError(f"logkey token: {done.stderr}")
        return done.stdout.strip()

    def journal(self):
        """The calls that the embedded AWS received."""
        with urllib.request.urlopen(f"{self.sandbox}/_sandbox/journal", timeout=5) as answer:
            return json.load(answer)["entries"]

    def environment(self):
        tokens = {f"LOGKEY_TOKEN_{name.upper()}": self.token(name) for name in CALLERS}
        return {
            "LOGKEY_ADDRESS": self.address,
            "LOGKEY_ADMIN": f"http://{self.admin}",
            "LOGKEY_CONFIG": str(self.folder / "logkey.toml"),
            "LOGKEY_SANDBOX": self.sandbox,
            "LOGKEY_TOKEN_EXPIRED": self.token("payments", exp=int(time.time()) - 3600),
            "LOGKEY_TOKEN_COMMAND": self.token_by_command("payments"),
        } | tokens


def free_port():
    """A port that is free now. The service cannot report a port that it chose itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def binary():
    """The binary under test."""
    return os.environ["LOGKEY_BINARY"]


if __name__ == "__main__":
    with Service(binary()) as service:
        code = subprocess.run(sys.argv[1:], env=os.environ | service.environment()).returncode
        if code != 0:
            print(service.logs(), file=sys.stderr)
    sys.exit(code)
