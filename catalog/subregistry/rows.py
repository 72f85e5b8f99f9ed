"""Queries the servers that a caller sees at /v0.1/, page by page, with a fixed number of queries."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Greatest
from django.http import HttpRequest

from catalog.subregistry.document import Hosted
from hosting.errors import Invalid, UserError
from servers import bearer
from servers.models import Deployment, Server
from servers.models.server import ServerQuerySet
from servers.models.token import Scope
from servers.states import DeploymentStatus


class Unauthenticated(UserError):
    """The token is invalid. An empty list in its place would look like an empty catalog."""


@dataclass(frozen=True)
class Page:
    """A page of servers; `next_cursor` is "" on the last one."""

    hosted: list[Hosted]
    next_cursor: str


@dataclass(frozen=True)
class Wanted:
    """The parameters of a list.

    `version` "" and `latest` mean the same, since each server has one version.
    """

    search: str = ""
    version: str = ""
    since: datetime | None = None
    cursor: str = ""
    limit: int = 30


def seen_by(request: HttpRequest) -> tuple[ServerQuerySet, bool]:
    """Returns the servers that the caller sees, and whether everybody sees them.

    They are those of the token or session; without one, the listed servers. Raises `Unauthenticated`.
    """
    value = bearer.value_of(request.headers.get("Authorization", ""))
    if value is not None:
        return _of_token(value), False
    if request.user.is_authenticated:
        return Server.objects.visible_to(request.user), False
    return Server.objects.filter(listed=True), True


def page(servers: ServerQuerySet, wanted: Wanted, url_of: Callable[[Server], str], space: str) -> Page:
    """Returns a page of servers, ordered by id; the cursor holds the last id.

    Raises `Invalid` for a bad cursor.
    """
    rows = _hosted(servers).filter(pk__gt=_after(wanted.cursor))
    for word in _words(wanted.search, space):
        rows = rows.filter(slug__icontains=word)
    if wanted.since:
        rows = rows.filter(changed_at__gte=wanted.since)
    found = list(rows[: wanted.limit + 1])
    shown, more = found[: wanted.limit], len(found) > wanted.limit
    hosted = [_of(row, url_of) for row in shown]
    kept = [each for each in hosted if wanted.version in ("", "latest", each.version)]
    return Page(kept, _cursor(shown[-1].pk) if more else "")


def one(servers: ServerQuerySet, slug: str, url_of: Callable[[Server], str]) -> Hosted | None:
    """Returns the server of that slug; None if the caller does not see it."""
    row = _hosted(servers).filter(slug=slug).first()
    return _of(row, url_of) if row else None


def _hosted(servers: ServerQuerySet) -> QuerySet[Any]:
    """Returns servers that should run, with the number of the deployment that made the current build."""
    same = Deployment.objects.filter(
        server=OuterRef("pk"),
        status=DeploymentStatus.SUCCEEDED,
        build=OuterRef("current_deployment__build"),
    ).order_by("number")
    return (
        servers.should_run()
        .select_related("current_deployment")
        .annotate(
            built_number=Subquery(same.values("number")[:1]),
            built_at=Subquery(same.values("finished_at")[:1]),
            changed_at=Greatest(F("updated_at"), F("current_deployment__finished_at")),
        )
        .order_by("pk")
    )


def _of(row: Any, url_of: Callable[[Server], str]) -> Hosted:
    current = row.current_deployment
    return Hosted(
        slug=row.slug,
        name=row.name,
        url=url_of(row),
        number=row.built_number or current.number,
        published_at=row.built_at or current.finished_at or current.created_at,
        updated_at=row.changed_at or row.updated_at,
        says=current.facts,
        origin=row.origin,
    )


def _of_token(value: str) -> ServerQuerySet:
    token = bearer.find(value, tuple(Scope))
    if token is None:
        raise Unauthenticated("This token is unknown, expired or revoked.")
    servers = Server.objects.visible_to(token.owner)
    return servers.filter(pk=token.server_id) if token.server_id else servers


def _words(search: str, space: str) -> list[str]:
    """Returns the text to find in slugs.

    Names are `<space>/<slug>`; a match in the first part matches all.
    """
    text = search.strip().lower()
    if not text or text in f"{space.lower()}/":
        return []
    before, slash, after = text.rpartition("/")
    return [after] if slash and space.lower().endswith(before) else [text]


def _cursor(pk: int) -> str:
    return base64.urlsafe_b64encode(f"after:{pk}".encode()).decode().rstrip("=")


def _after(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        word, _, number = text.partition(":")
    except (binascii.Error, ValueError):
        word, number = "", ""
    if word != "after" or not (number.isascii() and number.isdigit()) or len(number) > 18:
        raise Invalid("This cursor is none of ours.", field="cursor")
    return int(number)
