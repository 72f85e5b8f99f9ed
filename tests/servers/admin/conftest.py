from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from servers.models import Server
from tests.accounts import person
from tests.servers.admin import demo


@pytest.fixture
def console(staff: User) -> Client:
    """A browser in which an administrator is logged in."""
    return logged_in(staff)


@pytest.fixture
def viewer(db: None) -> User:
    """Staff that may look at everything and change nothing."""
    user = person("viewer", is_staff=True)
    looks = Permission.objects.filter(
        codename__startswith="view_", content_type__app_label__in=["servers", "metrics"]
    )
    user.user_permissions.set(looks)
    return user


@pytest.fixture
def seeded(staff: User) -> dict[str, Server]:
    """The servers of `demo.seed`, by slug."""
    return demo.seed(staff)


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client
