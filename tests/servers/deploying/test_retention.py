"""What old deployments left: removed whole, tried again, and never under somebody who works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from servers.deploying import retention
from servers.models import Build, Deployment, Server
from servers.states import DeploymentStatus
from tests.accounts import make_deployment
from tests.platform import forget_adapters
from tests.registry.http import Request, Response, serving

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick")]
TAG = "1-abc"


@dataclass
class Shelf:
    """A registry that holds one tag, and answers `refusal` where there is one."""

    tags: list[str] = field(default_factory=lambda: [TAG])
    refusal: Response | None = None

    def answer(self, request: Request) -> Response:
        if self.refusal:
            return self.refusal
        if request.method == "DELETE":
            self.tags.remove(request.path.rpartition("/")[2])
            return Response(202)
        return Response(200, json.dumps({"tags": self.tags}).encode())


@pytest.fixture
def shelf(settings: Any) -> Iterator[Shelf]:
    held = Shelf()
    with serving(held.answer) as registry:
        settings.REGISTRY = f"{registry.host}/team"
        forget_adapters()
        yield held


@pytest.fixture
def old(server: Server, tmp_path: Path) -> Deployment:
    """It failed, and a newer one was tried since."""
    built = tmp_path / "built"
    built.mkdir()
    failed = make_deployment(
        server,
        status=DeploymentStatus.FAILED,
        revision="abc",
        platforms=["linux/amd64"],
        directory=str(built),
    )
    make_deployment(server, status=DeploymentStatus.FAILED)
    return failed


def is_there(old: Deployment) -> bool:
    directory = Path(old.build.directory)
    row = Build.objects.get(pk=old.build_id)
    assert bool(row.platforms) == directory.exists(), "the row knows what is still there"
    return directory.exists()


def test_tags_and_build_go(old: Deployment, shelf: Shelf) -> None:
    retention.forget_old_builds(old.server)
    assert (shelf.tags, is_there(old)) == ([], False)


def test_tags_that_stayed_while_the_registry_was_away_go_once_it_is_back(
    old: Deployment, shelf: Shelf
) -> None:
    shelf.refusal = Response(503)
    retention.forget_old_builds(old.server)
    assert is_there(old), "else nobody would know of the tags"
    shelf.refusal = None
    retention.forget_old_builds(old.server)
    assert (shelf.tags, is_there(old)) == ([], False)


def test_a_registry_that_refuses_for_good_keeps_no_build(old: Deployment, shelf: Shelf) -> None:
    shelf.refusal = Response(415)
    retention.forget_old_builds(old.server)
    assert (shelf.tags, is_there(old)) == ([TAG], False)


def test_a_deleted_server_waits_for_no_registry(old: Deployment, shelf: Shelf) -> None:
    shelf.refusal = Response(503)
    retention.remove_everything_of(old.server)
    assert not is_there(old)


@pytest.mark.parametrize("status", [DeploymentStatus.QUEUED, DeploymentStatus.RUNNING])
def test_nothing_goes_while_a_deployment_is_under_way(old: Deployment, shelf: Shelf, status: str) -> None:
    """It may push what shares a manifest with an old tag."""
    working = make_deployment(old.server, status=status)
    retention.forget_old_builds(old.server)
    assert (shelf.tags, is_there(old)) == ([TAG], True)
    Deployment.objects.filter(pk=working.pk).update(status=DeploymentStatus.FAILED)
    retention.forget_old_builds(old.server)
    assert (shelf.tags, is_there(old)) == ([], False)
