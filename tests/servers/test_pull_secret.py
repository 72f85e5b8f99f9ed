"""What can be said of a pull secret before any cluster is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servers import pull_secret
from servers.errors import RuntimeFault


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
