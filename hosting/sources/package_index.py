"""Reads a Python package index (PEP 503, 691 and 700) and downloads files from it.

It runs nothing of them.
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import requests
from packaging.utils import canonicalize_name
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

import outbound
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import SourceError
from outbound import PrivateAddress, UnknownName
from outbound.adapter import Adapter, Session
from outbound.origin import origin_of

PYPI = "https://pypi.org/simple"
JSON_PAGE = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON_PAGE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
MAX_PAGE = 16 << 20
MAX_FILE = 256 << 20
TIMEOUT = (5.0, 20.0)  # seconds to connect, seconds of silence
RETRY = Retry(
    2, read=1, backoff_factor=0.2, status_forcelist=(502, 503, 504), respect_retry_after_header=False
)
HASHES = ("sha512", "sha384", "sha256")
CHUNK = 1 << 16
CHECK_INDEX = "Check the network, the proxy, the index URL and the CA bundle for builds."


@dataclass(frozen=True)
class File:
    """A file of a release. `size` is in bytes, 0 if the index does not tell; `hashes` maps algorithm to hex.

    `yanked` tells that the release was withdrawn (PEP 592).
    """

    name: str
    url: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    requires_python: str = ""
    yanked: bool = False
    size: int = 0


class Missing(Exception):
    """The index does not have the package."""


class PackageIndex:
    """A client of one index, with the settings of builds.

    Its login is sent only to the index's own origin.
    """

    def __init__(self, settings: BuildSettings) -> None:
        self._root, self._login = _without_login(settings.pip_index_url or PYPI)
        self._origin = origin_of(self._root)
        self._proxies = getproxies_environment() | {
            name.lower().removesuffix("_proxy"): value for name, value in settings.proxies.items() if value
        }
        self._session = Session()
        self._session.trust_env = False  # do not use the .netrc of the platform's account
        # An operator's index, or a mirror of the public one, may lie in a private network.
        adapter = Adapter(_context(settings.ca_bundle), allow_private=True, max_retries=RETRY)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def files(self, name: str, deadline: Deadline) -> list[File]:
        """Returns the files of the package `name`.

        Raises `Missing`, `SourceError`, `Cancelled`, `TimedOut`.
        """
        page = f"{self._root.rstrip('/')}/{canonicalize_name(name)}/"
        with self._answer(page, {"Accept": ACCEPT}) as answer:
            body = b"".join(_chunks(answer, MAX_PAGE, deadline))
            is_json = "json" in answer.headers.get("Content-Type", "")
            read = _from_json if is_json else _from_html
            try:
                return list(read(body, answer.url))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                raise SourceError(
                    f"The package index answered for {name} what is no page of an index."
                ) from error

    def download(self, file: File, to: Path, deadline: Deadline) -> None:
        """Writes `file` to `to` and checks its hash.

        Raises as `files` does, and `OSError` if it cannot be written.
        """
        if file.size > MAX_FILE:
            raise _too_large(file.name, MAX_FILE)
        algorithm = next((name for name in HASHES if name in file.hashes), "")
        digest = hashlib.new(algorithm or HASHES[-1])
        with self._answer(file.url, {"Accept-Encoding": "identity"}) as answer, to.open("wb") as target:
            for chunk in _chunks(answer, MAX_FILE, deadline, file.name):
                digest.update(chunk)
                target.write(chunk)
        if algorithm and digest.hexdigest() != file.hashes[algorithm].lower():
            raise SourceError(f"{file.name} does not have the {algorithm} that the package index tells.")

    @contextmanager
    def _answer(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Yields the response.

        Follows redirects itself: `requests` would read the whole body of each, and follow it.
        """
        for _ in range(MAX_REDIRECTS + 1):
            with _faults(), self._asked(url, headers) as answer:
                target = answer.headers.get("Location", "") if answer.status_code in REDIRECTS else ""
                if not target:
                    _check(answer)
                    yield answer
                    return
                url = _led(url, target)
        raise SourceError("The package index leads from address to address, to no end.", hint=CHECK_INDEX)

    def _asked(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        return self._session.get(
            url,
            headers=dict(headers),
            auth=self._auth(url),
            proxies=self._proxy(url),
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    def _auth(self, url: str) -> AuthBase:
        if self._login and self._origin and origin_of(url) == self._origin:
            return HTTPBasicAuth(*self._login)
        return _Nobody()

    def _proxy(self, url: str) -> dict[str, str]:
        if proxy_bypass_environment(urlsplit(url).netloc.rpartition("@")[2], self._proxies):
            return {}
        return {
            scheme: self._proxies[scheme] for scheme in ("http", "https", "all") if scheme in self._proxies
        }


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = outbound.tls_context()
    if ca_bundle:
        context.load_verify_locations(ca_bundle)
    return context


class _Nobody(AuthBase):
    """Sends no login, even if the URL holds one."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


@contextmanager
def _faults() -> Iterator[None]:
    """Turns errors of the transport into errors that say what to do."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise SourceError(
            "The package index (pypi) cannot be reached: its TLS certificate is not trusted.",
            hint=CHECK_INDEX,
        ) from error
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError) as error:
        raise SourceError("The package index names an address that cannot be asked.") from error
    except PrivateAddress as error:
        raise SourceError(
            f"The package index leads to an inner address, which is not asked: {error}."
        ) from None
    except UnknownName as error:
        raise _unreachable(f": nobody knows the name {error}") from None
    except requests.RequestException as error:
        raise _unreachable() from error


