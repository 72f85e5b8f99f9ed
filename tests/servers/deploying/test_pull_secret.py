"""What can be said of a pull secret before any cluster is asked."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hosting.errors import RuntimeFault
from registry.credentials import ANONYMOUS, Credential
from servers.deploying import pull_secret
from tests.registry.http import Response, serving


def refusal(path: Path) -> str:
    with pytest.raises(RuntimeFault) as refused:
        pull_secret.patch(name="pull", namespace="default", config_path=path)
    return str(refused.value)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_a_file_that_cannot_be_read_is_named(config: Path) -> None:
    assert refusal(config) == f"{config} cannot be read: No such file or directory."


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"auths": 7}', '{"credsStore": "desktop"}'])
def test_a_file_without_auths_is_named_and_not_shown(config: Path, text: str) -> None:
    config.write_text(text)
    assert refusal(config) == f"{config} has no entry auths for the pull secret."


@pytest.mark.parametrize("entry", [{}, {"identitytoken": "opaque"}, {"auth": ""}])
def test_what_nodes_cannot_use_is_not_given_to_them(config: Path, entry: dict[str, str]) -> None:
    config.write_text(json.dumps({"auths": {"registry.example": entry}}))
    assert "names no password that a node could pull with" in refusal(config)


@pytest.mark.parametrize(
    "nothing",
    [
        ANONYMOUS,
        Credential(identity_token="opaque"),
        Credential("ci", "in the file, under whichever key", written_at=1.0),
    ],
)
def test_there_is_no_login_that_a_node_could_use(nothing: Credential) -> None:
    assert pull_secret.login_of(nothing, "registry.example") == {}


def test_what_a_helper_gave_for_hub_is_found_by_nodes() -> None:
    login = pull_secret.login_of(Credential("ci", "pw"), "docker.io")
    assert login == {"https://index.docker.io/v1/": {"username": "ci", "password": "pw"}}


@pytest.mark.parametrize("file", [{}, {"auths": {}}, {"auths": {"other.example": {"auth": "Y2k6b25l"}}}])
def test_what_a_helper_gave_goes_to_the_nodes_with_what_the_file_holds(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: dict[str, Any]
) -> None:
    config.write_text(json.dumps({"credHelpers": {"registry.example": "any"}, **file}))
    login = {"registry.example": {"username": "ci", "password": "pw"}}
    with serving(lambda request: Response(404 if request.method == "GET" else 201, b"{}")) as api:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, api.host)))
        assert pull_secret.patch(name="pull", namespace="hosted", config_path=config, logins=login)
    written = json.loads(api.requests[-1].body)["data"][".dockerconfigjson"]
    assert json.loads(base64.b64decode(written)) == {"auths": {**file.get("auths", {}), **login}}


SECRET = {"apiVersion": "v1", "kind": "Secret"}
PADDED = base64.b64encode(b"ci:password").decode()


@pytest.mark.parametrize(
    ("file", "given"),
    [
        ({"auths": {"r.example/team": {"auth": PADDED}, "r.example": {"username": "ci", "password": "pw"}}},
         {"r.example/team": {"auth": PADDED}, "r.example": {"username": "ci", "password": "pw"}}),
        ({"auths": {"r.example": {"auth": PADDED.rstrip("=")}}}, {"r.example": {"auth": PADDED}}),
        ({"auths": {"r.example": {"auth": f"{PADDED[:4]}\n{PADDED[4:]}"}}}, {"r.example": {"auth": PADDED}}),
        ({"auths": {"r.example": {"auth": PADDED}, "no.example": {"auth": "*"}, "null.example": None}},
         {"r.example": {"auth": PADDED}}),
        ({"r.example": {"auth": PADDED}}, {"r.example": {"auth": PADDED}}),
        ({**SECRET, "stringData": {".dockercfg": json.dumps({"r.example": {"auth": PADDED}})}},
         {"r.example": {"auth": PADDED}}),
    ],
)  # fmt: skip
def test_nodes_are_given_what_they_can_read(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: dict[str, Any], given: dict[str, Any]
) -> None:
    """The kubelet lets go of a whole secret for one entry that it cannot read."""
    config.write_text(json.dumps(file))
    with serving(lambda request: Response(404 if request.method == "GET" else 201, b"{}")) as api:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, api.host)))
        assert pull_secret.patch(name="pull", namespace="hosted", config_path=config)
    written = json.loads(api.requests[-1].body)["data"][".dockerconfigjson"]
    assert json.loads(base64.b64decode(written)) == {"auths": given}


def kubeconfig(directory: Path, host: str) -> Path:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}"}}],
        "users": [{"name": "u", "user": {"token": "bearer-of-news"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def usable(config: Path) -> Path:
    config.write_text(json.dumps({"auths": {"registry.example": {"auth": "Y2k6b25l"}}}))
    return config


def test_no_cluster_configured_says_what_to_set(
    usable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refusal(usable) == "No access to Kubernetes is configured. Set KUBECONFIG, or run in a cluster."


def test_a_kubeconfig_that_is_not_there_is_named(
    usable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert f"The kubeconfig {tmp_path / 'absent'} cannot be used" in refusal(usable)


@pytest.mark.parametrize(
    "text", ["- a list", "{", "current-context: elsewhere\ncontexts: []\nclusters: []\nusers: []\n"]
)
def test_a_kubeconfig_that_is_wrong_is_named(
    usable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    told = refusal(usable)
    assert f"The kubeconfig {path} cannot be used" in told
    assert "Correct KUBECONFIG." in told


def test_a_context_that_is_not_there_is_named(
    usable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("current-context: elsewhere\ncontexts: []\nclusters: []\nusers: []\n")
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert "elsewhere" in refusal(usable)
