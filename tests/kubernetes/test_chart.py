"""The Helm chart, by Helm itself: what it renders, what it refuses, and what the API server makes of it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from kubernetes.client import BatchV1Api

from deploy.bench import helm
from deploy.bench.kubernetes import ControlPlane
from mcphost.settings import env
from tests.eventually import eventually
from tests.kubernetes.conftest import Admin

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/mcphost"
PARTS = ("web", "gateway", "worker", "reconciler")
NEEDED = {
    "databaseUrl": "postgres://mcphost:pass-word@db/mcphost",
    "brokerUrl": "redis://redis:6379/0",
    "registry": {"url": "registry.example.org/team"},
}
EVERYTHING = {
    **NEEDED,
    "publicUrl": "https://mcp.example.org",
    "registry": {"url": "registry.example.org/team", "credentialsSecret": "push"},
    "builder": {"dockerHost": "tcp://engine:2376"},
    "persistence": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]},
    "settings": {"GATEWAY_CONCURRENCY": 50, "LOG_LEVEL": "debug", "TRACING": True},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "image": {"pullSecrets": ["pull"]},
    **{part: {"autoscaling": {"enabled": True}} for part in ("web", "gateway", "worker")},
}
Json = dict[str, Any]
pytestmark = [pytest.mark.kubernetes, pytest.mark.real]


def run(*words: str, given: str = "", kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words, *(["--kubeconfig", str(kubeconfig)] if kubeconfig else [])],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip


def helmed(verb: str, values: Mapping[str, Any], *words: str, kubeconfig: Path | None = None) -> str:
    """What Helm says, given these values."""
    command = [helm.program(), *verb.split(), *words, "--values", "-"]
    done = run(*command, given=json.dumps(values), kubeconfig=kubeconfig)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered(values: Mapping[str, Any], *words: str) -> dict[str, Json]:
    """By `Kind/name`."""
    text = helmed(f"template mcphost {CHART}", values, *words)
    found = [each for each in yaml.safe_load_all(text) if each]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def container(objects: Mapping[str, Json], part: str) -> Json:
    found: Json = objects[f"Deployment/mcphost-{part}"]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING])
def test_helm_has_nothing_to_complain_of(values: Json) -> None:
    assert "WARNING" not in helmed("lint --strict", values, str(CHART))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({**NEEDED, "registry": {"url": ""}}, "registry.url is needed"),
        ({**NEEDED, "databaseUrl": ""}, "databaseUrl is needed"),
        ({**NEEDED, "databaseUrl": "mysql://db"}, "databaseUrl: Does not match pattern"),
        ({**NEEDED, "replicas": 3}, "Additional property replicas is not allowed"),
        ({**NEEDED, "settings": {"log level": "debug"}}, "Does not match pattern"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(values: Json, says: str) -> None:
    done = run(helm.program(), "template", str(CHART), "--values", "-", given=json.dumps(values))
    assert done.returncode == 1
    assert says in done.stderr


def test_the_role_is_the_one_that_the_tests_of_the_runtime_use() -> None:
    documents = yaml.safe_load_all((ROOT / "deploy/kubernetes/role.yaml").read_text())
    [role] = [each for each in documents if each["kind"] == "Role"]
    assert rendered(NEEDED)["Role/mcphost"]["rules"] == role["rules"]


def test_the_charts_image_is_of_this_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["appVersion"] == django_settings.SPECTACULAR_SETTINGS["VERSION"]


def test_every_setting_of_the_chart_is_one() -> None:
    objects = rendered(EVERYTHING)
    names = set(objects["ConfigMap/mcphost"]["data"])
    names |= {each["name"].removesuffix("_FILE") for each in container(objects, "worker")["env"]}
    assert names - set(env.declared) == {"HTTPS_PROXY"}
    assert objects["ConfigMap/mcphost"]["data"]["TRACING"] == "true"


def test_pods_are_restricted_and_probed_and_hold_no_secret_in_clear() -> None:
    objects = rendered(NEEDED)
    for part in PARTS:
        pod = objects[f"Deployment/mcphost-{part}"]["spec"]["template"]
        assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "mcphost"
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert pod["spec"]["automountServiceAccountToken"] == (part in ("worker", "reconciler"))
        [one] = pod["spec"]["containers"]
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["args"] == ["up", "--only", part]
        assert {one[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness")} == {"/livez"}
        assert one["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert one["resources"]["requests"]
        assert f"PodDisruptionBudget/mcphost-{part}" in objects
        assert f"NetworkPolicy/mcphost-{part}" in objects
    in_clear = json.dumps([each for each in objects.values() if each["kind"] != "Secret"])
    assert "pass-word" not in in_clear


def test_the_gateway_is_given_no_login_for_the_registry() -> None:
    objects = rendered(EVERYTHING)
    mounting = set()
    for part in PARTS:
        pod = objects[f"Deployment/mcphost-{part}"]["spec"]["template"]["spec"]
        names = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert ("push" in names) == ("/run/secrets/registry" in mounts)
        mounting |= {part} if "push" in names else set()
    assert mounting == {"web", "worker", "reconciler"}
    told = {each["name"]: each.get("value") for each in container(objects, "gateway")["env"]}
    assert told["REGISTRY_AUTH_DOCKERCONFIG"] == ""  # else it would miss the file that the others have


def test_an_engine_beside_each_worker_is_the_only_one_with_rights() -> None:
    objects = rendered({**NEEDED, "builder": {"dind": {"enabled": True}}})
    assert objects["ConfigMap/mcphost"]["data"]["DOCKER_HOST"] == "unix:///run/docker/docker.sock"
    privileged = {
        (part, each["name"])
        for part in PARTS
        for each in objects[f"Deployment/mcphost-{part}"]["spec"]["template"]["spec"]["containers"]
        if each["securityContext"].get("privileged")
    }
    assert privileged == {("worker", "engine")}


def test_a_secret_of_ones_own_is_used_and_none_is_made() -> None:
    objects = rendered({"existingSecret": "ours", "registry": NEEDED["registry"]})
    assert not [name for name in objects if name.startswith("Secret/")]
    volumes = objects["Deployment/mcphost-web"]["spec"]["template"]["spec"]["volumes"]
    assert {volume["secret"]["secretName"] for volume in volumes if "secret" in volume} == {"ours"}


def test_the_job_has_another_name_where_it_has_other_work() -> None:
    def job(**more: Any) -> str:
        [name] = [name for name in rendered({**NEEDED, **more}) if name.startswith("Job/")]
        return name

    assert job() == job()
    assert job() != job(image={"tag": "0.2.0"})


def test_another_database_is_taken_up() -> None:
    """Parts read its URL when they start, and it wants its schema."""

    def seen(**more: Any) -> tuple[str, set[str]]:
        objects = rendered({**NEEDED, **more})
        pods = [objects[f"Deployment/mcphost-{part}"]["spec"]["template"]["metadata"] for part in PARTS]
        [job] = [name for name in objects if name.startswith("Job/")]
        return job, {json.dumps(pod["annotations"]) for pod in pods}

    (job, pods), (another, others) = seen(), seen(databaseUrl="postgres://mcphost:pass-word@other/mcphost")
    assert (job, pods) == seen()
    assert job != another
    assert not pods & others


def test_numbers_stay_numbers() -> None:
    given = {"RATE_LIMIT_PER_TOKEN": 1_000_000, "TRACING_RATIO": 0.25, "GATEWAY_CONCURRENCY": 0}
    data = rendered({**NEEDED, "settings": given})["ConfigMap/mcphost"]["data"]
    assert {name: data[name] for name in given} == {
        "RATE_LIMIT_PER_TOKEN": "1000000",
        "TRACING_RATIO": "0.25",
        "GATEWAY_CONCURRENCY": "0",
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "45"),
        ({"gateway": {"terminationGracePeriodSeconds": 10}}, "0"),
        ({"settings": {"GATEWAY_SHUTDOWN_SECONDS": 20}}, None),
    ],
)
def test_calls_may_go_on_for_as_long_as_the_pod_may(more: dict[str, Any], expected: str | None) -> None:
    variables = container(rendered({**NEEDED, **more}), "gateway")["env"]
    told = {each["name"]: each.get("value") for each in variables}
    assert told.get("GATEWAY_SHUTDOWN_SECONDS") == expected


def test_names_of_digits_are_names() -> None:
    values = {
        "registry": {"url": "registry.example.org", "credentialsSecret": "1201"},
        "existingSecret": "1202",
        "image": {"pullSecrets": ["1203"]},
        "serviceAccount": {"name": "1204"},
        "servers": {"namespace": "1205"},
        "persistence": {"enabled": True, "existingClaim": "1206"},
        "ingress": {"enabled": True, "host": "1207", "className": "1208", "tlsSecret": "1209"},
        "metrics": {"serviceMonitor": {"enabled": True}},
    }
    text = helmed(f"template 1210 {CHART}", values, "--namespace", "1211")
    names = {str(number) for number in range(1201, 1212)}
    found = list(scalars(list(yaml.safe_load_all(text))))
    assert {each for each in found if each in names} == names
    assert not {str(each) for each in found if isinstance(each, int)} & names


def scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from scalars(each)
    else:
        yield value


def test_an_ingress_of_another_name_is_answered() -> None:
    objects = rendered({**NEEDED, "ingress": {"enabled": True, "host": "mcp.example.org"}})
    [rule] = objects["Ingress/mcphost"]["spec"]["rules"]
    assert rule["host"] == "mcp.example.org"
    assert "mcp.example.org" in objects["ConfigMap/mcphost"]["data"]["ALLOWED_HOSTS"].split(",")


def test_where_autoscaling_is_on_it_owns_the_number_of_replicas() -> None:
    objects = rendered(EVERYTHING, "--kube-version", "1.30.0")
    for part in ("web", "gateway", "worker"):
        assert objects[f"HorizontalPodAutoscaler/mcphost-{part}"]["apiVersion"] == "autoscaling/v2"
        assert "replicas" not in objects[f"Deployment/mcphost-{part}"]["spec"]
    assert objects["Deployment/mcphost-reconciler"]["spec"]["replicas"] == 2


def test_one_host_leads_to_both_doors() -> None:
    [rule] = rendered(EVERYTHING)["Ingress/mcphost"]["spec"]["rules"]
    assert rule["host"] == "mcp.example.org"
    assert {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {
        "/": "mcphost-web",
        "/mcp": "mcphost-gateway",
        "/.well-known/oauth-protected-resource": "mcphost-gateway",
    }


def test_prometheus_is_given_the_token() -> None:
    objects = rendered({**NEEDED, "metrics": {"serviceMonitor": {"enabled": True}}})
    [endpoint] = objects["ServiceMonitor/mcphost"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "mcphost", "key": "metrics-token"}
    assert "metrics-token" in objects["Secret/mcphost"]["data"]


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING])
def test_the_api_server_accepts_each_object(admin: Admin, plane: ControlPlane, values: Json) -> None:
    space = ("--namespace", admin.namespace)
    text = helmed(f"template mcphost {CHART}", values, *space, "--validate", kubeconfig=admin.kubeconfig)
    apply = (str(plane.programs / "kubectl"), *space, "apply", "--dry-run=server", "-f", "-")
    done = run(*apply, given=text, kubeconfig=admin.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len([each for each in yaml.safe_load_all(text) if each])


def test_installed_upgraded_and_removed(admin: Admin) -> None:
    """Pods are made and wait for a node; the keys are made once, and outlive the release."""
    space = ("--namespace", admin.namespace)
    told = helmed(f"install mcphost {CHART}", NEEDED, *space, kubeconfig=admin.kubeconfig)
    assert "builder.dockerHost is not set" in told
    first = admin.secret("mcphost")["data"]
    Fernet(base64.b64decode(first["encryption-keys"]))
    wanted = {"web": 2, "gateway": 2, "worker": 1, "reconciler": 2, "prepare": 1}

    def made() -> dict[str, int]:
        parts = [pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in admin.pods()]
        return {part: parts.count(part) for part in set(parts)}

    eventually(lambda: made() == wanted, what="every pod is made")
    upgraded = {**NEEDED, "image": {"tag": "0.2.0"}, "brokerUrl": "redis://other:6379/0"}
    helmed(f"upgrade mcphost {CHART}", upgraded, *space, kubeconfig=admin.kubeconfig)
    second = admin.secret("mcphost")["data"]
    assert base64.b64decode(second["broker-url"]) == b"redis://other:6379/0"
    assert {key: value for key, value in second.items() if key != "broker-url"} == {
        key: value for key, value in first.items() if key != "broker-url"
    }
    jobs = BatchV1Api(admin.api).list_namespaced_job(admin.namespace).items
    assert [job.spec.template.spec.containers[0].image for job in jobs] == ["mcphost:0.2.0"]

    run(helm.program(), "uninstall", "mcphost", *space, kubeconfig=admin.kubeconfig)
    assert admin.secret("mcphost")["data"] == second
    eventually(lambda: not admin.pods(), what="every pod is gone")
