"""Bearer tokens: who is calling."""

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
    """The caller. `server_id` None: the token opens every server that its owner can see.

    A user whom the trusted issuer names, or who calls from the console, has minus its id as `token_id`:
    access tokens and tickets come and go, but sessions and limits stay with the user.
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
        """A token never opens more than its owner may see, not even one that was made for a server."""
        visible = self.is_administrator or self.owner_id == owner_id or team_id in self.teams
        return visible and self.server_id in (None, server_id)


def bearer(authorization: list[bytes]) -> str:
    """The token of the one `Authorization: Bearer …`; "" for anything else."""
    if len(authorization) != 1:
        return ""
    scheme, _, value = authorization[0].decode("latin-1").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def could_be_ours(value: str) -> bool:
    """Spares the database what cannot be a token of ours."""
    return value.startswith(PREFIX) and len(value) <= LONGEST


def identify(value: str) -> Identity | None:
    """Asks the database who holds this token; None when it is unknown, expired, revoked or not for calls."""
    if ticket := tickets.read(value):
        return _of_ticket(*ticket)
    token = Token.objects.matching(value, Scope.MCP).select_related("owner").first()
    return _of_token(token) if token else None


def renewed(identity: Identity) -> Identity | None:
    """Asks the database again who that is; None when the token or the user has ended meanwhile."""
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
    """Asks the database for the active user with exactly this name."""
    user = User.objects.filter(username=username, is_active=True).first()
    return _of_user(user, "oauth", None) if user else None


def _of_ticket(user_id: int, server_id: int) -> Identity | None:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    return _of_user(user, "console", server_id) if user else None


def _of_user(user: User, way: str, server_id: int | None) -> Identity:
    administrator, teams = roles.is_administrator(user), roles.teams_of(user)
    return Identity(-user.pk, f"{way}:{user.username}", user.pk, administrator, teams, server_id)
