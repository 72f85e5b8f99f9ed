"""The API server of the tests: it works, and nothing of it stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.bench import kubernetes
from deploy.bench.requirement import BenchError
from deploy.bench.workspace import Workspace
from tests.bench.test_bench import left_over

pytestmark = pytest.mark.kubernetes


def test_an_api_server_leaves_nothing_behind() -> None:
    with Workspace() as own:
        plane = kubernetes.start_api(own)
        kubectl = [str(plane.programs / "kubectl"), "--kubeconfig", str(plane.kubeconfig)]
        command = [*kubectl, "get", "--raw", "/readyz"]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b"ok"
    assert left_over(own.path.name) == []
    assert not own.path.exists()


def test_what_was_not_built_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Workspace() as own, pytest.raises(BenchError, match="make test-kubernetes"):
        kubernetes.start_api(own)
