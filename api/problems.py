"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.core.exceptions import (
    NON_FIELD_ERRORS,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import connections
from django.http import Http404, HttpResponse
from rest_framework import exceptions

from hosting.errors import Conflict, Invalid, UserError
from servers.uploads import TooLarge

MEDIA_TYPE = "application/problem+json"
logger = logging.getLogger(__name__)
Errors = list[dict[str, str]]


def document(
    status: int, detail: str, *, instance: str = "", errors: Errors | None = None, **more: Any
) -> dict[str, Any]:
    """`type` is about:blank, so `title` is the status' own phrase; `errors` names the inputs at fault."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = detail or body["title"]
    if instance:
        body["instance"] = instance
    if errors:
        body["errors"] = errors
    return {**body, **more}


def answer(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> HttpResponse:
    body = orjson.dumps(document(status, detail, **more))
    return HttpResponse(body, status=status, content_type=MEDIA_TYPE, headers=dict(headers or {}))


def handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """REST framework's EXCEPTION_HANDLER. Never returns None: an unexpected error is logged with its
    traceback, and answered as 500 with a reference to the log."""
    _roll_back()
    instance = context["request"].path if context.get("request") else ""
    if isinstance(error, exceptions.APIException):
        return _of_framework(error, instance)
    if isinstance(error, ValidationError):
        return _invalid(_flat_django(error), instance)
    if isinstance(error, UserError):
        return _of_user_error(error, instance)
    for kind, status, detail in FOREIGN:
        if isinstance(error, kind):
            return answer(status, detail, instance=instance)
    return _unexpected(error, instance)


FOREIGN: tuple[tuple[type[Exception], int, str], ...] = (
    (Http404, 404, "There is nothing here, or it is not yours to see."),
    (PermissionDenied, 403, "This is not allowed."),
    (RequestDataTooBig, 413, "The body of the request is too large."),
    (SuspiciousOperation, 400, "The request is not well formed."),
)


def _of_framework(error: exceptions.APIException, instance: str) -> HttpResponse:
    if isinstance(error, exceptions.ValidationError):
        return _invalid(list(_flat(error.detail, ())), instance)
    headers = {}
    if auth := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return answer(error.status_code, str(error.detail), instance=instance, headers=headers)


def _of_user_error(error: UserError, instance: str) -> HttpResponse:
    if isinstance(error, Conflict):
        return answer(409, str(error), instance=instance)
    status = 413 if isinstance(error, TooLarge) else 400
    field = error.field if isinstance(error, Invalid) else ""
    errors = [_entry(tuple(field.split(".")), str(error))] if field else None
    return answer(status, str(error), instance=instance, errors=errors)


def _invalid(errors: Errors, instance: str) -> HttpResponse:
    named = [f"{e['field']}: {e['detail']}" if e["field"] else e["detail"] for e in errors]
    return answer(400, " ".join(named)[:2000], instance=instance, errors=errors)


def _unexpected(error: Exception, instance: str) -> HttpResponse:
    reference = uuid.uuid4().hex[:12]
    logger.error("request failed", exc_info=error, extra={"reference": reference, "path": instance})
    detail = f"Something went wrong. The platform's log has it under the reference {reference}."
    return answer(500, detail, instance=instance, reference=reference)


def _flat(detail: Any, path: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Each sentence of REST framework's nested errors with the path of its field."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _flat(value, path if key == "non_field_errors" else (*path, str(key)))
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for index, value in enumerate(detail):
            yield from _flat(value, (*path, str(index)) if isinstance(value, Mapping) and value else path)
    else:
        yield _entry(path, str(detail))


def _flat_django(error: ValidationError) -> Errors:
    if not hasattr(error, "error_dict"):
        return [_entry((), message) for message in error.messages]
    return [
        _entry(() if field == NON_FIELD_ERRORS else (field,), message)
        for field, messages in error.message_dict.items()
        for message in messages
    ]


def _entry(path: tuple[str, ...], detail: str) -> dict[str, str]:
    """`field` for people, `pointer` (RFC 6901) for programs."""
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return {"field": ".".join(path), "pointer": f"#{pointer}", "detail": detail}


def _roll_back() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
            connection.set_rollback(True)
