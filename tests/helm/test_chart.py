"""Renders the Helm chart for both modes and checks what comes out: the objects against the schemas of Kubernetes, the
Prometheus Operator and the Gateway API, the alerts and the dashboard against their sources, the plain manifests against
the chart, and the settings with the service's own check."""

import json
import os
import pathlib
import re
import subprocess

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/logkey"
KUBERNETES = ["1.30", "1.37"]
CUSTOM = ["servicemonitors", "prometheusrules", "httproutes"]
POSTGRES = ["--set", "mode=postgres", "--set", "store.existingSecret=logkey-store"]
REDIS = ["--set", "limits.backend=redis://redis:6379"]
EVERYTHING = [
    *["--set", "serviceMonitor.enabled=true", "--set", "prometheusRule.enabled=true", "--set", "dashboard.enabled=true"],
    *["--set", "networkPolicy.enabled=true", "--set", "podDisruptionBudget.enabled=true"],
    *["--set", "ingress.enabled=true", "--set", "ingress.hosts[0]=logkey.example.com"],
    *["--set", "httpRoute.enabled=true", "--set", "httpRoute.parentRefs[0].name=gateway"],
    *["--set", "externalIds.existingSecret=logkey-external-ids", "--set", "policies.existingConfigMap=logkey-policies"],
]
MODES = {
    "sqlite": [],
    "sqlite with everything": EVERYTHING,
    "postgres": [*POSTGRES, *REDIS],
    "postgres with everything": [*POSTGRES, *REDIS, *EVERYTHING, "--set", "autoscaling.enabled=true"],
    "postgres with passwords": [
        *[*POSTGRES, *REDIS, "--set", "limits.existingSecret=logkey-limits"],
        *["--set", "store.url=postgres://logkey@db.example.com/logkey?sslmode=verify-full"],
    ],
}
# A key in the format of `openssl genpkey -algorithm ed25519`.
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n"


