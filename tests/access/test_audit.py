"""What was done is written down once, in the transaction that does it, and holds no secret."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import RequestFactory

from access import audit, door
from access.door import Door
from access.models import AuditEntry, Via
from servers.models import Server

pytestmark = pytest.mark.core


def test_an_entry_tells_who_what_and_which_server(server: Server, owner: User) -> None:
    entry = audit.record(
        action="server.changed", target=server, by=owner, before={"cpu": 1.0}, after={"cpu": 2.0}, via=Via.API
    )
    entry.refresh_from_db()
    assert (entry.actor, entry.via, entry.target_kind, entry.target) == (
        "owner",
        "api",
        "server",
        server.name,
    )
    assert (entry.server_id, entry.before, entry.after) == (server.pk, {"cpu": 1.0}, {"cpu": 2.0})


def test_it_outlives_whom_it_names(server: Server, owner: User, outsider: User) -> None:
    audit.record(action="server.seen", target=server, by=outsider)
    outsider.delete()
    assert AuditEntry.objects.get().actor == "outsider"


def test_it_is_gone_with_the_transaction_that_failed(server: Server) -> None:
    with transaction.atomic():
        audit.record(action="server.changed", target=server)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_nobody_changes_it(server: Server) -> None:
    entry = audit.record(action="server.changed", target=server)
    entry.action = "server.admired"
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        AuditEntry.objects.update(action="server.admired")


def test_secrets_are_masked(server: Server) -> None:
    entry = audit.record(
        action="server.changed",
        target=server,
        after={
            "environment": {"API_KEY": "abcdef", "LOG_LEVEL": "info"},
            "source": {"url": "https://me:hunter22@git.example.org/x"},
            "command": ["serve", "--token=mcph_0123456789abcdefghijklmnop"],
            "secrets": ["API_KEY"],
        },
    )
    assert entry.after == {
        "environment": {"API_KEY": "***", "LOG_LEVEL": "info"},
        "source": {"url": "https://***@git.example.org/x"},
        "command": ["serve", "--token=mcph_***"],
        "secrets": ["API_KEY"],
    }


def test_the_door_says_who_and_through_which(server: Server, owner: User) -> None:
    request = RequestFactory().get("/admin/")
    request.user = owner
    with door.opened(Door(Via.ADMIN, "192.0.2.7", request)):
        entry = audit.record(action="server.changed", target=server)
    assert (entry.actor, entry.via, entry.address) == ("owner", "admin", "192.0.2.7")


def test_without_a_door_it_was_the_platform(server: Server) -> None:
    entry = audit.record(action="server.restarted", target=server)
    assert (entry.by, entry.actor, entry.via) == (None, "", "platform")
