"""Log lines for people and for aggregators, and what is in neither."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.test import Client

from mcphost import logs

Emit = Callable[[], None]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """`written(format, emit)`: what the handlers of that format write while `emit` runs."""

    def write(log_format: str, emit: Emit) -> str:
        logs.configure(log_format, "info", [settings.SECRET_KEY])
        emit()
        return capsys.readouterr().err

    yield write
    logs.configure(settings.LOG_FORMAT, settings.LOG_LEVEL)


def push_failed() -> None:
    fields = {"server_id": 7, "registry_endpoint": "r.example.org/a", "scopes": ["repository:a:push", "b"]}
    logging.getLogger("registry.push").warning(
        "registry push failed", extra={**fields, "error": 'denied: "no"'}
    )


def test_the_line_for_people(written: Callable[..., str]) -> None:
    line = written("keyvalue", push_failed)
    assert ' warning target="registry.push" registry push failed server_id=7 ' in line
    assert "registry_endpoint=r.example.org/a scopes=repository:a:push,b" in line
    assert line.count("\n") == 1


def test_the_line_for_aggregators(written: Callable[..., str]) -> None:
    event = json.loads(written("json", push_failed))
    assert event["target"] == "registry.push"
    assert event["message"] == "registry push failed"
    assert (event["server_id"], event["level"]) == (7, "warning")
    assert event["scopes"] == ["repository:a:push", "b"]


@pytest.mark.parametrize("log_format", ["keyvalue", "json"])
def test_secrets_leave_masked(written: Callable[..., str], log_format: str) -> None:
    def leak() -> None:
        try:
            raise ValueError(f"key {settings.SECRET_KEY} at postgres://app:pass-word@db/x")
        except ValueError:
            logging.getLogger("x").exception(
                "token %s", "mcph_" + "a" * 43, extra={"at": settings.SECRET_KEY}
            )

    said = written(log_format, leak)
    assert "ValueError" in said
    for secret in (settings.SECRET_KEY, "pass-word", "a" * 43):
        assert secret not in said


@pytest.mark.django_db
def test_a_clients_mistake_is_no_log_line_and_ours_shows_no_object(written: Callable[..., str]) -> None:
    assert written("keyvalue", lambda: Client().get("/nowhere") and None) == ""
    answer = Client().get("/nowhere")
    fault = lambda: logging.getLogger("django.request").error("oh", extra={"request": answer.wsgi_request})  # noqa: E731
    assert "WSGIRequest" not in written("keyvalue", fault)
