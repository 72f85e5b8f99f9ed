"""Keys are rotated while people go on setting secrets: no value is lost, none is set back to an older one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection

from access.actor import Actor
from servers import services
from servers.models import Secret, Server

WRITERS, ROUNDS = 3, 5
pytestmark = [pytest.mark.core, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_what_is_set_during_a_rotation_is_kept(server: Server, settings: Any) -> None:
    old, new = settings.SECRET_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    names = [f"KEY_{number}" for number in range(WRITERS)]
    for name in names:
        services.set_secret(server=server, name=name, value="first", by=Actor(server.owner))
    settings.SECRET_ENCRYPTION_KEYS = [new, old]
    over = Event()

    def write(name: str) -> str:
        number = 0
        try:
            while not over.is_set():
                number += 1
                services.set_secret(server=server, name=name, value=f"value {number}", by=Actor(server.owner))
            return f"value {number}"
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        written = [pool.submit(write, name) for name in names]
        try:
            for _ in range(ROUNDS):
                call_command("rotate_secrets")
        finally:
            over.set()
        last = [each.result(60) for each in written]
    settings.SECRET_ENCRYPTION_KEYS = [new]
    assert [Secret.objects.get(name=name).reveal() for name in names] == last
