"""Bounds what somebody makes with a token: it may not last longer, nor may it allow more.

The token is taken from `by`.
"""

from __future__ import annotations

from access.actor import Actor
from hosting.errors import Conflict, Invalid
from servers.models import Token, tool_patterns
from servers.models.token import Scope

# A token of the scope `api` may do all that its owner may, so also call servers.
WILD = frozenset("*?[")
WITHIN = {Scope.API: frozenset(Scope), Scope.READ: frozenset({Scope.READ}), Scope.MCP: frozenset({Scope.MCP})}


def maker(by: Actor) -> Token | None:
    """Returns the token that `by` used; None for a person, a command and the platform itself."""
    return by.token if isinstance(by.token, Token) else None


def confine(token: Token, by: Actor) -> None:
    """Gives a new token the bounds of the token that makes it, and fills in what it leaves open.

    Does nothing if `by` used no token. Raises `Invalid` if the new one would allow more, and `Conflict` if
    the maker has just ended.
    """
    used = maker(by)
    if used is None:
        return
    bounds = Token.objects.valid().select_for_update(of=("self",)).filter(pk=used.pk).first()
    if bounds is None:
        raise Conflict("The token that this was asked for with has just ended.")
    token.made_with = bounds
    _confine_reach(token, bounds)
    _confine_time(token, bounds)
    _confine_tools(token, bounds)


def check_no_expiry(what: str, by: Actor) -> None:
    """Raises `Invalid` if `by` used a token that expires.

    For things that never end, such as a webhook's secret.
    """
    used = maker(by)
    if used is not None and used.expires_at is not None:
        raise Invalid(
            f"This token ends on {used.expires_at:%Y-%m-%d %H:%M} UTC, and {what} would outlive it.",
            hint="Use a token that does not expire, or the console.",
        )


def _confine_reach(token: Token, bounds: Token) -> None:
    if token.owner_id != bounds.owner_id:
        raise Invalid("A token makes none for somebody else.", field="owner")
    if token.scope not in WITHIN[Scope(bounds.scope)]:
        raise Invalid(f"A token of the scope {bounds.scope} makes none of {token.scope}.", field="scope")
    if bounds.server_id is not None and token.server_id != bounds.server_id:
        raise Invalid("This token is for one server: so is what it makes.", field="server")


def _confine_time(token: Token, bounds: Token) -> None:
    last, most = bounds.expires_at, bounds.calls_per_minute
    token.expires_at = token.expires_at or last
    if last is not None and token.expires_at is not None and token.expires_at > last:
        raise Invalid(f"At the latest {last.isoformat()}, when the token ends.", field="expires_at")
    token.calls_per_minute = token.calls_per_minute or most
    if most and token.calls_per_minute > most:
        raise Invalid(f"At most {most}, as of the token.", field="calls_per_minute")


def _confine_tools(token: Token, bounds: Token) -> None:
    token.tools_denied = [
        *bounds.tools_denied,
        *(p for p in token.tools_denied if p not in bounds.tools_denied),
    ]
    token.tools_allowed = token.tools_allowed or list(bounds.tools_allowed)
    if beyond := [each for each in token.tools_allowed if not _is_within(each, bounds.tools_allowed)]:
        raise Invalid(f"The token allows no {', '.join(beyond)[:200]}.", field="tools_allowed")


def _is_within(pattern: str, allowed: list[str]) -> bool:
    """Tells whether `pattern` is one of the allowed patterns, or a plain name that one of them matches."""
    if not allowed or pattern in allowed:
        return True
    return not WILD & set(pattern) and tool_patterns.permit(pattern, allowed, [])
