"""A client of one Git LFS server (batch API).

Anybody may choose the URLs in its answers, so each is checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Self
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError

import outbound
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from outbound import PrivateAddress, UnknownName, addresses
from outbound.adapter import Adapter, Session
from outbound.origin import origin_of
from registry.reasons import is_full

MEDIA_TYPE = "application/vnd.git-lfs+json"
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
MAX_ANSWER = 4 << 20
TIMEOUT = (5.0, 20.0)  # seconds to connect, seconds of silence
CHUNK = 1 << 16
PORTS = {"https": 443, "http": 80}
# Headers that the server must not set for a download: they change the receiver or the framing of the body.
NOT_THEIRS = re.compile(r"host|connection|content-length|transfer-encoding|te|trailer|upgrade|proxy-.*", re.I)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
ASK_FOR_ACCESS = "Give a token that may read the repository with its LFS files."


class Refused(Exception):
    """The content cannot be fetched.

    The message completes a sentence (“… could not be fetched: <message>.”).
    """

    def __init__(self, why: str, *, hint: str = "", permanent: bool = True) -> None:
        super().__init__(why)
        self.hint, self.permanent = hint, permanent


@dataclass(frozen=True)
class Access:
    """How the LFS server of the repository at `url` may be reached.

    `token` and `private_hosts` are those of `GitSource`; the token is sent only to the origin of `url`.
    `schemes` are the URL schemes that may be used.
    """

    url: str
    schemes: tuple[str, ...] = ("https",)
    token: str = field(default="", repr=False)
    private_hosts: tuple[str, ...] | None = None
    settings: BuildSettings = field(default_factory=BuildSettings, repr=False)

    def login_for(self, url: str) -> AuthBase:
        """Returns the login for a request to `url`: none outside the repository's origin."""
        if not self.token or not origin_of(url) or origin_of(url) != origin_of(self.url):
            return _Nobody()
        user, _, password = self.token.rpartition(":")
        return HTTPBasicAuth(user or "x-access-token", password)


@dataclass(frozen=True)
class Wanted:
    """An object to download: its SHA-256 in hex, and its size in bytes."""

    oid: str
    size: int


