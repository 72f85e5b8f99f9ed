"""Bearer tokens: fetched once for all who need the same, kept by scopes, renewed before they end."""

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

MIN_LIFE = 60.0  # the spec's default: shorter lives are older servers' omissions
EARLY = 0.2  # renewed when this part of its life is left
MAX_EARLY = 60.0
MAX_LIFE = 86_400.0
MAX_TOKEN = 32_768  # characters: it goes into a header
MAX_CACHED = 1_000
CLIENT_ID = "mcphost"
# What servers that know no POST answer, and what Artifactory and Azure do (containerd falls back likewise).
NO_POST = frozenset({400, 401, 404, 405, 501})
_VALUE = re.compile(rf"[!-~]{{1,{MAX_TOKEN}}}")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, its body read up to a cap; `url` is where it came from, after all redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = ""


class Fetch(Protocol):
    """Sends one request to a token server: `query` in the address, or `form` as the body of a POST."""

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
    """`renew_at` is a `time.monotonic()` second."""

    value: str = field(repr=False)
    renew_at: float

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self.renew_at


_Key = tuple[str, str, Credential, int, tuple[str, ...]]


class TokenCache:
    """Thread-safe. One request per key is under way at any time; the others wait for its token."""

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
        """A token for `scopes`, never the `rejected` one, a new one if `fresh`. Raises `RegistryError`."""
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
                self._locks.pop(key, None)  # nothing of a credential that was rejected should stay
            raise

    def _make_room(self) -> None:
        """Drops tokens that have ended: a key holds a credential, which should not stay for longer."""
        for key in [key for key, token in self._tokens.items() if not token.fresh]:
            del self._tokens[key]
            self._locks.pop(key, None)
        if len(self._tokens) >= MAX_CACHED:
            self._tokens.clear()
            self._locks.clear()


def fetch_token(challenge: Challenge, credential: Credential, scopes: tuple[str, ...], fetch: Fetch) -> Token:
    """Asks the token server; the refresh_token grant for identity tokens, GET with Basic for passwords."""
    if credential.identity_token:
        answer = _grant(challenge, credential, scopes, fetch)
        if answer.status not in NO_POST or not credential.password:  # GET would ask for a token of nobody's
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
    """Of whatever content type: some servers call their JSON text, or nothing at all."""
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
    """Seconds; a number, or the text of one."""
    try:
        told = float(expires_in) if isinstance(expires_in, int | float | str) else MIN_LIFE
    except (ValueError, OverflowError):
        told = MIN_LIFE
    return max(MIN_LIFE, min(told, MAX_LIFE)) if told == told else MIN_LIFE  # NaN
