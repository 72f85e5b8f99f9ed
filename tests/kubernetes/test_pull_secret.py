"""The pull secret on a real API server."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from hosting.errors import RuntimeFault
from servers.deploying import pull_secret
from tests.kubernetes.conftest import Admin

pytestmark = pytest.mark.kubernetes

HOST = "registry.example:5000"
ENTRY = {"auth": "Y2k6b25l"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written(tmp_path, {HOST: ENTRY})


def written(directory: Path, auths: dict[str, Any]) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps({"auths": auths, "credsStore": "desktop"}))
    return path


def patch(admin: Admin, config: Path, name: str = "pull") -> bool:
    return pull_secret.patch(name=name, namespace=admin.namespace, config_path=config)


def refusal(admin: Admin, config: Path) -> str:
    with pytest.raises(RuntimeFault) as refused:
        patch(admin, config)
    return str(refused.value)


def test_it_is_created_where_there_is_none(admin: Admin, config: Path) -> None:
    assert patch(admin, config) is True
    assert admin.secret("pull")["type"] == "kubernetes.io/dockerconfigjson"
    assert admin.content("pull") == {"auths": {HOST: ENTRY}}


def test_it_is_not_written_when_nothing_differs(admin: Admin, config: Path) -> None:
    patch(admin, config)
    before = admin.secret("pull")["metadata"]["resourceVersion"]
    assert patch(admin, config) is False
    assert admin.secret("pull")["metadata"]["resourceVersion"] == before


def test_a_new_password_is_patched_in(admin: Admin, config: Path, tmp_path: Path) -> None:
    patch(admin, config)
    renewed = {HOST: {"auth": "Y2k6dHdv"}}
    assert patch(admin, written(tmp_path, renewed)) is True
    assert admin.content("pull")["auths"] == renewed


def test_what_others_wrote_is_kept(admin: Admin, config: Path) -> None:
    other = {"ghcr.example": {"auth": "b3RoZXI6cHc="}}
    admin.put_secret("pull", {"auths": {**other, HOST: {"auth": "b2xk"}}, "psFormat": "x"})
    labels: Any = {"metadata": {"labels": {"team": "tools"}}}
    admin.core.patch_namespaced_secret("pull", admin.namespace, labels)
    assert patch(admin, config) is True
    assert admin.content("pull") == {"auths": {**other, HOST: ENTRY}, "psFormat": "x"}
    assert admin.secret("pull")["metadata"]["labels"]["team"] == "tools"


def test_a_secret_of_another_type_is_left_alone(admin: Admin, config: Path) -> None:
    held = admin.put_secret("pull", {}, kind="Opaque")
    told = refusal(admin, config)
    assert "of type Opaque" in told
    assert "K8S_REGISTRY_SECRET_NAME" in told
    assert admin.secret("pull")["data"] == held["data"]


def test_a_secret_without_a_docker_config_is_named(admin: Admin, config: Path) -> None:
    admin.put_secret("pull", {"auths": ["no", "config"]})
    assert "holds no docker config" in refusal(admin, config)


def test_a_namespace_that_is_not_there_is_named(admin: Admin, config: Path) -> None:
    with pytest.raises(RuntimeFault, match="The namespace nowhere does not exist"):
        pull_secret.patch(name="pull", namespace="nowhere", config_path=config)


def test_a_forbidden_write_says_what_to_grant(
    admin: Admin, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(admin.kubeconfig_of("default", tmp_path)))
    told = refusal(admin, config)
    assert f"the secret pull in the namespace {admin.namespace}" in told
    assert "get, create and patch on secrets" in told


def test_an_api_server_that_is_away_is_named(
    admin: Admin, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{taken.getsockname()[1]}"
        away = tmp_path / "away.kubeconfig"
        text = admin.kubeconfig.read_text()
        [server] = [line for line in text.splitlines() if "server: " in line]
        away.write_text(text.replace(server.split("server: ")[1], url))
        monkeypatch.setenv("KUBECONFIG", str(away))
        assert "The Kubernetes API server does not answer." in refusal(admin, config)


def test_a_secret_never_shows(admin: Admin, tmp_path: Path) -> None:
    """Even where the API server refuses the content."""
    huge = {HOST: {"username": "ci", "password": "s3cret" * 200_000}}
    with pytest.raises(RuntimeFault) as refused:
        pull_secret.patch(
            name="pull", namespace=admin.namespace, config_path=written(tmp_path, {}), logins=huge
        )
    told = str(refused.value)
    assert "s3cret" not in told
    assert "Kubernetes refused to write the secret pull" in told
