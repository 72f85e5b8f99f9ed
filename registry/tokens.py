"""Bearer tokens (Docker registry token authentication): cached by scope, and renewed before they expire."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from registry.challenge import Challenge
from registry.credentials import Credential
from registry.errors import RegistryError, from_response

MIN_LIFE = 60.0  # seconds; the spec's default, and the shortest life that is believed
EARLY = 0.2  # a token is renewed when this part of its life is left
MAX_EARLY = 60.0
MAX_LIFE = 86_400.0
MAX_TOKEN = 32_768  # characters: it goes into a header
MAX_CACHED = 1_000
CLIENT_ID = "mcphost"
# Answers of servers that do not support POST, Artifactory and Azure among them (containerd falls back, too).
NO_POST = frozenset({400, 401, 404, 405, 501})
_VALUE = re.compile(rf"[!-~]{{1,{MAX_TOKEN}}}")


@dataclass(frozen=True)
class Answer:
    """An HTTP response, its body read up to a limit. `url` is its source, after all redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = ""


class Fetch(Protocol):
    """Sends one request to a token server: `query` goes into the URL, `form` into the body of a POST."""

    def __call__(
        self,
        url: str,
        *,
        authorization: str = "",
        query: list[tuple[str, str]] | None = None,
        form: list[tuple[str, str]] | None = None,
    ) -> Answer: ...


@dataclass(frozen=True)
class Token:
    """A token. `renew_at` is a time of `time.monotonic()`."""

    value: str = field(repr=False)
    renew_at: float

    @property
    def fresh(self) -> bool:
        """Tells whether the token need not be renewed yet."""
        return time.monotonic() < self.renew_at


_Key = tuple[str, str, Credential, int, tuple[str, ...]]


class TokenCache:
    """A thread-safe cache. At most one request per key is under way; other callers wait for its token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[_Key, Token] = {}
        self._locks: dict[_Key, threading.Lock] = {}

    def get(
        self,
        challenge: Challenge,
        credential: Credential,
        scopes: tuple[str, ...],
        fetch: Fetch,
        *,
        rejected: str = "",
        fresh: bool = False,
    ) -> str:
        """Returns a token for `scopes`, from the cache if possible. Raises `RegistryError`.

        It never returns the `rejected` token; `fresh` asks for a new one in any case.
        """
        key = (challenge.realm, challenge.service, credential, credential.generation, scopes)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            known = self._tokens.get(key)
            if known is not None and known.fresh and known.value != rejected and not fresh:
                return known.value
            token = self._fetch(key, challenge, credential, scopes, fetch)
            with self._lock:
                self._make_room()
                self._tokens[key] = token
            return token.value

    def _fetch(
        self, key: _Key, challenge: Challenge, credential: Credential, scopes: tuple[str, ...], fetch: Fetch
    ) -> Token:
        try:
            return fetch_token(challenge, credential, scopes, fetch)
        except RegistryError:
            with self._lock:
                self._locks.pop(key, None)  # the key holds a credential, which was rejected
            raise

    def _make_room(self) -> None:
        """Removes expired tokens.

        A key holds a credential, which should not stay in memory longer than needed.
        """
        for key in [key for key, token in self._tokens.items() if not token.fresh]:
            del self._tokens[key]
            self._locks.pop(key, None)
        if len(self._tokens) >= MAX_CACHED:
            self._tokens.clear()
            self._locks.clear()


def fetch_token(challenge: Challenge, credential: Credential, scopes: tuple[str, ...], fetch: Fetch) -> Token:
    """Requests a token: by the refresh_token grant for an identity token, else by GET with Basic.

    See the token and OAuth2 pages of the Docker registry's authentication specification. Raises
    `RegistryError`.
    """
    if credential.identity_token:
        answer = _grant(challenge, credential, scopes, fetch)
        if (
            answer.status not in NO_POST or not credential.password
        ):  # a GET without a password would return an anonymous token
            return _read_token(answer)
    query = [("service", challenge.service)] if challenge.service else []
    query += [("scope", scope) for scope in scopes]
    if credential.username:
        query.append(("account", credential.username))
    return _read_token(fetch(challenge.realm, authorization=credential.basic, query=query))


def _grant(challenge: Challenge, credential: Credential, scopes: tuple[str, ...], fetch: Fetch) -> Answer:
    form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", credential.identity_token),
        ("service", challenge.service),
        ("client_id", CLIENT_ID),
        ("scope", " ".join(scopes)),
    ]
    return fetch(challenge.realm, form=form)


def _read_token(answer: Answer) -> Token:
    """Reads a token whatever the content type: some servers declare text, or nothing at all."""
    if not 200 <= answer.status < 300:
        raise from_response(answer.status, answer.headers, answer.body, "The registry's token server refused")
    data = _object(answer.body)
    told = (data.get("token"), data.get("access_token"))
    value = next((text for text in told if isinstance(text, str) and _VALUE.fullmatch(text)), None)
    if value is None:
        raise RegistryError("The registry's token server answered without a usable token.")
    life = _life(data.get("expires_in"))
    return Token(value, time.monotonic() + life - min(life * EARLY, MAX_EARLY))


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    return data if isinstance(data, dict) else {}


def _life(expires_in: object) -> float:
    """Returns seconds; accepts a number, or a number as text."""
    try:
        told = float(expires_in) if isinstance(expires_in, int | float | str) else MIN_LIFE
    except (ValueError, OverflowError):
        told = MIN_LIFE
    return max(MIN_LIFE, min(told, MAX_LIFE)) if told == told else MIN_LIFE  # NaN
