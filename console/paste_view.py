"""“Paste what the README says” above the form of a new server: reads the text and fills in the form."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from console import build_fields
from console.server_form import MOST_SECRETS
from console.source_fields import SOURCE_FIELDS
from servers import pasted
from servers.models.server import SourceKind
from servers.paste import LARGEST, Candidate, Reading
from servers.paste import read as read_text


def initial_of(request: HttpRequest) -> dict[str, Any]:
    """The form's initial values as they were read for this request."""
    found: dict[str, Any] = getattr(request, "read_of_paste", {})
    return found


def read(model_admin: ModelAdmin[Any], request: HttpRequest) -> tuple[HttpRequest, dict[str, Any]]:
    """Reads the pasted text of a POST. Returns a GET request that shows the form filled in, and the context
    for the page. Raises `PermissionDenied`."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    text = _text(request)
    reading = read_text(text)
    candidate = reading.picked(request.POST.get("pick", ""))
    shown = copy.copy(request)
    shown.method = "GET"  # nothing is saved, and the form is not validated yet
    shown.POST = request.POST.__class__("")
    if candidate is not None and candidate.hostable and candidate.kind != "document":
        shown.read_of_paste = _initial(candidate, _person(request))  # type: ignore[attr-defined]
    return shown, {"reading": _told(reading, candidate, text, _person(request))}


def _person(request: HttpRequest) -> int:
    return int(request.user.pk or 0)


def _text(request: HttpRequest) -> str:
    """The pasted text: of this request, or, after a choice among several servers, of the one before."""
    if sealed := request.POST.get("sealed", ""):
        return str(pasted.unseal(_person(request), sealed).get("text", ""))
    return request.POST.get("paste", "")[: LARGEST + 1]


def _told(reading: Reading, candidate: Candidate | None, text: str, person: int) -> dict[str, Any]:
    choosing = len(reading.candidates) > 1
    return {
        "candidate": candidate,
        "candidates": reading.candidates if choosing else (),
        "notes": reading.notes,
        "sealed": pasted.seal(person, {"text": text}) if choosing else "",
        "document": _document(candidate) if candidate and candidate.kind == "document" else None,
    }


def _document(candidate: Candidate) -> dict[str, str]:
    """As the catalog's page takes it."""
    source = candidate.source
    if "document" in source:
        return {"text": json.dumps(source["document"], indent=2)}
    return {key: str(value) for key, value in source.items()}


def _initial(candidate: Candidate, person: int) -> dict[str, Any]:
    kind = SourceKind(candidate.kind)
    source = {name: candidate.source.get(key, "") for key, name in SOURCE_FIELDS[kind].items()}
    if f"{kind}_arguments" in source:
        source[f"{kind}_arguments"] = shlex.join(candidate.source.get("arguments", []))
    told = {
        "name": candidate.name,
        "source_kind": kind,
        "transport_choice": candidate.transport,
        "port": candidate.port,
        "path": candidate.path,
        "command_line": shlex.join(candidate.command),
        "environment_lines": "\n".join(f"{k}={v}" for k, v in candidate.environment.items()),
        **build_fields.initial(candidate.build),
        "pasted": pasted.seal(person, pasted.values_of(candidate)),
    }
    return {**{key: value for key, value in {**source, **told}.items() if value}, **_secrets(candidate)}


def _secrets(candidate: Candidate) -> dict[str, str]:
    names = [*candidate.sealed, *(each.name for each in candidate.asked)][:MOST_SECRETS]
    return {f"secret_name_{n}": name for n, name in enumerate(names, start=1)}
