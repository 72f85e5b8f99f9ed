"""The chart on a cluster that runs pods: the image confined, a job that brings the schema, one that leads."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.bench import stack_images
from deploy.bench.registry import Registry
from deploy.bench.requirement import program
from deploy.bench.workspace import Workspace, free_port
from tests.e2e.upping import Session
from tests.eventually import eventually
from tests.kubernetes.conftest import Admin
from tests.kubernetes.test_chart import CHART, helmed

ROOT = Path(__file__).parents[2]
LEADS = "this reconciler leads"
SMALL = {"replicas": 1, "resources": {"requests": {"cpu": "20m"}}}
pytestmark = [pytest.mark.kubernetes, pytest.mark.real]


@pytest.fixture(scope="module")
def images(bench: Workspace) -> dict[str, str]:
    return stack_images.serve(bench)


@pytest.fixture(scope="module")
def platform_image(docker_host: str, images: dict[str, str], registry_plain: Registry) -> str:
    """The repository that holds it, tagged `test`."""
    repository = f"{registry_plain.host}/mcphost"
    arguments = [f"PYTHON_IMAGE={images['python']}", f"DOCKER_CLI_IMAGE={images['docker-cli']}"]
    given = [word for argument in arguments for word in ("--build-arg", argument)]
    environment = {**os.environ, "DOCKER_HOST": docker_host, "DOCKER_BUILDKIT": "1"}
    for command in (["build", "-q", "-t", f"{repository}:test", *given, "."], ["push", f"{repository}:test"]):
        done = subprocess.run(
            [program("docker"), *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return repository


def address_of(cluster: Admin, name: str, image: str, **container: Any) -> str:
    """Of the node, in whose network a pod is started: whether pods reach each other is the machine's say."""
    body: Any = {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "hostNetwork": True,
            "containers": [{"name": name, "image": image, **container}],
            "volumes": [{"name": "secret", "secret": {"secretName": "password", "optional": True}}],
        },
    }
    cluster.core.create_namespaced_pod(cluster.namespace, body)
    return eventually(lambda: pod(cluster, name)["status"].get("podIP", ""), within=120, what=f"{name} runs")


def pod(cluster: Admin, name: str) -> dict[str, Any]:
    [found] = [each for each in cluster.pods() if each["metadata"]["name"].startswith(name)]
    return found


def leaders(cluster: Admin) -> list[str]:
    running = [each["metadata"]["name"] for each in cluster.pods() if each["status"]["phase"] == "Running"]
    return [name for name in running if "reconciler" in name and LEADS in said(cluster, name)]


def said(cluster: Admin, name: str) -> str:
    text: str = cluster.core.read_namespaced_pod_log(name, cluster.namespace)
    return text


@pytest.mark.timeout(900)
def test_the_platform_starts_as_the_chart_has_it(
    cluster: Admin, images: dict[str, str], platform_image: str, registry_plain: Registry
) -> None:
    secret: Any = {"metadata": {"name": "password"}, "stringData": {"password": "pass-word"}}
    cluster.core.create_namespaced_secret(cluster.namespace, secret)
    ports = free_port(), free_port()
    about = {"POSTGRES_USER": "mcphost", "POSTGRES_DB": "mcphost", "PGPORT": str(ports[0])}
    about["POSTGRES_PASSWORD_FILE"] = "/secret/password"
    database = address_of(
        cluster, "postgres", images["postgres"],
        env=[{"name": name, "value": value} for name, value in about.items()],
        volumeMounts=[{"name": "secret", "mountPath": "/secret"}],
    )  # fmt: skip
    broker = address_of(
        cluster, "redis", images["redis"],
        command=["redis-server", "--port", str(ports[1]), "--bind", "*", "--protected-mode", "no"],
    )  # fmt: skip
    values = {
        "image": {"repository": platform_image, "tag": "test"},
        "databaseUrl": f"postgres://mcphost:pass-word@{database}:{ports[0]}/mcphost",
        "brokerUrl": f"redis://{broker}:{ports[1]}/0",
        "registry": {"url": registry_plain.host},
        "settings": {"ALLOWED_HOSTS": "*"},  # it is called by the pod's address here
        "web": SMALL, "gateway": SMALL, "worker": SMALL,
        "reconciler": {**SMALL, "replicas": 2},
    }  # fmt: skip
    helmed(
        f"install mcphost {CHART}", values, "--namespace", cluster.namespace,
        "--wait", "--wait-for-jobs", "--timeout", "8m", kubeconfig=cluster.kubeconfig,
    )  # fmt: skip

    web = pod(cluster, "mcphost-web")["status"]["podIP"]
    password = base64.b64decode(cluster.secret("mcphost")["data"]["admin-password"]).decode()
    operator = Session(SimpleNamespace(url=f"http://{web}:3000"), password)  # type: ignore[arg-type]
    assert operator.login.status_code == 302
    assert operator.get("/api/health/")["status"] == "ok"
    assert password not in "".join(said(cluster, each["metadata"]["name"]) for each in cluster.pods())

    [first] = eventually(lambda: leaders(cluster), what="the log of one says that it leads")
    cluster.core.delete_namespaced_pod(first, cluster.namespace, grace_period_seconds=0)
    eventually(
        lambda: [name for name in leaders(cluster) if name != first], within=120, what="another one leads"
    )