@dataclass(frozen=True)
class Download:
    """Where an object is downloaded from, and the headers that the server wants for it."""

    wanted: Wanted
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class LfsServer:
    """A client of the server at `url`. Its methods raise `Refused`, `Cancelled` and `TimedOut`."""

    def __init__(self, url: str, access: Access, deadline: Deadline) -> None:
        self._url, self._access, self._deadline = url, access, deadline
        self._sessions = {private: _session(access, private) for private in (False, True)}
        self._proxies = getproxies_environment() | {
            name.lower().removesuffix("_proxy"): value
            for name, value in access.settings.proxies.items()
            if value
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions.values():
            session.close()

    def ask(self, objects: Sequence[Wanted]) -> dict[str, Download]:
        """Sends one batch request; returns the download of each object by its oid (docs/api/batch.md)."""
        body = {
            "operation": "download",
            "transfers": ["basic"],
            "objects": [{"oid": each.oid, "size": each.size} for each in objects],
            "hash_algo": "sha256",
        }
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        with self._answer("POST", f"{self._url}/objects/batch", headers, json.dumps(body).encode()) as answer:
            text = b"".join(self._chunks(answer, MAX_ANSWER))
        self._deadline.check()  # at its end it closes the connection, as at a complete answer
        try:
            return {each.oid: _download(each, json.loads(text)) for each in objects}
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise Refused(f"{_host(self._url)} answers what is no batch of Git LFS") from error

    def download(self, download: Download, into: IO[bytes]) -> None:
        """Writes the object to `into`, and checks its size and hash."""
        wanted, digest, size = download.wanted, hashlib.sha256(), 0
        url = urljoin(f"{self._url}/", download.url)
        with self._answer("GET", url, {**download.headers, "Accept-Encoding": "identity"}) as answer:
            for chunk in self._chunks(answer, wanted.size):
                digest.update(chunk)
                size += len(chunk)
                into.write(chunk)
        if (size, digest.hexdigest()) != (wanted.size, wanted.oid):
            raise Refused(f"{_host(url)} gives other content than the pointer names")

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[requests.Response]:
        """Yields the response with status 200. Follows redirects itself and checks each target.

        Headers and logins for one origin are not sent to another.
        """
        given = headers
        for _ in range(MAX_REDIRECTS + 1):
            self._check(url)
            with (
                self._faults(url),
                outbound.Deadline(self._deadline.remaining()),
                self._asked(method, url, given, body) as answer,
            ):
                target = answer.headers.get("Location", "") if answer.status_code in REDIRECTS else ""
                if not target:
                    _check_status(answer, url)
                    yield answer
                    return
            goal = urljoin(url, target)
            if urlsplit(url).scheme == "https" and urlsplit(goal).scheme != "https":
                raise Refused(f"{_host(url)} leads from https to another protocol")
            if origin_of(goal) != origin_of(url):
                given = {name: value for name, value in given.items() if name in ("Accept", "Content-Type")}
            url = goal
        raise Refused(f"{_host(url)} leads from address to address, to no end")

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in self._access.schemes or not origin_of(url) or parts.username is not None:
            raise Refused("its server names an address that is not asked")

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> requests.Response:
        self._deadline.check()
        has_own = any(name.lower() == "authorization" for name in headers)
        return self._sessions[self._may_lie_within(url)].request(
            method,
            url,
            data=body,
            headers=dict(headers),
            auth=_Nobody() if has_own else self._access.login_for(url),
            proxies=self._proxy(url),
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    def _may_lie_within(self, url: str) -> bool:
        parts, named = urlsplit(url), self._access.private_hosts
        port = parts.port or PORTS[parts.scheme]
        return named is None or addresses.is_listed(parts.hostname or "", port, named)

    def _proxy(self, url: str) -> dict[str, str]:
        if proxy_bypass_environment(urlsplit(url).netloc, self._proxies):
            return {}
        return {name: self._proxies[name] for name in ("http", "https", "all") if name in self._proxies}

    def _chunks(self, answer: requests.Response, limit: int) -> Iterator[bytes]:
        total = 0
        while True:
            self._deadline.check()
            chunk = answer.raw.read1(CHUNK, decode_content=True)
            if not chunk:
                return
            total += len(chunk)
            if total > limit:
                raise Refused("its server gives more than was asked for")
            yield chunk

    @contextmanager
    def _faults(self, url: str) -> Iterator[None]:
        host = _host(url)
        try:
            yield
        except PrivateAddress:
            raise Refused(
                f"{host} is an address of this machine or of a private network",
                hint=f"If files may come from there, add {host} to GIT_PRIVATE_HOSTS.",
            ) from None
        except UnknownName:
            raise Refused(f"nobody knows the name {host}", permanent=False) from None
        except requests.exceptions.SSLError as error:
            raise Refused(f"the TLS certificate of {host} is not trusted") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, ValueError) as error:
            raise Refused("its server names an address that is not asked") from error
        except (requests.RequestException, HTTPError, OSError) as error:
            if is_full(error):  # the local disk is full
                raise
            self._deadline.check()
            raise Refused(f"{host} cannot be reached", permanent=False) from error


class _Nobody(AuthBase):
    """Sends no login, even if the URL holds one."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _session(access: Access, allow_private: bool) -> Session:
    session = Session()
    session.trust_env = False  # do not use the .netrc of the platform's account
    adapter = Adapter(_context(access.settings), allow_private=allow_private)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _context(settings: BuildSettings) -> ssl.SSLContext:
    context = outbound.tls_context()
    if settings.ca_bundle:
        context.load_verify_locations(settings.ca_bundle)
    return context


def _download(wanted: Wanted, answer: Mapping[str, Any]) -> Download:
    """Reads one object of a batch answer.

    Raises `Refused` if the server does not have it, and `ValueError` and its like for JSON of another shape.
    """
    [found] = [each for each in answer["objects"] if each["oid"] == wanted.oid][:1]
    if error := found.get("error"):
        raise Refused(f"its server does not have {wanted.oid[:12]} (code {int(error['code'])})")
    if answer.get("transfer", "basic") != "basic":
        raise Refused("its server knows no basic transfer")
    action = found["actions"]["download"]
    headers = {
        str(name): str(value)
        for name, value in (action.get("header") or {}).items()
        if TOKEN.fullmatch(str(name)) and not NOT_THEIRS.fullmatch(str(name))
    }
    return Download(wanted, str(action["href"]), headers)


def _check_status(answer: requests.Response, url: str) -> None:
    if answer.status_code in (401, 403):
        raise Refused(f"{_host(url)} refuses access", hint=ASK_FOR_ACCESS)
    if answer.status_code in (404, 410, 422):
        raise Refused(f"{_host(url)} does not have them", hint=ASK_FOR_ACCESS)
    if answer.status_code != 200:
        passing = answer.status_code >= 500 or answer.status_code == 429
        raise Refused(f"{_host(url)} answers {answer.status_code}", permanent=not passing)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "its server"
