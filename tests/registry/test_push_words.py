"""What a push makes of an engine's words, with an engine that says them: see test_push for real ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from registry.client import OCI_MANIFEST, RegistryClient
from registry.commands import CommandRefresher
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from registry.reference import Reference
from tests.registry.conftest import Push
from tests.registry.http import Request, Response, serving

DIGEST = "sha256:" + "a" * 64
MANIFEST = b"{ ... }"
PUSHED = {"aux": {"Tag": "v1", "Digest": DIGEST, "Size": len(MANIFEST)}}
GOAWAY = "http2: server sent GOAWAY and closed the connection; LastStreamID=403, ErrCode=NO_ERROR"


def held(request: Request) -> Response:
    return Response(200, MANIFEST, {"Docker-Content-Digest": DIGEST, "Content-Type": OCI_MANIFEST})


@contextmanager
def engine(say: Callable[[str], str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and the logins that it was told. `say(user)` is why it cannot push, "" where it can."""
    told: list[dict[str, Any]] = []

    def answer(request: Request) -> Response:
        if request.path.endswith("/version"):
            return Response(200, b'{"ApiVersion": "1.43", "MinAPIVersion": "1.24"}')
        if "/push" not in request.path:
            return Response(201)
        told.append(json.loads(base64.urlsafe_b64decode(request.headers.get("X-Registry-Auth", "e30="))))
        why = say(told[-1].get("username", ""))
        return Response(200, json.dumps({"error": why} if why else PUSHED).encode())

    with serving(answer) as server:
        yield f"tcp://{server.host}", told


def config(path: Path, **logins: str) -> None:
    entries = {key: {"username": user, "password": "x"} for key, user in logins.items()}
    path.write_text(json.dumps({"auths": entries}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def counting(path: Path, host: str, user: str) -> CommandRefresher:
    """Writes a login, and a line for each of its runs."""
    config(path.with_name("new"), **{host: user})
    return CommandRefresher(["sh", "-c", f"echo ran >> {path}.runs; cp {path.with_name('new')} {path}"])


def runs(path: Path) -> int:
    log = path.with_name(f"{path.name}.runs")
    return len(log.read_text().split()) if log.exists() else 0


def test_an_engine_is_told_the_login_of_the_namespace(path: Path) -> None:
    with serving(held) as server, engine(lambda user: "") as (url, told):
        config(path, **{f"{server.host}/team": "team", f"{server.host}/other": "other"})
        push = Push(url, server.host, RegistryClient(server.host, credentials=CredentialStore(path)))
        for space in ("team", "other", "third"):
            push("image", target=Reference(server.host, f"{space}/notes", "v1"))
    assert [login.get("username", "") for login in told] == ["team", "other", ""]


@pytest.mark.parametrize("why", [GOAWAY, "stream error: stream ID 401; INTERNAL_ERROR; received from peer"])
def test_a_connection_that_is_broken_off_is_tried_again(path: Path, why: str) -> None:
    said = [why, ""]
    with serving(held) as server, engine(lambda user: said.pop(0)) as (url, told):
        push = Push(url, server.host, RegistryClient(server.host, credentials=CredentialStore(None)))
        assert push("image").digest == DIGEST
    assert len(told) == 2
    assert [event["error_kind"] for event in push.of("push_retry")] == ["push"]


@pytest.mark.parametrize(
    "why", ["denied: denied", "denied: access forbidden", "unexpected status: 403 Forbidden"]
)
def test_a_denied_push_is_refreshed_once(path: Path, why: str) -> None:
    with serving(held) as server, engine(lambda user: "" if user == "new" else why) as (url, _):
        config(path, **{server.host: "old"})
        store = CredentialStore(path, counting(path, server.host, "new"))
        push = Push(url, server.host, RegistryClient(server.host, credentials=store))
        assert push("image").digest == DIGEST
    assert runs(path) == 1
    assert push.types()[2:] == [
        "push_started", "auth_refresh_started", "auth_refresh_succeeded", "push_retry", "push_succeeded",
    ]  # fmt: skip


def test_a_push_that_stays_denied_is_final_after_one_refresh(path: Path) -> None:
    """For all of its platforms, and for what is pushed right after it."""
    with serving(held) as server, engine(lambda user: "denied: denied") as (url, told):
        config(path, **{server.host: "old"})
        store = CredentialStore(path, counting(path, server.host, "new"))
        push = Push(url, server.host, RegistryClient(server.host, credentials=store))
        for _ in range(3):
            with pytest.raises(RegistryError, match="denied: denied") as raised:
                push("image")
            assert (raised.value.kind, raised.value.permanent) == ("remote", True)
    assert runs(path) == 1
    assert len(told) == 4


def test_a_refresh_that_fails_is_told_beside_what_was_denied(path: Path) -> None:
    with serving(held) as server, engine(lambda user: "denied: denied") as (url, _):
        config(path, **{server.host: "old"})
        store = CredentialStore(path, CommandRefresher(["sh", "-c", "exit 3"]))
        push = Push(url, server.host, RegistryClient(server.host, credentials=store))
        with pytest.raises(RegistryError, match="exit code 3") as raised:
            push("image")
    assert raised.value.message.startswith("denied: denied\n")
    assert raised.value.auth_expired
