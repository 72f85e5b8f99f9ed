"""Bearer tokens: finds out who is calling."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from access import roles
from gateway import policy
from gateway.policy import ToolLists
from servers import tickets
from servers.models import Token
from servers.models.token import PREFIX, Scope

LONGEST = 200


@dataclass(frozen=True)
class Identity:
    """A caller. `server_id` None means that the token opens every server that its owner may see.

    For a user whom the trusted issuer names, or who calls from the console, `token_id` is minus the user's
    id: tokens of an issuer and console tickets change, but sessions and limits belong to the user.
    """

    token_id: int
    prefix: str
    owner_id: int
    is_administrator: bool
    teams: frozenset[int]
    server_id: int | None
    calls_per_minute: int = 0
    tools: ToolLists | None = None

    def opens(self, server_id: int, owner_id: int, team_id: int | None) -> bool:
        """Tells whether the caller may call the server: never more than the token's owner may see."""
        visible = self.is_administrator or self.owner_id == owner_id or team_id in self.teams
        return visible and self.server_id in (None, server_id)


def bearer(authorization: list[bytes]) -> str:
    """Returns the token of `Authorization: Bearer …` (RFC 6750, 2.1); "" if there is no or more than one
    header.
    """
    if len(authorization) != 1:
        return ""
    scheme, _, value = authorization[0].decode("latin-1").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def could_be_ours(value: str) -> bool:
    """Tells by its form whether the token may be of this platform, which saves a query."""
    return value.startswith(PREFIX) and len(value) <= LONGEST


def identify(value: str) -> Identity | None:
    """Queries the token's owner; None if it is unknown, expired, revoked or of another scope."""
    if ticket := tickets.read(value):
        return _of_ticket(*ticket)
    token = Token.objects.matching(value, Scope.MCP).select_related("owner").first()
    return _of_token(token) if token else None


def renewed(identity: Identity) -> Identity | None:
    """Queries the caller again; None if the token or the user is no longer valid."""
    if identity.token_id > 0:
        valid = Token.objects.valid().filter(scope=Scope.MCP).select_related("owner")
        token = valid.filter(pk=identity.token_id).first()
        return _of_token(token) if token else None
    user = User.objects.filter(pk=identity.owner_id, is_active=True).first()
    return _of_user(user, identity.prefix.partition(":")[0], identity.server_id) if user else None


def _of_token(token: Token) -> Identity:
    return Identity(
        token.pk,
        token.prefix,
        token.owner_id,
        roles.is_administrator(token.owner),
        roles.teams_of(token.owner),
        token.server_id,
        token.calls_per_minute,
        policy.lists_of(token.tools_allowed, token.tools_denied),
    )


def identify_user(username: str) -> Identity | None:
    """Queries the active user of exactly this name."""
    user = User.objects.filter(username=username, is_active=True).first()
    return _of_user(user, "oauth", None) if user else None


def _of_ticket(user_id: int, server_id: int) -> Identity | None:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    return _of_user(user, "console", server_id) if user else None


def _of_user(user: User, way: str, server_id: int | None) -> Identity:
    administrator, teams = roles.is_administrator(user), roles.teams_of(user)
    return Identity(-user.pk, f"{way}:{user.username}", user.pk, administrator, teams, server_id)
