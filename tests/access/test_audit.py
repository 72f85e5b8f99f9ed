"""What was done is written down once, in the transaction that does it, and holds no secret."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.test import RequestFactory

from access import audit
from access.actor import PLATFORM, Actor, at_console
from access.models import AuditEntry, Via
from servers import services
from servers.models import Server

pytestmark = pytest.mark.core


def test_an_entry_tells_who_what_and_which_server(server: Server, owner: User) -> None:
    entry = audit.record(
        action="server.changed",
        target=server,
        by=Actor(owner, Via.API),
        before={"cpu": 1.0},
        after={"cpu": 2.0},
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
    audit.record(action="server.seen", target=server, by=Actor(outsider))
    outsider.delete()
    assert AuditEntry.objects.get().actor == "outsider"


def test_it_is_gone_with_the_transaction_that_failed(server: Server) -> None:
    with transaction.atomic():
        audit.record(action="server.changed", target=server, by=PLATFORM)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_nobody_changes_it(server: Server) -> None:
    entry = audit.record(action="server.changed", target=server, by=PLATFORM)
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
        by=PLATFORM,
    )
    assert entry.after == {
        "environment": {"API_KEY": "***", "LOG_LEVEL": "info"},
        "source": {"url": "https://***@git.example.org/x"},
        "command": ["serve", "--token=mcph_***"],
        "secrets": ["API_KEY"],
    }


def test_the_door_says_who_and_through_which(server: Server, owner: User) -> None:
    request = RequestFactory().get("/admin/", REMOTE_ADDR="192.0.2.7")
    request.user = owner
    entry = audit.record(action="server.changed", target=server, by=at_console(request))
    assert (entry.by, entry.actor, entry.via, entry.address) == (owner, "owner", "admin", "192.0.2.7")


def test_who_is_not_signed_in_is_nobody_with_an_address(server: Server) -> None:
    request = RequestFactory().get("/admin/", REMOTE_ADDR="192.0.2.7")
    request.user = AnonymousUser()
    entry = audit.record(action="server.seen", target=server, by=at_console(request))
    assert (entry.by, entry.actor, entry.via, entry.address) == (None, "", "admin", "192.0.2.7")


def test_what_belongs_to_somebody_is_not_made_by_nobody(db: None) -> None:
    with pytest.raises(ValueError, match="somebody to whom it belongs"):
        services.create_server(by=PLATFORM, fields={"name": "x", "slug": "x"})


def test_what_nobody_asked_for_was_the_platform(server: Server) -> None:
    entry = audit.record(action="server.restarted", target=server, by=PLATFORM)
    assert (entry.by, entry.actor, entry.via) == (None, "", "platform")
