from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from access.models import Role, Team
from servers.models import Server
from tests.accounts import api, outsider, owner, person, server, session, staff, teammate, with_member
from tests.console import demo
from tests.platform import idle, platform, quick

__all__ = ["api", "idle", "outsider", "owner", "platform", "quick", "server", "session", "staff", "teammate"]


@pytest.fixture
def console(staff: User) -> Client:
    """A browser in which an administrator is logged in."""
    return logged_in(staff)


@pytest.fixture
def viewer(team: Team) -> User:
    """Sees every server of `seeded` and changes none."""
    user = person("viewer")
    with_member(team, user, Role.VIEWER)
    return user


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Everybody")


@pytest.fixture
def seeded(staff: User, team: Team) -> dict[str, Server]:
    """The servers of `demo.seed`, by slug, all of `team`."""
    seeded = demo.seed(staff)
    Server.objects.update(team=team)
    return seeded


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client
