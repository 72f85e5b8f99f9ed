from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from gateway import tokens
from servers import tickets
from servers.models import Server


def test_a_ticket_names_a_person_and_a_server() -> None:
    ticket = tickets.issue(user_id=3, server_id=7)
    assert tickets.read(ticket) == (3, 7)
    assert tokens.could_be_ours(ticket)


@pytest.mark.parametrize("broken", ["", "mcph_x", tickets.TICKET, tickets.TICKET + "a.b.c"])
def test_anything_else_names_nobody(broken: str) -> None:
    assert tickets.read(broken) is None


def test_a_ticket_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = tickets.issue(user_id=3, server_id=7)
    body, _, signature = ticket.removeprefix(tickets.TICKET).partition(".")
    other = tickets.issue(user_id=1, server_id=7).removeprefix(tickets.TICKET).partition(".")[0]
    assert tickets.read(f"{tickets.TICKET}{other}.{signature}") is None
    assert body != other


def test_a_ticket_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = tickets.issue(user_id=3, server_id=7)
    monkeypatch.setattr(tickets, "LIVES", timedelta(seconds=-1))
    assert tickets.read(ticket) is None


def test_the_gateway_lets_the_person_in_and_no_further(owner: User, outsider: User, server: Server) -> None:
    def identity(user: User) -> tokens.Identity:
        found = tokens.identify(tickets.issue(user_id=user.pk, server_id=server.pk))
        assert found
        return found

    assert identity(owner).prefix == "console:owner"
    assert identity(owner).opens(server.pk, server.owner_id, None)
    assert not identity(owner).opens(server.pk + 1, server.owner_id, None)
    assert not identity(outsider).opens(server.pk, server.owner_id, None)
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert tokens.identify(tickets.issue(user_id=owner.pk, server_id=server.pk)) is None
