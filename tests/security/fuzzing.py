"""Schemathesis over the whole OpenAPI, within this process and against a real database.

Every request is undone: what one of them deletes or revokes is there again for the next. Deployments are
queued, and no worker runs. What fails is printed as a curl command, without the credential.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import schemathesis
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.test import Client, override_settings
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi import checks

from api.live import application as streams
from tests.security.world import World

# Requests for each operation, identity and kind (valid, invalid): more of them for an attack by hand.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
# How many chains of how many requests for each identity.
CHAINS, STEPS = 2 * EXAMPLES, 8
CSRF = "a" * 32
# Nobody listens there: what an operation asks a registry, it learns that it does not answer.
QUIET = {"CATALOG_REGISTRY_URL": "http://127.0.0.1:9", "CATALOG_ALLOW_PRIVATE": True}
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


def document() -> dict[str, Any]:
    """The OpenAPI document, and stricter: an answer holds no key that it does not name."""
    made: dict[str, Any] = copy.deepcopy(dict(SchemaGenerator().get_schema(public=True)))
    for shape in made["components"]["schemas"].values():
        if shape.get("type") == "object" and "properties" in shape:
            shape.setdefault("additionalProperties", False)
    return made


@functools.cache
def loaded() -> BaseSchema:
    config = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})
    schema = schemathesis.openapi.from_dict(document(), config=config)
    schema.app = front
    return schema


@functools.cache
def labels() -> list[str]:
    """Such as `GET /api/servers/{id}/`."""
    return [found.ok().label for found in loaded().get_all_operations()]


class Front:
    """What the schema's operations were read with, whoever comes through it now."""

    inner: Application

    def __call__(self, environ: Environ, start: Any) -> Iterable[bytes]:
        return self.inner(environ, start)


front = Front()


class Identity:
    """Somebody at the API's door: a browser with a session, a program with a token, or nobody."""

    def __init__(self, user: User | None = None, token: str = "") -> None:
        self._headers: dict[str, str] = {}
        if token:
            self._headers["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        elif user is not None:
            browser = Client()
            browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            session = browser.cookies["mcphost_session"].value
            self._headers["HTTP_COOKIE"] = f"mcphost_session={session}; mcphost_csrf={CSRF}"
            self._headers["HTTP_X_CSRFTOKEN"] = CSRF

    def through(self, application: Application) -> Application:
        def entered(environ: Environ, start: Any) -> Iterable[bytes]:
            for name in ("HTTP_AUTHORIZATION", "HTTP_COOKIE"):
                environ.pop(name, None)
            environ.update(self._headers)
            return application(environ, start)

        return entered


def platform() -> Application:
    """Django, and the live feeds up to their first event: in one thread, and thus in one transaction."""
    django = get_wsgi_application()

    def application(environ: Environ, start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].endswith("/stream/") and environ["REQUEST_METHOD"] == "GET":
            return _opened_feed(environ, start)
        return django(environ, start)

    return application


def _opened_feed(environ: Environ, start: Any) -> list[bytes]:
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    scope = {
        "type": "http", "method": "GET", "path": environ["PATH_INFO"],
        "query_string": environ["QUERY_STRING"].encode("latin-1"), "headers": headers,
        "server": ("localhost", 80), "client": ("127.0.0.1", 1), "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    head, body = async_to_sync(_beginning)(scope)
    start(f"{head['status']} answered", [(name.decode(), value.decode()) for name, value in head["headers"]])
    return [body.get("body", b"")]


async def _beginning(scope: dict[str, Any]) -> list[dict[str, Any]]:
    """The head of an answer and the first part of its body; then the client leaves."""
    sent: list[dict[str, Any]] = []
    heard = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await heard.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))
        if len(sent) > 1:
            heard.set()

    await streams(scope, receive, send)
    return sent[:2]


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is done within is undone."""
    with _kept_open(), transaction.atomic():
        yield
        transaction.set_rollback(True)


def committed() -> None:
    """Begins what waits for a commit, which does not come: queued work and events."""
    waiting, connection.run_on_commit = connection.run_on_commit, []
    if not connection.needs_rollback:
        for _, begin, _ in waiting:
            begin()


@contextmanager
def _kept_open() -> Iterator[None]:
    """Django closes a connection that is within a transaction when a request begins or ends."""
    before = connection.settings_dict["AUTOCOMMIT"], connection.close_at
    connection.settings_dict["AUTOCOMMIT"], connection.close_at = False, None
    try:
        yield
    finally:
        connection.settings_dict["AUTOCOMMIT"], connection.close_at = before


def settled(cases: int) -> settings:
    """The same requests in every run."""
    return settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def attack(label: str, identity: Identity, world: World, examples: int = EXAMPLES) -> None:
    """Valid and invalid requests for one operation. Raises where an answer is not as the schema says."""
    schema = _facing(identity)
    operation: Any = schema.find_operation_by_label(label)
    for mode in GenerationMode:
        cases = _cases(operation, mode, world)
        if cases is not None:
            _try(cases, examples)


def chains(identity: Identity, world: World) -> None:
    """Requests that go on with what the ones before made or found. Raises as `attack` does."""

    class Chain(_facing(identity).as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.undoing = undone()
            self.undoing.__enter__()
            self.quiet = override_settings(**QUIET)
            self.quiet.enable()
            self.steps = 0

        def teardown(self) -> None:
            self.quiet.disable()
            self.undoing.__exit__(None, None, None)

        def step(self, input: Any) -> Any:
            self.steps += 1
            if not input.is_applied:
                known = world.parameters(input.case.operation.path)
                _placed(
                    input.case, {name: values[self.steps % len(values)] for name, values in known.items()}
                )
            world.spare(input.case)
            return super().step(input)

        def after_call(self, response: Any, case: Case) -> None:
            committed()

        def validate_response(self, response: Any, case: Case, *_: Any, **__: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    Chain.run(settings=settings(settled(CHAINS), stateful_step_count=STEPS))


def _facing(identity: Identity) -> BaseSchema:
    front.inner = identity.through(platform())
    return loaded()


def _try(cases: SearchStrategy[Case], examples: int) -> None:
    @settled(examples)
    @given(case=cases)
    def each(case: Case) -> None:
        with undone(), override_settings(**QUIET):
            response = case.call()
            committed()
            case.validate_response(response, checks=CHECKS)

    each()


def _cases(operation: APIOperation, mode: GenerationMode, world: World) -> SearchStrategy[Case] | None:
    """None where nothing invalid can be said: there is neither a parameter nor a body."""
    takes = any((operation.path_parameters, operation.query, operation.headers, operation.body))
    if mode == GenerationMode.NEGATIVE and not takes:
        return None
    drawn = {name: st.sampled_from(values) for name, values in world.parameters(operation.path).items()}
    return st.builds(_placed, operation.as_strategy(generation_mode=mode), st.fixed_dictionaries(drawn))


def _placed(case: Case, known: dict[str, Any]) -> Case:
    """Valid parameters of the path become those of rows that are there, mostly."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if path is None or path.mode == GenerationMode.POSITIVE:
        case.path_parameters.update(known)
    return case