def _led(url: str, target: str) -> str:
    goal = urljoin(url, target)
    if urlsplit(url).scheme == "https" and urlsplit(goal).scheme != "https":
        raise SourceError("The package index leads from https to another protocol.", hint=CHECK_INDEX)
    return goal


def _check(answer: requests.Response) -> None:
    if answer.status_code in (404, 410):
        raise Missing
    if answer.status_code in (401, 403):
        raise SourceError(
            "The package index (pypi) refuses access.", hint="Check the user and password in the index URL."
        )
    if answer.status_code != 200:
        raise _unreachable(f": it answers {answer.status_code}")


def _chunks(
    answer: requests.Response, limit: int, deadline: Deadline, what: str = "The page"
) -> Iterator[bytes]:
    """Yields bytes as they arrive, so that the deadline also ends a slow download."""
    total = 0
    try:
        while True:
            deadline.check()
            chunk = answer.raw.read1(CHUNK, decode_content=True)
            if not chunk:
                return
            total += len(chunk)
            if total > limit:
                raise _too_large(what, limit)
            yield chunk
    except (OSError, HTTPError) as error:
        raise _unreachable() from error


def _from_json(page: bytes, url: str) -> Iterator[File]:
    for entry in json.loads(page)["files"]:
        yield File(
            str(entry["filename"]),
            urljoin(url, str(entry["url"])),
            {str(name): str(value) for name, value in dict(entry.get("hashes") or {}).items()},
            str(entry.get("requires-python") or ""),
            bool(entry.get("yanked")),
            int(entry.get("size") or 0),
        )


def _from_html(page: bytes, url: str) -> Iterator[File]:
    anchors = _Anchors()
    anchors.feed(page.decode("utf-8", "replace"))
    for attributes in anchors.found:
        target, fragment = urldefrag(urljoin(url, attributes.get("href", "")))
        algorithm, _, value = fragment.partition("=")
        yield File(
            unquote(urlsplit(target).path.rpartition("/")[2]),
            target,
            {algorithm: value},
            attributes.get("data-requires-python", ""),
            "data-yanked" in attributes,
        )


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append({name: value or "" for name, value in attrs})


def _without_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """Returns the URL without user and password, and these two (None if it holds none)."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, (unquote(parts.username), unquote(parts.password or ""))


def _unreachable(why: str = "") -> SourceError:
    return SourceError(f"The package index (pypi) cannot be reached{why}.", hint=CHECK_INDEX, permanent=False)


def _too_large(what: str, limit: int) -> SourceError:
    return SourceError(
        f"{what} is larger than the {limit >> 20} MiB that are read of a package.",
        hint="Set the command that starts the server: the package is then not looked into.",
    )