def helm(*arguments):
    command = [os.environ["HELM"], *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def render(values):
    done = helm("template", "logkey", str(CHART), *values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def custom_schemas():
    """The schemas in the definitions of custom resources, by group, version and kind."""
    schemas = {}
    for folder in os.environ["CUSTOM_RESOURCES"].split(":"):
        for file in [file for kind in CUSTOM for file in pathlib.Path(folder).glob(f"*_{kind}.yaml")]:
            for definition in yaml.safe_load_all(file.read_text()):
                if not definition or definition["kind"] != "CustomResourceDefinition":
                    continue
                spec = definition["spec"]
                for version in spec["versions"]:
                    name = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    schemas[name] = closed(version["schema"]["openAPIV3Schema"])
    return schemas


def closed(schema):
    """The schema without fields that it does not name: Kubernetes drops those silently."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if isinstance(schema, str):
        # Go allows flags inside a regular expression, Python only before it.
        return schema.replace("^(?i)", "(?i)^")
    if not isinstance(schema, dict):
        return schema
    changed = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        changed.setdefault("additionalProperties", False)
    return changed


SCHEMAS = custom_schemas()


@pytest.fixture(params=MODES.values(), ids=MODES.keys())
def documents(request):
    return render(request.param)


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def test_every_object_fits_the_schemas(documents):
    for document in documents:
        name = (document["apiVersion"], document["kind"])
        if name in SCHEMAS:
            # `metadata` and the type are Kubernetes's own.
            jsonschema.validate(document, SCHEMAS[name] | {"additionalProperties": True})
            jsonschema.validate(document["spec"], SCHEMAS[name]["properties"]["spec"])
        else:
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_find_errors():
    """Without this, the test above could pass because nothing is checked at all."""
    documents = render(MODES["postgres with everything"])
    kinds = {document["kind"] for document in documents}
    assert {"ServiceMonitor", "PrometheusRule", "HTTPRoute", "Deployment", "HorizontalPodAutoscaler"} <= kinds
    (deployment,) = of_kind(documents, "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["startupProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)
    (route,) = of_kind(documents, "HTTPRoute")
    route["spec"]["hostname"] = "logkey.example.com"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(route["spec"], SCHEMAS[(route["apiVersion"], "HTTPRoute")]["properties"]["spec"])


def test_every_reference_inside_the_release_resolves(documents):
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    (workload,) = of_kind(documents, "StatefulSet") + of_kind(documents, "Deployment")
    pod = workload["spec"]["template"]
    given = {"logkey-policies"}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    for volume in volumes.values():
        if "configMap" in volume and volume["configMap"]["name"] not in given:
            assert ("ConfigMap", volume["configMap"]["name"]) in names
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    for mount in pod["spec"]["containers"][0]["volumeMounts"]:
        assert mount["name"] in volumes.keys() | claims
    assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in names
    labels = pod["metadata"]["labels"].items()
    for kind in ["Service", "NetworkPolicy", "PodDisruptionBudget"]:
        for document in of_kind(documents, kind):
            spec = document["spec"]
            selector = spec.get("podSelector", spec.get("selector"))
            assert selector.get("matchLabels", selector).items() <= labels, document
    for monitor in of_kind(documents, "ServiceMonitor"):
        selected = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = [each for each in of_kind(documents, "Service") if selected <= each["metadata"]["labels"].items()]
        assert service["spec"]["ports"][0]["name"] == monitor["spec"]["endpoints"][0]["port"]
        # The job that the alerts name.
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "logkey"
    if workload["kind"] == "StatefulSet":
        assert ("Service", workload["spec"]["serviceName"]) in names


def settings(documents, folder):
    """Writes the files that the pod would have, and returns the environment and the configuration."""
    (workload,) = of_kind(documents, "StatefulSet") + of_kind(documents, "Deployment")
    pod = workload["spec"]["template"]["spec"]
    secrets = {
        "logkey-store": {"url": "postgres://logkey:secret@db.example.com/logkey?sslmode=verify-full", "password": "secret", "checkpoint.pem": KEY},
        "logkey-limits": {"password": "secret"},
        "logkey-external-ids": {"payments": "an-external-id"},
        "logkey-policies": {},
    }
    maps = {document["metadata"]["name"]: document.get("data") or {} for document in of_kind(documents, "ConfigMap")}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    for volume in pod["volumes"]:
        source = volume.get("secret", {}).get("secretName") or volume["configMap"]["name"]
        directory = folder / mounts[volume["name"]].removeprefix("/")
        directory.mkdir(parents=True)
        for name, text in (maps.get(source) or secrets.get(source) or {}).items():
            (directory / name).write_text(text)
    tls = folder / "etc/logkey/tls"
    if tls.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", "/CN=logkey", "-days", "90", "-keyout", tls / "tls.key", "-out", tls / "tls.crt"]
        subprocess.run(command, check=True, capture_output=True)
    moved = lambda text: re.sub(r"^/etc/", f"{folder}/etc/", text)
    environment = {entry["name"]: moved(entry["value"]) for entry in pod["containers"][0]["env"]}
    return environment, moved(pod["containers"][0]["args"][-1])


def test_the_service_accepts_the_settings_of_the_chart(documents, tmp_path):
    environment, config = settings(documents, tmp_path)
    command = [os.environ["LOGKEY_BINARY"], "check", "--config", config]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "limits.backend" not in done.stderr, done.stderr


def test_the_egress_allows_what_the_mode_needs(documents):
    policies = of_kind(documents, "NetworkPolicy")
    ports = {port["port"] for policy in policies for rule in policy["spec"]["egress"] for port in rule["ports"]}
    shared = {5432, 6379} if of_kind(documents, "Deployment") else set()
    assert ports == {53, 443, 80} | shared
    to = [rule.get("to") for policy in policies for rule in policy["spec"]["egress"] if rule["ports"][0]["port"] == 80]
    assert {"ipBlock": {"cidr": "169.254.170.23/32"}} in to[0]


def test_the_alerts_and_the_dashboard_are_the_ones_of_deploy():
    documents = render(EVERYTHING)
    (rule,) = of_kind(documents, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    dashboards = [document for document in of_kind(documents, "ConfigMap") if document["metadata"]["name"].endswith("-dashboard")]
    (dashboard,) = dashboards
    assert json.loads(dashboard["data"]["logkey.json"]) == json.loads((ROOT / "deploy/grafana/logkey.json").read_text())


def test_the_plain_manifests_are_rendered_from_the_chart(tmp_path):
    subprocess.run([ROOT / "deploy/kubernetes/render.sh", tmp_path], check=True, capture_output=True, timeout=60)
    for mode in ["sqlite", "postgres"]:
        rendered = (tmp_path / f"{mode}.yaml").read_text()
        assert rendered == (ROOT / f"deploy/kubernetes/{mode}.yaml").read_text(), "run deploy/kubernetes/render.sh"
    kustomization = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text())
    for resource in kustomization["resources"]:
        assert (ROOT / "deploy/kubernetes" / resource).exists()


@pytest.mark.parametrize(
    "values, message",
    [
        ([*POSTGRES], "mode postgres requires limits.backend"),
        ([*POSTGRES, "--set", "limits.backend=memcached://cache"], "/limits/backend"),
        (["--set", "mode=postgres", *REDIS], "mode postgres requires store.existingSecret"),
        (["--set", "mode=mysql"], "/mode"),
        (["--set", "stor.existingSecret=x"], "stor"),
        (["--set", "tls.existingSecret="], "/tls"),
    ],
)
def test_values_that_cannot_work_are_refused(values, message):
    done = helm("template", "logkey", str(CHART), *values)
    assert done.returncode != 0
    assert message in done.stderr or message.strip("/").replace("/", ".") in done.stderr


def test_lint_has_no_warnings_and_the_package_is_complete(tmp_path):
    linted = helm("lint", "--strict", str(CHART))
    assert linted.returncode == 0, linted.stdout
    packed = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("*.tgz")
    # A package has the files behind the links of the repository.
    done = helm("template", "logkey", str(archive), *EVERYTHING)
    assert "LogkeyDown" in done.stdout, done.stderr
