"""What one may ask of one deployment's pushes, at the doors."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from servers.deploying import retention
from servers.models import Build, Deployment, Server
from tests.accounts import make_deployment

pytestmark = pytest.mark.core
PLATFORMS = ["linux/amd64", "linux/arm64"]


@pytest.fixture
def failed(server: Server) -> Deployment:
    return make_deployment(server, status="failed", revision="b" * 40, platforms=PLATFORMS)


ASKED: dict[str, Any] = {"mode": "resume", "refresh_credentials": True, "push_retries": 7}
KEPT = {"mode": "resume", "refresh_credentials": True, "platform_anew": "linux/arm64", "push_retries": 7}


def test_over_rest(failed: Deployment, api: Callable[[User], APIClient], owner: User) -> None:
    where = f"/api/servers/{failed.server_id}/redeploy/"
    answer = api(owner).post(where, {**ASKED, "platform": "linux/arm64"})
    assert answer.status_code == 202, answer.content
    made = Deployment.objects.get(pk=answer.json()["id"])
    assert {name: getattr(made, name) for name in KEPT} == KEPT


@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({"mode": "resume", "platform": "linux/s390x"}, "platform", "It has no platform linux/s390x"),
        ({"mode": "latest", "platform": "linux/arm64"}, "platform", "with mode resume only"),
        ({"mode": "latest", "push_retries": 21}, "push_retries", "From 1 to 20 attempts."),
        ({"mode": "latest", "push_retries": "x"}, "push_retries", "whole number"),
        ({"mode": "resume", "refresh_credentials": "maybe"}, "refresh_credentials", "true or false"),
    ],
)
def test_what_fits_nothing_is_named(
    failed: Deployment,
    api: Callable[[User], APIClient],
    owner: User,
    asked: dict[str, Any],
    field: str,
    said: str,
) -> None:
    answer = api(owner).post(f"/api/servers/{failed.server_id}/redeploy/", asked)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["detail"]
    assert failed.server.deployments.count() == 1


def test_from_the_command_line(failed: Deployment) -> None:
    slug = failed.server.slug
    options = ["--refresh-credentials", "--platform", "linux/arm64", "--push-retries", "7"]
    call_command("redeploy", slug, "--mode", "resume", *options, stdout=io.StringIO())
    made = failed.server.deployments.latest("number")
    assert {name: getattr(made, name) for name in KEPT} == KEPT
    with pytest.raises(CommandError, match="From 1 to 20 attempts"):
        call_command("redeploy", slug, "--push-retries", "0", stdout=io.StringIO())


def test_what_a_resumed_deployment_took_over_stays_when_it_fails_too(
    failed: Deployment, settings: Any, tmp_path: Any
) -> None:
    """#2 resumed #1 and failed: what #1 built is what a second resume goes on with."""
    built = tmp_path / "built"
    built.mkdir()
    Build.objects.filter(pk=failed.build_id).update(directory=str(built))
    about = {"status": "failed", "mode": "resume", "based_on": failed}
    resumed = make_deployment(failed.server, resumes=failed.build, **about)
    retention.forget_old_builds(failed.server)
    assert built.exists()
    Build.objects.filter(pk=resumed.build_id).update(resumes=None)
    retention.forget_old_builds(failed.server)
    assert not built.exists()
