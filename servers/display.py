"""Formats rows for pages: statuses, times, durations, sources. Makes no queries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from servers import states
from servers.models import Deployment, Secret, Server
from servers.models.server import SourceKind
from servers.states import Look, Trigger

EMPTY = "—"
_HEX = re.compile(r"[0-9a-f]{40,64}")
_FAILED_AT = {
    "source": "at the source",
    "build": "at the build",
    "tag": "at the push",
    "push": "at the push",
    "remote": "at the registry",
    "auth_expired": "at the registry's login",
    "timeout": "at a limit of time",
    "internal": "by a fault of the platform",
}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def pill(status: str, label: str = "") -> SafeString:
    """Returns the HTML of a server's status, in words and colour."""
    return _pill(states.look(status), label)


def work_pill(status: str) -> SafeString:
    """Returns the HTML of a deployment's or step's status."""
    return _pill(states.work_look(status))


def _pill(look: Look, label: str = "") -> SafeString:
    return format_html('<span class="mh-pill" data-tone="{}">{}</span>', look.tone, label or look.label)


def ago(seconds: float) -> str:
    """Returns "just now", "3 min ago" or "in 2 h", in the largest unit that fits."""
    size, unit = next(((s, u) for s, u in _UNITS if abs(seconds) >= s), (1, "s"))
    count = int(abs(seconds) // size)
    if size == 1 and count < 10:
        return "just now"
    return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"


def moment(at: datetime | None) -> SafeString | str:
    """Returns HTML with a relative time; its title is the exact time.

    The page's script keeps the relative time current.
    """
    if at is None:
        return EMPTY
    shown = ago((timezone.now() - at).total_seconds())
    exact = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}" data-ago>{}</time>', at.isoformat(), exact, shown)


def duration(value: timedelta | None) -> str:
    """Returns at most two units: "340 ms", "4.2 s", "1 min 12 s", "2 h 5 min"."""
    if value is None:
        return EMPTY
    seconds = max(value.total_seconds(), 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return _two_units(int(seconds))


def milliseconds(value: int | None) -> str:
    """Formats milliseconds as `duration` does."""
    return EMPTY if value is None else duration(timedelta(milliseconds=value))


def _two_units(seconds: int) -> str:
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def running_for(started: datetime, ended: datetime | None) -> SafeString | str:
    """Returns how long it took, or has taken until now.

    In the second case the page's script goes on counting.
    """
    if ended is not None:
        return duration(ended - started)
    so_far = duration(timezone.now() - started)
    return format_html('<span data-since="{}">{}</span>', started.isoformat(), so_far)


def digest(value: str) -> SafeString | str:
    """Returns HTML with the start of a digest; the whole digest is its title."""
    if not value:
        return EMPTY
    return format_html('<code title="{}">{}…</code>', value, value.removeprefix("sha256:")[:12])


def revision(value: str) -> SafeString | str:
    """Returns HTML with a short form: the start of a commit or digest, or the version of a package."""
    if not value:
        return EMPTY
    bare = value.removeprefix("sha256:")
    version = value.rpartition("==")[2]
    shown = bare[:12] if _HEX.fullmatch(bare) else Truncator(version).chars(32)
    return format_html('<code title="{}">{}</code>', value, shown)


def size(value: object) -> str:
    """Formats bytes; EMPTY for anything but a number."""
    return filesizeformat(value) if isinstance(value, int | float) else EMPTY


def trigger(value: str) -> str:
    return "API" if value == Trigger.API else value.capitalize()


def failed_at(kind: str) -> str:
    """Returns what to put behind “Failed” for an `error_kind`, such as " at the build"; may be ""."""
    return f" {_FAILED_AT[kind]}" if kind in _FAILED_AT else ""


def source_summary(server: Server) -> str:
    """Returns one line that says where a server comes from. It never holds a credential."""
    return _SUMMARIES[SourceKind(server.source_kind)](server.source)


def _git(source: Mapping[str, Any]) -> str:
    url = str(source.get("url", ""))
    parts = urlsplit(url)
    shown = f"{parts.hostname}{parts.path}" if parts.hostname else url.partition("@")[2] or url
    ref = f" @ {source['ref']}" if source.get("ref") else ""
    return f"{shown.removesuffix('.git')}{ref}{_below(source)}"


def _below(source: Mapping[str, Any]) -> str:
    return f" /{source['subdirectory'].strip('/')}" if source.get("subdirectory") else ""


def _package(source: Mapping[str, Any]) -> str:
    version = f" {source['version']}" if source.get("version") else ""
    return f"{source.get('ecosystem', '')}:{source.get('name', '')}{version}"


def _upload(source: Mapping[str, Any]) -> str:
    return str(source.get("filename") or "uploaded archive") + _below(source)


def _image(source: Mapping[str, Any]) -> str:
    return str(source.get("reference", ""))


_SUMMARIES = {
    SourceKind.GIT: _git,
    SourceKind.PACKAGE: _package,
    SourceKind.UPLOAD: _upload,
    SourceKind.IMAGE: _image,
}


def server_url(server_id: int) -> str:
    return reverse("admin:servers_server_change", args=[server_id])


def deployment_url(deployment_id: int) -> str:
    return reverse("admin:servers_deployment_change", args=[deployment_id])


def deployment_link(deployment: Deployment | None) -> SafeString | str:
    """Returns HTML with a link to the deployment; EMPTY for None."""
    if deployment is None:
        return EMPTY
    return format_html(
        '<a class="mh-link" href="{}">#{}</a>', deployment_url(deployment.pk), deployment.number
    )


def dropped(secret: Secret, server: Server) -> str:
    """Returns a sentence about a credential that was removed because the source has moved."""
    now = (
        f"The source is at {server.source_origin} now"
        if server.source_origin
        else "The source is another now"
    )
    return f"{secret.name} was dropped: it was given for {secret.origin or 'another place'}. {now}."
