"""A credential that is renewed outside of a push is told as in one, and reaches the nodes' secret."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metrics import payload
from metrics.models import UsageMetric
from registry.credentials import Credential
from servers.deploying import publishing
from servers.logbook import Logbook
from servers.models import Deployment, Server
from servers.timeline import Timeline
from tests.accounts import make_deployment
from tests.docs.telemetry import undocumented
from tests.metrics import contract
from tests.platform import forget_adapters
from tests.registry.conftest import write_config
from tests.registry.http import Request, Response, serving
from tests.servers.deploying.test_pull_secret import kubeconfig

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
GOOD = Credential("ci", "new-password")


def answer(request: Request) -> Response:
    if request.headers.get("Authorization") != GOOD.basic:
        return Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
    return Response(201) if request.method == "PUT" else Response(200, b'{"mediaType": "x"}')


@pytest.fixture
def host(settings: Any, tmp_path: Path) -> Iterator[str]:
    """A registry that rejects the password in the file, and a command that writes the right one."""
    config, renewed = tmp_path / "config.json", tmp_path / "renewed.json"
    with serving(answer) as registry:
        write_config(config, registry.host, "ci", "long gone")
        write_config(renewed, registry.host, "ci", GOOD.password)
        settings.REGISTRY, settings.REGISTRY_MOVING_TAG = f"{registry.host}/team", "stable"
        settings.REGISTRY_AUTH_DOCKERCONFIG = config
        settings.REGISTRY_REFRESH_COMMAND = [shutil.which("cp"), str(renewed), str(config)]
        forget_adapters()
        yield registry.host


@pytest.fixture
def served(server: Server, host: str) -> Deployment:
    images = {"linux/amd64": {"reference": "any"}}
    return make_deployment(server, revision="abc", images=images, digest="sha256:" + "a" * 64)


def move_tag(deployment: Deployment) -> list[dict[str, Any]]:
    """The events of a moving tag, which keep the contract."""
    with Logbook(deployment.server_id, deployment.pk) as logbook:
        publishing.move_tag(Timeline(deployment, logbook))
    told = [payload.of(metric) for metric in UsageMetric.objects.order_by("pk")]
    assert contract.violations(told) == []
    assert contract.order_violations(told) == []
    assert [sentence for event in told for sentence in undocumented(event)] == []
    return told


def test_a_refresh_while_the_tag_is_moved_is_an_event(served: Deployment, host: str) -> None:
    started, succeeded = move_tag(served)
    assert [started["event_type"], succeeded["event_type"]] == [
        "auth_refresh_started",
        "auth_refresh_succeeded",
    ]
    about = {"attempt": 0, "platform": "", "registry_endpoint": f"{host}/team/{served.server.slug}"}
    assert about.items() <= succeeded["details"].items()


def test_one_that_fails_says_why(served: Deployment, settings: Any) -> None:
    settings.REGISTRY_REFRESH_COMMAND = [sys.executable, "-c", "raise SystemExit(3)"]
    forget_adapters()
    failed = move_tag(served)[-1]
    assert (failed["event_type"], failed["details"]["error_kind"]) == ("auth_refresh_failed", "auth_expired")
    assert "failed with exit code 3" in failed["details"]["error"]


def test_the_nodes_secret_follows_a_refresh_while_the_tag_is_moved(
    served: Deployment, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no cluster here: that it was tried shows."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    settings.K8S_REGISTRY_SECRET_NAME = "pull"
    failed = move_tag(served)[-1]
    assert failed["event_type"] == "pull_secret_failed"
    assert "The kubeconfig" in failed["details"]["error"]
    assert failed["details"]["duration_ms"] >= 0
    assert GOOD.password not in json.dumps(failed)


def test_what_a_helper_gave_reaches_the_nodes(
    served: Deployment, settings: Any, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session had ended; the refresh command logs in."""
    session, helper = tmp_path / "session", tmp_path / "docker-credential-vault"
    answered = json.dumps({"Username": GOOD.username, "Secret": GOOD.password})
    helper.write_text(f"#!/bin/sh\ntest -e {session} && echo '{answered}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    settings.REGISTRY_AUTH_DOCKERCONFIG.write_text(json.dumps({"credHelpers": {host: "vault"}}))
    settings.REGISTRY_REFRESH_COMMAND = [shutil.which("touch"), str(session)]
    settings.K8S_REGISTRY_SECRET_NAME = "pull"
    forget_adapters()
    with serving(lambda request: Response(404 if request.method == "GET" else 201, b"{}")) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, cluster.host)))
        patched = move_tag(served)[-1]
    assert patched["event_type"] == "pull_secret_patched"
    content = json.loads(cluster.requests[-1].body)["data"][".dockerconfigjson"]
    login = {"username": GOOD.username, "password": GOOD.password}
    assert json.loads(base64.b64decode(content)) == {"auths": {host: login}}
