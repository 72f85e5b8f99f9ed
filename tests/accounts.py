"""People and what is theirs. Import the fixtures into the conftest of the package that needs them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access.actor import PLATFORM
from access.models import Membership, Role, Team
from servers import services
from servers.models import Build, Deployment, Run, Server
from servers.models.token import Scope
from servers.states import DeploymentStatus, Trigger

OF_BUILDS = {
    "runtime", "revision", "summary", "plan", "platforms", "images", "image", "digest", "command",
    "directory", "resumes",
}  # fmt: skip
OF_RUNS = {"endpoint", "endpoints", "handle", "uses"}
_numbers = itertools.count(1)


def person(name: str, **fields: Any) -> User:
    """Somebody with a password, for tests that log in through the form."""
    return User.objects.create_user(name, password=f"{name}-password", **fields)


@pytest.fixture
def owner(db: None) -> User:
    """An operator of a team. Like the others here without a password, whose hash would take its time."""
    user = User.objects.create_user("owner")
    with_member(Team.objects.create(name="Owner's team"), user, Role.OPERATOR)
    return user


@pytest.fixture
def outsider(db: None) -> User:
    """May log in, owns nothing, belongs to no team."""
    return User.objects.create_user("outsider")


@pytest.fixture
def team(owner: User) -> Team:
    """The owner's team; `server` belongs to it."""
    return Team.objects.get(members=owner)


@pytest.fixture
def teammate(team: Team) -> User:
    """An operator of the owner's team."""
    user = User.objects.create_user("teammate")
    with_member(team, user, Role.OPERATOR)
    return user


@pytest.fixture
def viewer(team: Team) -> User:
    """A viewer of the owner's team."""
    user = User.objects.create_user("viewer")
    with_member(team, user, Role.VIEWER)
    return user


def with_member(team: Team, user: User, role: Role) -> None:
    Membership.objects.create(team=team, user=user, role=role)


@pytest.fixture
def staff(db: None) -> User:
    """An administrator of the platform."""
    return User.objects.create_user("staff", is_staff=True, is_superuser=True)


def make_server(owner: User, **fields: Any) -> Server:
    """A row as the services leave it before the first deployment."""
    number = next(_numbers)
    given = {
        "name": f"Server {number}",
        "slug": f"server-{number}",
        "source_kind": "package",
        "source": {"ecosystem": "pypi", "name": "mcp-server-time"},
        **fields,
    }
    return Server.objects.create(owner=owner, **given)


def make_deployment(server: Server, **fields: Any) -> Deployment:
    """A row of a deployment that is over, and that is what serves where `serves` is given.

    It has a build of its own, to which some of `fields` go, unless `build` is that of another. `endpoint`,
    `endpoints`, `handle` and `uses` are those of what runs for it.
    """
    number = fields.pop("number", server.deployments.count() + 1)
    given = {"trigger": Trigger.API, "status": DeploymentStatus.SUCCEEDED, **fields}
    serves = given.pop("serves", False)
    made = {name: given.pop(name) for name in OF_BUILDS if name in given}
    build = given.pop("build", None) or Build.objects.create(server=server, number=number, **made)
    lives = {name: given.pop(name) for name in OF_RUNS if name in given}
    deployment = Deployment.objects.create(server=server, number=number, build=build, **given)
    if lives:
        begun(deployment, **lives)
    if serves:
        Server.objects.filter(pk=server.pk).update(current_deployment=deployment)
        server.refresh_from_db()
    return deployment


def begun(deployment: Deployment, **fields: Any) -> Run:
    """What runs for it from now on."""
    handle = {"endpoint": fields.get("endpoint", ""), "data": {}}
    ready_at = timezone.now() if deployment.status == DeploymentStatus.SUCCEEDED else None
    known = {"runtime": deployment.build.runtime or "process", "handle": handle, "ready_at": ready_at}
    about = {**known, **fields}
    deployment.keep(run=Run.objects.create(deployment=deployment, **about))
    assert deployment.run
    return deployment.run


@pytest.fixture
def server(owner: User, team: Team) -> Server:
    return make_server(owner, team=team)


def token_of(user: User, scope: str = Scope.API) -> str:
    return services.issue_token(owner=user, name="test", scope=scope, by=PLATFORM)[1]


@pytest.fixture
def api() -> Callable[[User], APIClient]:
    """`api(user)`: a client that sends a token of the user's."""

    def client(user: User) -> APIClient:
        made = APIClient(raise_request_exception=False)
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(user)}")
        return made

    return client


@pytest.fixture
def session() -> Callable[[User], Client]:
    """`session(user)`: a browser that is logged in; it has to send CSRF tokens."""

    def client(user: User) -> Client:
        made = Client(enforce_csrf_checks=True)
        made.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return made

    return client
