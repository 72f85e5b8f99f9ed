"""Which builds are kept to roll back to: builds are counted, not the deployments that start them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servers.deploying import retention
from servers.models import Build, Deployment, Server
from servers.states import Mode, Trigger
from tests.accounts import make_deployment

pytestmark = pytest.mark.core


def built(server: Server, directory: Path, **fields: Any) -> Deployment:
    directory.mkdir(exist_ok=True)
    return make_deployment(server, directory=str(directory), serves=True, **fields)


def restarted(server: Server, times: int, build: Build) -> Deployment:
    """As a crash loop leaves it: each start is a deployment of its own, of the same build."""
    again = {"mode": Mode.SAME_DIGEST, "trigger": Trigger.RECONCILER, "serves": True}
    return [make_deployment(server, build=build, **again) for _ in range(times)][-1]


@pytest.mark.parametrize("keep", [5, 1])
def test_restarts_take_no_place_of_what_one_can_roll_back_to(
    server: Server, tmp_path: Path, settings: Any, keep: int
) -> None:
    settings.KEEP_DEPLOYMENTS = keep
    good = built(server, tmp_path / "v1")
    bad = built(server, tmp_path / "v2")
    restarted(server, 6, bad.build)
    retention.forget_old_builds(server)
    good.refresh_from_db()
    assert good.build.can_start
    assert (tmp_path / "v1").is_dir()
    assert (tmp_path / "v2").is_dir()


def test_images_are_counted_in_the_same_way(server: Server) -> None:
    good = make_deployment(server, image="r.example.org/notes@sha256:1", serves=True)
    bad = make_deployment(server, image="r.example.org/notes@sha256:2", serves=True)
    restarted(server, 6, bad.build)
    retention.forget_old_builds(server)
    good.refresh_from_db()
    assert good.build.can_start


def test_older_builds_go_with_every_deployment_that_started_them(
    server: Server, tmp_path: Path, settings: Any
) -> None:
    settings.KEEP_DEPLOYMENTS = 1
    for name in ("v1", "v2", "v3"):
        restarted(server, 2, built(server, tmp_path / name).build)
    retention.forget_old_builds(server)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v2", "v3"]
    assert [d.build.can_start for d in server.deployments.order_by("number")] == [False] * 3 + [True] * 6
